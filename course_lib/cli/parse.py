"""Parses a command's flags into dataclasses, by tyro, with all usual spellings and errors in words."""

import contextlib
import dataclasses
import difflib
import io
import itertools
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args, get_origin

import tyro

from course_lib.config import described
from course_lib.errors import CourseError

T = TypeVar("T")
ANSWERS = {"true": True, "True": True, "false": False, "False": False}


def parse(form: type[T], args: list[str], prog: str, description: str) -> T:
    """An instance of the dataclass ``form`` from ``args``; --help prints its fields' texts and exits.

    Raises:
        CourseError: for a flag that names no field (it names the nearest), and for a value of the wrong kind.
    """
    return parse_given(form, args, prog, description)[0]


def parse_given(
    form: type[T], args: list[str], prog: str, description: str, aliases: dict[str, str] | None = None,
    default: Callable[[], T] | None = None,
) -> tuple[T, set[str]]:  # fmt: skip
    """As `parse`, for a form that may hold other dataclasses; and the names of the fields that ``args`` give.

    Args:
        aliases: other names of some fields, alias to field.
        default: makes what is not given; called when each flag is known to name a field.
    """
    kinds = field_kinds(form)
    spelled, given = _spelled(kinds, args, prog, aliases or {})
    more = {} if default is None else {"default": default()}
    refusal = io.StringIO()
    try:
        with contextlib.redirect_stderr(refusal):
            config = (tyro.conf.OmitArgPrefixes,)
            made = tyro.cli(form, args=spelled, prog=prog, description=description, config=config, **more)
    except SystemExit as end:
        if not end.code:  # it was asked for help
            raise
        raise CourseError(_in_a_sentence(refusal.getvalue(), kinds, spelled, prog)) from None
    return made, given


def field_kinds(form: type) -> dict[str, Any]:
    """The types of a form's fields, and of those of the dataclasses in it, by name; hidden ones are left out."""
    kinds: dict[str, Any] = {}
    for field in dataclasses.fields(form):
        kind, *marks = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
        if dataclasses.is_dataclass(kind):
            kinds |= field_kinds(kind)
        elif tyro.conf.Suppress not in marks:
            kinds[field.name] = kind
    return kinds


def _spelled(kinds: dict[str, Any], args: list[str], prog: str, aliases: dict[str, str]) -> tuple[list[str], set[str]]:
    """``args`` with each flag as tyro has it, and the names of the fields that they give."""
    known = {name: name for name in kinds} | aliases
    yes_or_no = {name for name, kind in kinds.items() if kind is bool or bool in get_args(kind)}
    denials = {f"no_{name}": name for name in yes_or_no}
    spelled, given, waiting = list[str](), dict[str, str](), args.copy()
    while waiting:
        arg = waiting.pop(0)
        if arg == "--":
            return [*spelled, arg, *waiting], set(given)
        flag, equals, value = arg.partition("=")
        typed = flag[2:].replace("-", "_")
        if not flag.startswith("--") or typed == "help":
            spelled.append(arg)
            continue
        name = known.get(typed) or (None if equals else denials.get(typed))
        if name is None:
            raise CourseError(f"{prog} has no setting {flag}: {_nearest_flag(typed, known, prog)}")
        first = given.setdefault(name, typed)
        if first != typed and {first, typed} <= known.keys():
            both = f"{dashed(first)} and {dashed(typed)}"
            raise CourseError(f"{both} are one setting under two names. Leave one of them out.")
        if name not in yes_or_no:
            spelled.append(dashed(name) + equals + value)
            continue
        if typed in denials:
            value = "false"
        elif not equals:
            value = waiting.pop(0) if waiting and not waiting[0].startswith("--") else "true"
        spelled += _answer(name, kinds[name], value)
    return spelled, set(given)


def dashed(name: str) -> str:
    """A setting's name as a flag."""
    return f"--{name.replace('_', '-')}"


def _nearest_flag(typed: str, known: dict[str, str], prog: str) -> str:
    close = difflib.get_close_matches(typed, known, n=1, cutoff=0.6)
    return f"did you mean {dashed(close[0])}?" if close else f"{prog} --help lists what there is."


def _answer(name: str, kind: Any, value: str) -> list[str]:
    """A yes or no for tyro, which has a flag for each; where None is a third answer it takes a word."""
    if kind is not bool and value in (*ANSWERS, "None"):
        return [dashed(name), value.capitalize()]
    if value not in ANSWERS:
        raise CourseError(f"{dashed(name)} should be {described(kind)}; it is {value!r}.")
    return [dashed(name) if ANSWERS[value] else dashed(f"no_{name}")]


def _in_a_sentence(frame: str, kinds: dict[str, Any], spelled: list[str], prog: str) -> str:
    """What tyro refuses in a frame of several lines (a title, what it is, a hint), in a sentence."""
    lines = [re.sub(r"[\u2500-\u257f]|-{4,}", "", line).strip() for line in frame.splitlines()[1:]]  # or of dashes
    text = re.split("For full helptext|Argument helptext", " ".join(filter(None, lines)))[0].strip()
    for i, arg in reversed([*enumerate(spelled)]):  # of a flag that comes twice the last value counts
        flag, equals, value = arg.partition("=")
        if (kind := kinds.get(flag[2:].replace("-", "_"))) and re.search(rf"{flag}(?![\w-])", text):
            came = [value] if equals else list(itertools.takewhile(lambda word: word[:2] != "--", spelled[i + 1 :]))
            came = came if get_origin(kind) is tuple else came[:1]
            return f"{flag} should be {described(kind)}; it is {repr(' '.join(came)) if came else 'not given'}."
    if missing := re.match(r"Missing from .*?: (\S+)", text):
        return f"{prog} needs {missing[1]}. {prog} --help says more."
    text = text.removeprefix("Unrecognized options: ")
    return f"{prog} does not understand this: {text}. {prog} --help lists what there is."
