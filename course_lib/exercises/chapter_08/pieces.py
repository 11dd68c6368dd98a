"""A call that comes to an end and changes nothing, and pairs of pieces in what it returned."""

import copy
from collections.abc import Callable
from typing import Any

from course_lib.exercises.chapter_08.merging import Pair
from course_lib.exercises.judge.calling import call, described
from course_lib.exercises.judge.exercise import Wrong
from course_lib.exercises.judge.patience import patience


def ask(function: Callable[..., Any], *args: Any, shown: str) -> Any:
    """What ``function`` returns; `Wrong` where it raises, has no end, or changes what it was given."""
    given = copy.deepcopy(args)
    with patience(function, shown):
        returned = call(function, *given, shown=shown)
    for mine, theirs in zip(args, given):
        if isinstance(mine, (list, dict)) and (mine != theirs or list(mine) != list(theirs)):
            kind = type(mine).__name__
            raise Wrong(f"{shown} changed the {kind} that it was given. Leave it as it is and make one of your own.")
    return returned


def need_piece(value: Any, what: str) -> bytes:
    """``value``, if it is a piece, with words for what else it often is."""
    if isinstance(value, bytes):
        return value
    known = {
        int: "A loop over a byte string gives numbers; bytes([number]) is a piece again, and so is word[i : i + 1].",
        str: "A byte string has a b in front, and decode() leads away from it.",
        tuple: "The two halves of a pair become one piece with first + second.",
    }  # fmt: skip
    words = "" if isinstance(value, bool) else known.get(type(value), "")
    raise Wrong(f"{what} should be a byte string, such as b'a'; it is {described(value)}. {words}".rstrip())


def need_pair(value: Any, what: str) -> Pair:
    """``value``, if it is a pair of pieces."""
    hint = " Does the function end with return?" if value is None else ""
    if isinstance(value, bytes):
        hint = " The pair itself is wanted, not yet merged."
    if not isinstance(value, tuple) or len(value) != 2:
        raise Wrong(f"{what} should be a pair, a tuple of two byte strings; it is {described(value)}.{hint}")
    for place, piece in zip(("first", "second"), value):
        need_piece(piece, f"The {place} half of {what[0].lower()}{what[1:]}")
    return value
