"""The one exception that the library raises on purpose, and what goes with it: `need_whole`, `nearest`, `in_short`."""

import difflib
import re
from numbers import Integral

TOKEN_OF_THE_HUB = re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{8,}")


class CourseWarning(UserWarning):
    """Something that was asked for was done, but not quite as it was asked for."""


class CourseError(Exception):
    """Something the user can mend.

    The message says what was expected, what came instead, and what to do. The command line prints
    it without a traceback; a notebook shows it as any exception.
    """


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """A half sentence that names the known word nearest to ``name``, or lists what there is."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known are " + ", ".join(sorted(known)) + "."


def in_short(error: BaseException, token: str = "") -> str:
    """The first line of what somebody else's exception says, or its kind where it says nothing.

    Tokens of the Hub do not get into it, nor does ``token``.
    """
    said = str(error).strip() or type(error).__name__
    said = said.replace(token, "(the token)") if token else said
    return TOKEN_OF_THE_HUB.sub("(the token)", said.splitlines()[0])


def need_whole(name: str, value: object, low: int, bits: int | None = None, otherwise: str = "") -> int:
    """``value`` as an int, if it is a whole number from ``low`` on (and below 2**bits).

    True and 2.0 are none: they come from a mistake more often than not. ``otherwise`` names what else
    would be right, such as ``", or None for all tokens"``.

    Raises:
        CourseError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise CourseError(f"{name} should be a whole number{otherwise}; it is {value!r}.")
    if int(value) < low or (bits is not None and int(value) >= 2**bits):
        above = "" if bits is None else f" and below 2**{bits}"
        raise CourseError(f"{name} should be at least {low}{above}{otherwise}; it is {value}.")
    return int(value)
