"""How ``course train`` goes on with a run: nanoGPT's ways to say so, and what a run keeps to its end (`FIXED`)."""

import contextlib
import sys
from typing import Any

from course_lib.cli.flags import NewRun, filled, flat, train_form
from course_lib.cli.parse import dashed, parse_given
from course_lib.cli.spellings import name_of, resumed, settings_in, word_after
from course_lib.config import MODEL_KINDS, RunConfig, TrainConfig, kind_of
from course_lib.errors import CourseError
from course_lib.paths import quoted
from course_lib.recipes import ANY_VOCABULARY, DEFAULT_SHAPE, load_recipe, setting_fields

FIXED = frozenset(
    {name for kind in MODEL_KINDS for name in setting_fields(kind)} - {*TrainConfig.names(), "dropout"}
    | {"optimizer", "init_from"}
)
"""What a run keeps to its end: the shape of its model, the optimizer whose state it has saved, and its text, which may
have another place, though."""
KEPT = FIXED - {"dataset"}
"""What another value is refused for."""


def going_on(args: list[str]) -> list[str]:
    """``--init_from=resume``, as nanoGPT has it, as ``--resume``.

    A recipe that stands before it is not read, unless it says ``init_from = "resume"`` itself: then it was written for
    the run to go on, and its settings are given as flags are, which go before.
    """
    first = args[0] if args and not args[0].startswith("-") else None
    if first is not None and first.endswith(".toml") and word_after("--init-from", args) is None:
        settings = load_recipe(first).settings
        if settings.get("init_from") == "resume":
            return resumed(_with_flags(settings, args[1:]))
    if word_after("--init-from", args) != "resume":
        return args
    args = resumed(args if first is None else args[1:])
    if first is not None:
        print(f"note: a run goes on with its own settings; {first} is not read.{_unlike(first, args)}", file=sys.stderr)
    return args


def _with_flags(settings: dict[str, Any], args: list[str]) -> list[str]:
    """``args`` with ``settings`` as flags before them, but for those that they give themselves."""
    given, flags = settings_in(args), list[str]()
    given |= {"out_dir"} if "resume" in given else set()
    for name, value in settings.items():
        if name not in {*given, "kind"}:  # which is no flag: a run keeps its kind
            words = [str(word) for word in value] if isinstance(value, (list, tuple)) else None
            flags += [dashed(name), *words] if words else [f"{dashed(name)}={value}"]
    return [*flags, *args]


def _unlike(name: str, args: list[str]) -> str:
    """Which of a recipe's settings the run has otherwise, and so might be missed; empty where there are none."""
    from course_lib import checkpoint

    with contextlib.suppress(CourseError):  # no recipe, or no run: the one is not read, the other is told of later
        run_dir = checkpoint.find_run(word_after("--resume", args) or "")
        save = checkpoint.find_save(run_dir, word_after("--which", args) or "last")
        own = _settings_of(checkpoint.read_config(run_dir)[0]) | checkpoint.read_state(save).get("train", {})
        unlike = {n: v for n, v in load_recipe(name).settings.items() if n in own and own[n] != v}
        if flags := [f"{dashed(n)} {v}" for n, v in unlike.items() if n not in settings_in(args) | FIXED]:
            return f" The run has other values for some of its settings; to take them, give: {' '.join(flags)}"
    return ""


def _about(run: str) -> RunConfig:
    from course_lib import checkpoint

    return checkpoint.read_config(checkpoint.find_run(run))[0]


def _settings_of(about: RunConfig) -> dict[str, Any]:
    """A run's settings, flat; of a run whose data nobody named there are none of the data."""
    data = about.data.to_dict() if about.data else {}
    return data | about.model.to_dict() | about.train.to_dict()


def without_what_is_fixed(args: list[str]) -> list[str]:
    """``args`` without settings that a run keeps to its end: nanoGPT's way to go on is the same command line again.

    Raises:
        CourseError: where one of them has another value than the run.
    """
    rest, fixed = _parted(args)
    run = word_after("--resume", args)
    if not fixed:
        return args
    about = None if run is None else _about(run)
    kind = about and kind_of(about.model)
    if about is None or kind is None:  # no run is named, or one of a model that only its program knows
        raise _is_fixed(sorted(settings_in(fixed) & KEPT)[0])
    own = _settings_of(about)
    asked, given = _parsed(kind, fixed, own, f"course train --resume {run}")
    for name in sorted(given):
        value = list(asked[name]) if isinstance(asked[name], tuple) else asked[name]
        if name not in own or value != own[name]:
            raise _is_fixed(name, own.get(name), value, str(run))
    return rest


def _parsed(kind: str, args: list[str], own: dict[str, Any], prog: str) -> tuple[dict[str, Any], set[str]]:
    """The values of the settings in ``args``, and which those are."""
    form = train_form(NewRun, kind=kind)
    settings = DEFAULT_SHAPE | {"vocab_size": ANY_VOCABULARY} | own
    made, given = parse_given(form, args, prog, "", default=lambda: filled(form, settings, NewRun()))
    return flat(made), given


def _parted(args: list[str]) -> tuple[list[str], list[str]]:
    """``args`` in two: what may change, and the flags of what is fixed with their values."""
    parts: tuple[list[str], list[str]] = ([], [])
    words, is_fixed = iter(args), False
    for arg in words:
        if arg == "--":
            return [*parts[0], arg, *words], parts[1]
        if (name := name_of(arg)) is not None:
            is_fixed = name.removeprefix("no_") in KEPT
        parts[is_fixed].append(arg)
    return parts


def _is_fixed(name: str, old: Any = None, new: Any = None, run: str = "RUN") -> CourseError:
    values = f" (the run has {old!r}; it is {new!r} here)" if old is not None else ""
    remedy = "start a new run with it: course train RECIPE"
    if name == "block_size" and isinstance(old, int) and new < old:  # which nanoGPT cuts when it goes on
        remedy = f"begin a new run from its weights, cut to it: course train RECIPE --init-from {quoted(run)}"
        remedy += f" --block-size {new}"
    return CourseError(
        f"The shape, the data and the optimizer of a run are fixed, so {dashed(name)} cannot change when it goes on. "
        f"Leave it out{values}, or {remedy}"
    )
