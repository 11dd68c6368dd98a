"""``course --tyro-print-completion SHELL``: a script by which a shell completes commands, settings and their values."""

import contextlib
import dataclasses
import io
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

import tyro
from tyro.conf import Positional

from course_lib.errors import CourseError, nearest

SHELLS = ("bash", "zsh")
"""Those that tyro serves without a further package."""
FLAG = "--tyro-print-completion"


def script(commands: Mapping[str, Callable[..., Any]], args: list[str]) -> str:
    """The script of the shell that ``args`` name, by tyro, for the program ``course``.

    Raises:
        CourseError: for another shell, or none.
    """
    if len(args) != 1 or args[0] not in SHELLS:
        other = nearest(args[0], SHELLS) if args else f"name one of {', '.join(SHELLS)}."
        raise CourseError(f"course {FLAG} makes a script for {', '.join(SHELLS)}: {other}")
    marked = []
    for name, function in commands.items():
        about = (function.__doc__ or "").split(":")[0]
        marked.append(Annotated[form_of(name, function), tyro.conf.subcommand(name, description=about)])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(Union[tuple(marked)], prog="course", args=[FLAG, args[0]], config=(tyro.conf.OmitArgPrefixes,))  # noqa: UP007
    return printed.getvalue()


def form_of(name: str, function: Callable[..., Any]) -> type:
    """The dataclass with the settings of a command: in its module, and called after it."""
    if name != "train":
        return getattr(sys.modules[function.__module__], f"{name.capitalize()}Settings")
    from course_lib.cli.flags import NewRun, OldRun
    from course_lib.recipes import names, setting_fields

    # Both of its forms in one, and everything with a default: nothing is trained by it.
    known = {field.name: field for form in (OldRun, NewRun) for field in dataclasses.fields(form)} | setting_fields()
    settings = []
    for name, field in known.items():
        default = 1 if field.default is dataclasses.MISSING else field.default  # the shape, which recipes always give
        settings.append((name, field.type, dataclasses.field(default=default)))
    recipe = ("recipe", Positional[Literal[tuple(names())]])  # type: ignore[misc]
    return dataclasses.make_dataclass("Train", [recipe, *settings])
