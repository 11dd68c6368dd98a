"""What learners return in this chapter, rows of ids, whatever they are made of. No torch is needed."""

from typing import Any

from course_lib.exercises.judge.calling import described
from course_lib.exercises.judge.exercise import Wrong
from course_lib.exercises.judge.values import plain


def need_ids(value: Any, what: str) -> list[int]:
    """``value`` as a list of whole numbers."""
    hint = " Does the function end with return?" if value is None else ""
    row = plain(value)
    if not isinstance(row, list):
        raise Wrong(f"{what} should be a list of whole numbers; it is {described(value)}.{hint}")
    for place, one in enumerate(row):
        if isinstance(one, bool) or not isinstance(one, int):
            raise Wrong(
                f"{what} should be a list of whole numbers; at position {place} (counted from 0) stands "
                f"{described(one)}."
            )
    return row


LABELS = "An id is a label, not a number to count with: take the targets from the text, one position further on."


def need_pairs(value: Any, what: str, parts: str) -> list[Any]:
    """``value`` as a list of pairs; ``parts`` says of what, such as ``(x, y)``."""
    hint = " Does the function end with return?" if value is None else ""
    if hasattr(value, "__next__"):
        value = list(value)
    if not isinstance(value, (list, tuple)):
        raise Wrong(f"{what} should be a list of pairs {parts}; it is {described(value)}.{hint}")
    for place, pair in enumerate(value):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise Wrong(
                f"{what} should be a list of pairs {parts}; at position {place} (counted from 0) stands "
                f"{described(pair)}."
            )
    return list(value)
