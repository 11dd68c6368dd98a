"""Flags as nanoGPT's scripts have them, turned into the course's own before they are parsed."""

import itertools
from collections.abc import Iterator

from course_lib.config import ALIASES, WORDS, own_value
from course_lib.errors import CourseError

OWN = ALIASES | {name: known for name, (known, _) in WORDS.items()}


def name_of(arg: str) -> str | None:
    """The setting that a flag names, as it is spelled but with underscores; None for any other word."""
    return arg.partition("=")[0][2:].replace("-", "_") if arg.startswith("--") and len(arg) > 2 else None


def word_after(flag: str, args: list[str]) -> str | None:
    """What ``args`` give to ``flag``, in either spelling; None where they do not."""
    return next((value for name, value in _pairs(args) if name == name_of(flag)), None)


def _pairs(args: list[str]) -> Iterator[tuple[str, str | None]]:
    """Each flag of ``args`` with its value."""
    for arg, following in itertools.pairwise([*args, "--"]):
        if arg == "--":
            return
        if name := name_of(arg):
            yield name, arg.partition("=")[2] if "=" in arg else None if following.startswith("--") else following


def settings_in(args: list[str]) -> set[str]:
    """The settings that ``args`` give, by the course's own names; a denial (``--no-bias``) counts for its setting."""
    return {OWN.get(name, name) for found, _ in _pairs(args) for name in (found, found.removeprefix("no_"))}


def without(flag: str, args: list[str]) -> list[str]:
    """``args`` without ``flag`` and its value."""
    kept, waiting = list[str](), args.copy()
    while waiting:
        arg = waiting.pop(0)
        if arg == "--":
            return [*kept, arg, *waiting]
        if name_of(arg) != name_of(flag):
            kept.append(arg)
        elif "=" not in arg and waiting and not waiting[0].startswith("--"):
            waiting.pop(0)
    return kept


def in_own_words(args: list[str]) -> list[str]:
    """``args`` with the course's flags for those of nanoGPT whose values have other names here (`WORDS`).

    Its rate that does not decay has no warm-up either: ``--decay_lr=False`` says so of both.

    Raises:
        CourseError: for a value that the old flag never had, and where the new one is given as well.
    """
    args = _denied(args)
    for name, (known, words) in WORDS.items():
        flag, names = f"--{name}", [found for found, _ in _pairs(args)]
        if name not in names:
            continue
        if known in names:
            raise CourseError(f"{flag} is another name for --{known}, and both are given. Leave one of them out.")
        value = word_after(flag, args)
        own = own_value(name, "True" if value is None and "True" in words else value)
        args = [*without(flag, args), f"--{known}={own}"]
        if (name, own) == ("decay_lr", "constant"):
            args = [*without("--warmup-steps", without("--warmup-iters", args)), "--warmup-steps=0"]
    return args


def _denied(args: list[str]) -> list[str]:
    """``--no-decay-lr`` as the value that nanoGPT has for it; it belongs to no field that a parser could deny."""
    end = args.index("--") if "--" in args else len(args)
    return ["--decay_lr=False" if name_of(arg) == "no_decay_lr" else arg for arg in args[:end]] + args[end:]


def resumed(args: list[str]) -> list[str]:
    """``--init_from=resume --out_dir=RUN``, as nanoGPT has it, as ``--resume RUN``; other ``args`` as they are.

    Raises:
        CourseError: where it does not say which run goes on.
    """
    if word_after("--init-from", args) != "resume":
        return args
    run = word_after("--resume", args) or word_after("--out-dir", args)
    if run is None:
        raise CourseError("--init-from resume goes on with a run, and needs its folder: --out-dir RUN.")
    for flag in ("--init-from", "--out-dir", "--resume"):
        args = without(flag, args)
    return [*args, f"--resume={run}"]
