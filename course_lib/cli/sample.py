"""``course sample``: let a trained model write."""

import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

from course_lib.cli.parse import parse
from course_lib.cli.runs import RUN_HELP, WHICH_HELP, find_run
from course_lib.data.prompt import SAMPLE_HEAT, SAMPLE_SEED, SAMPLE_TOKENS, encode_start, read_start
from course_lib.errors import CourseError
from course_lib.paths import quoted


@dataclass
class SampleSettings:
    run: Annotated[Positional[str], arg(help=RUN_HELP, metavar="RUN")]
    start: Annotated[
        str | None, arg(help="The text to go on from; FILE:path takes it from a file. By default: as such texts begin.")
    ] = None
    num_samples: Annotated[int, arg(help="How many samples to write.")] = 1
    max_new_tokens: Annotated[int, arg(help="How many tokens each sample adds.")] = SAMPLE_TOKENS
    temperature: Annotated[float, arg(help="Below 1 surer, above 1 wilder, 0 always the likeliest.")] = SAMPLE_HEAT
    top_k: Annotated[int | None, arg(help="Draw from the k likeliest tokens only.")] = None
    top_p: Annotated[float | None, arg(help="Draw from the likeliest tokens that sum to p only.")] = None
    seed: Annotated[int, arg(help="Where the draws start; sample i uses seed + i.")] = SAMPLE_SEED
    which: Annotated[str, arg(help=WHICH_HELP)] = "auto"
    device: Annotated[str, arg(help="auto, cpu, cuda or mps.")] = "auto"

    def check(self) -> None:
        """What the library does not see; raises CourseError."""
        for name, lowest in (("num_samples", 1), ("max_new_tokens", 0)):
            value = getattr(self, name)
            if value < lowest:
                raise CourseError(f"--{name.replace('_', '-')} should be at least {lowest}; it is {value}.")


def sample(args: list[str]) -> None:
    """Let a trained model write: sample RUN [--start TEXT|FILE:path]."""
    s = parse(SampleSettings, args, "course sample", "Let a trained model write, token by token.")
    s.check()
    import torch

    from course_lib import checkpoint
    from course_lib.device import find
    from course_lib.sampling import stream

    run_dir = find_run(s.run)
    run = checkpoint.load(run_dir, s.which)
    if run.tokenizer is None:
        raise CourseError(f"{quoted(run_dir)} has no tokenizer.json, so its ids cannot become text.")
    usual = run.config.data.start if run.config.data else "\n"
    start = usual if s.start is None else read_start(s.start)
    prompt = torch.tensor([encode_start(run.tokenizer, start)], dtype=torch.long)
    model = run.model.to(find(s.device).device)
    for i in range(s.num_samples):
        # First, as it refuses settings out of range: what was refused writes nothing.
        tokens = stream(model, prompt, s.max_new_tokens, s.temperature, s.top_k, s.top_p, seed=s.seed + i)
        if s.num_samples > 1:
            print(f"--- sample {i + 1} of {s.num_samples} ---")
        show(start)
        show_tokens(run.tokenizer, (int(token[0, 0]) for token in tokens))


def show_tokens(tokenizer: Any, ids: Iterable[int]) -> None:
    """Write tokens as they come, and a line break after the last."""
    decoder = tokenizer.decoder()
    for token in ids:
        show(decoder.add([token]))
    show(decoder.finish() + "\n")


def show(text: str) -> None:
    """Write a model's text, as it is into a file or a pipe, and on a terminal without power over it.

    A model may write any character that it has seen. Some are commands to a terminal (ESC begins most of them): a
    terminal gets escapes for control characters, such as ``\\x1b``; tab and line feed stay.
    """
    if sys.stdout.isatty():
        text = "".join(escaped(c) for c in text)
    sys.stdout.write(text)
    sys.stdout.flush()


def escaped(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) != "Cc":
        return character
    return f"\\x{ord(character):02x}"
