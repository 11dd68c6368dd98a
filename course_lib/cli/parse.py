"""Flags from dataclasses, by tyro: ``--block-size`` and ``--block_size``, ``--x 1`` and ``--x=1``."""

import dataclasses
import difflib
from typing import Annotated, Any, TypeVar, get_args, get_origin

import tyro

from course_lib.errors import CourseError

T = TypeVar("T")


def parse(form: type[T], args: list[str], prog: str, description: str, aliases: dict[str, str] | None = None) -> T:
    """An instance of the dataclass ``form`` from ``args``; --help prints its fields' texts and exits.

    Args:
        aliases: other names of some fields, alias to field.

    Raises:
        CourseError: for a flag that names no field; it names the nearest.
    """
    args = _capitalized(form, args, aliases or {})
    known = {field.name: field.name for field in dataclasses.fields(form)} | (aliases or {})  # type: ignore[arg-type]
    spelled, given = [], dict[str, str]()
    for i, arg in enumerate(args):
        if arg == "--":
            spelled += args[i:]
            break
        flag, equals, value = arg.partition("=")
        name = flag[2:].replace("-", "_")
        if not flag.startswith("--") or name == "help":
            spelled.append(arg)
        elif name in known:
            if given.setdefault(known[name], name) != name:
                both = " and ".join(f"--{n.replace('_', '-')}" for n in (given[known[name]], name))
                raise CourseError(f"{both} are one setting under two names. Leave one of them out.")
            spelled.append("--" + known[name].replace("_", "-") + equals + value)
        else:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean --{close[0].replace('_', '-')}?" if close else f"{prog} --help lists what there is."
            raise CourseError(f"{prog} has no setting {flag}: {hint}")
    config: tuple[Any, ...] = (tyro.conf.FlagConversionOff,)
    return tyro.cli(form, args=spelled, prog=prog, description=description, config=config)


def _capitalized(form: type, args: list[str], aliases: dict[str, str]) -> list[str]:
    """What answers yes or no as tyro has it: ``true`` and ``false``, as in a TOML file; a flag alone means yes."""
    yes_or_no = {field.name for field in dataclasses.fields(form) if _is_yes_or_no(field.type)}
    spelled, wanted = [], False
    for i, arg in enumerate(args):
        if arg == "--":
            return spelled + args[i:]
        flag, equals, value = arg.partition("=")
        name = flag[2:].replace("-", "_") if flag.startswith("--") else ""
        asks = aliases.get(name, name) in yes_or_no
        if wanted and arg in ("true", "false"):
            arg = arg.capitalize()
        elif asks and value in ("true", "false"):
            arg = flag + equals + value.capitalize()
        spelled.append(arg)
        wanted = asks and not equals
        if wanted and (i + 1 == len(args) or args[i + 1].startswith("--")):
            spelled.append("True")
    return spelled


def _is_yes_or_no(kind: Any) -> bool:
    """Whether an annotation is bool, or bool or None, with a help text or without."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind is bool or bool in get_args(kind)
