"""``course inspect``: look into the thinking of an AGIFORMER."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from course_lib.cli.parse import parse
from course_lib.cli.runs import RUN_HELP, WHICH_HELP, find_run
from course_lib.config import AGIFormerConfig, OwnModel, RunConfig
from course_lib.data.prompt import read_start
from course_lib.drawings.signs import spelled
from course_lib.errors import CourseError
from course_lib.paths import quoted, replace_file, user_path

if TYPE_CHECKING:
    from course_lib.models.agiformer.inspecting import Movement, Verdict, Weights

MOST_BYTES = 4096
"""Of a longer text the beginning is read."""
FARTHEST = 5
CONTEXT = 24
"""So many bytes are shown on each side of a patch."""
SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog thinks about it for three whole steps.\n"
"""Where nothing else is there to read."""
DESCRIPTION = """Look into the thinking of an AGIFORMER.

For each thinking step: how far it moves a patch's latent (also as a share of the latent's length), and how open its
gates are. Then the weights that think, a verdict (dormant, active or unstable), and where in the text the latents move
farthest. A latent moves after its patch has been read; the next patch is written from it."""


@dataclass
class InspectSettings:
    run: Annotated[Positional[str], arg(help=RUN_HELP, metavar="RUN")]
    text: Annotated[
        str | None,
        arg(help="What is read; FILE:path takes it from a file. By default the beginning of the validation text."),
    ] = None
    which: Annotated[str, arg(help=WHICH_HELP)] = "auto"
    steps: Annotated[int | None, arg(help="Think so many steps, or at most so many; by default as trained.")] = None
    device: Annotated[str, arg(help="auto, cpu, cuda or mps.")] = "auto"
    svg: Annotated[str | None, arg(help="A file to draw the text into, by how far each patch moved.")] = None


def inspect(args: list[str]) -> None:
    """Look into the thinking of an AGIFORMER: inspect RUN [--text TEXT|FILE:path]."""
    s = parse(InspectSettings, args, "course inspect", DESCRIPTION)
    import torch

    from course_lib import checkpoint
    from course_lib.device import find
    from course_lib.drawings.thoughts import thought_drawing, thoughts
    from course_lib.models.agiformer.inspecting import judge, movement, weights

    run_dir = find_run(s.run)
    _need_thinking(run_dir, checkpoint.read_config(run_dir)[0])
    run = checkpoint.load(run_dir, s.which)
    model: Any = run.model.to(find(s.device).device)
    if s.steps is not None:
        model.think(s.steps)
    content, what = _text(run.config, s.text)
    found = movement(model, torch.tensor([list(content)], dtype=torch.long))
    P = model.config.patch_size
    print(f"{run.path}: patches of {P} bytes, {_thinking(run.config.model, model.reasoning.steps)}")
    print(f"text: {what}; {found.total.shape[1]:,} patches\n")
    if found.gates:
        print("\n".join([*_step_lines(found), ""]))
        print("\n".join([*_weight_lines(weights(model)), ""]))
        print("\n".join([*_farthest_lines(found, content, P), ""]))
    print("\n".join(_verdict_lines(judge(found), found)))
    if s.svg is not None:
        path = user_path(s.svg)
        try:
            replace_file(path, thought_drawing(thoughts(content, P, found)).svg + "\n")
        except OSError as error:
            raise CourseError(
                f"Cannot write {quoted(path)}: {error.strerror}. Name a file in another folder."
            ) from error
        print(f"drawn: {quoted(path)}")


def _need_thinking(run_dir: Path, config: RunConfig) -> None:
    from course_lib.config.run import kind_of

    if not isinstance(config.model, AGIFormerConfig):
        kind = config.model.kind if isinstance(config.model, OwnModel) else kind_of(config.model)
        raise CourseError(
            f"course inspect looks into the thinking of a model of the kind agiformer; {quoted(run_dir)} holds one of "
            f"the kind {kind}, which does not think."
        )


def _text(config: RunConfig, asked: str | None) -> tuple[bytes, str]:
    """What is read, and what that is in words."""
    P = config.model.patch_size  # type: ignore[union-attr]
    if asked is not None:
        content, what = read_start(asked, "--text").encode(), "--text"
    elif found := _validation_text(config):
        content, what = found, "the run's validation text"
    elif config.data is not None and len(config.data.start.encode()) >= P:
        content, what = config.data.start.encode(), "how the run's samples begin (its validation text is not here)"
    else:
        content, what = SENTENCE.encode(), "an English sentence (the run's validation text is not here: give --text)"
    some = content[:MOST_BYTES]
    return some, f"{what}, the first {MOST_BYTES:,} bytes of it" if len(some) < len(content) else what


def _validation_text(config: RunConfig) -> bytes:
    """As much of it as is read and a byte more; nothing where it is not here, or holds no patch."""
    from course_lib.data.opening import open_tokens
    from course_lib.data.prepared import found_prepared
    from course_lib.tokenizers import ByteTokenizer

    prepared = None if config.data is None else found_prepared(config.data, ByteTokenizer())
    some = b"" if prepared is None else bytes(open_tokens(prepared.path("val"))[: MOST_BYTES + 1].tolist())
    return some if len(some) >= config.model.patch_size else b""  # type: ignore[union-attr]


# ---- what is printed ---------------------------------------------------------------------------------------


def _thinking(config: Any, steps: int) -> str:
    trained = "" if steps == config.thinking_steps else f" (trained with {config.thinking_steps})"
    return f"{'at most ' if config.thinking == 'adaptive' else ''}{steps} thinking steps{trained}"


def _step_lines(found: "Movement") -> list[str]:
    lines = ["step  patches   moved by   of its length   gate   shut (< 0.01)   open (> 0.99)"]
    for number, gates in enumerate(found.gates, start=1):
        moved, share, took = found.of_step(number)
        opened = f"{gates.mean:5.3f}   {gates.shut:13.1%}   {gates.open:13.1%}"
        lines.append(f"{number:4}  {took:7.1%}   {moved:8.4g}   {share:13.4g}   {opened}")
    moved, share, steps = (of.double().mean().item() for of in (found.total, found.total_relative, found.steps))
    return [*lines, f" all  {1:7.1%}   {moved:8.4g}   {share:13.4g}   ({steps:.2f} steps a patch)"]


def _weight_lines(found: "Weights") -> list[str]:
    lines = ["weights               shape          std   spectral norm"]
    for one in found.matrices:
        lines.append(f"{one.name:<20}  {' x '.join(map(str, one.shape)):<11}  {one.std:6.4f}   {one.norm:13.4g}")
    mean, low, high = found.gate_bias
    return [*lines, f"gate.bias             mean {mean:.4f}, from {low:.4f} to {high:.4f}"]


def _farthest_lines(found: "Movement", content: bytes, patch_size: int) -> list[str]:
    """The patches that moved farthest, marked in the text around them."""
    places = found.farthest(FARTHEST)
    lines = ["moved farthest        the patch in its text" if len(places) > 1 else "moved                 the patch"]
    for n in places:
        start, end = n * patch_size, (n + 1) * patch_size
        before, after = content[_whole(content, start - CONTEXT) : start], content[end : _whole(content, end + CONTEXT)]
        marked = f"{_line(before)}[{_line(content[start:end])}]{_line(after)}"
        lines.append(f"{found.total_relative[0, n]:8.4g}  patch {n:<4}  {marked}")
    return lines


def _whole(content: bytes, place: int) -> int:
    """``place``, or where the next character begins: what surrounds a patch is not cut inside one."""
    place = max(0, place)
    further = content[place : place + 4]
    return place + next((i for i, byte in enumerate(further) if byte & 0xC0 != 0x80), 0)


def _line(content: bytes) -> str:
    return spelled(content, spaces=False)


def _verdict_lines(verdict: "Verdict", found: "Movement") -> list[str]:
    from course_lib.models.agiformer.inspecting import ORIGINAL_DORMANT, ORIGINAL_UNSTABLE

    moved = found.total.double().mean().item()
    return [
        f"verdict: {verdict.word}. {verdict.reason}",
        f"By the original's measure (mean movement {moved:.4g}; dormant under {ORIGINAL_DORMANT:g}, unstable over "
        f"{ORIGINAL_UNSTABLE:g}): {verdict.original}.",
    ]
