"""What learners return in this chapter, rows of probabilities, whatever they are made of. No torch is needed."""

import math
from collections.abc import Sequence
from typing import Any

from course_lib.exercises.judge.calling import described, number
from course_lib.exercises.judge.exercise import Wrong

CLOSE = 1e-5


def plain(value: Any) -> Any:
    """Arrays, tensors and their numbers as Python's own lists and numbers; tuples as lists; the rest as it is."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def need_row(value: Any, length: int, what: str) -> list[float]:
    """``value`` as a list of ``length`` finite numbers."""
    hint = " Does the function end with return?" if value is None else ""
    row = plain(value)
    if not isinstance(row, list):
        raise Wrong(f"{what} should be a list of {length} probabilities; it is {described(value)}.{hint}")
    for place, one in enumerate(row):
        if isinstance(one, bool) or not isinstance(one, (int, float)):
            raise Wrong(f"{what}: at place {place} (counted from 0) should be a number; there stands {described(one)}.")
        if not math.isfinite(one):
            raise Wrong(f"{what}: at place {place} (counted from 0) stands {one}. A probability is a finite number.")
    if len(row) != length:
        raise Wrong(f"{what} should have {length} entries, one for each token; it has {len(row)}.")
    return [float(one) for one in row]


def alike(got: Sequence[float], expected: Sequence[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=CLOSE) for a, b in zip(got, expected, strict=True))


def same_probabilities(
    got: Any, expected: Sequence[float], what: str, mistakes: Sequence[tuple[Sequence[float], str]] = ()
) -> None:
    """Nothing, if ``got`` is ``expected`` but for rounding; else `Wrong`, with the words of the mistake that fits."""
    row = need_row(got, len(expected), what)
    if alike(row, expected):
        return
    words = next((words for wrong, words in mistakes if alike(row, wrong)), "")
    if not words and abs(sum(row) - 1) > 1e-4:
        words = f"Together they are {number(sum(row))}, and should be 1: divide by the sum of what is left."
    place = next(i for i, (a, b) in enumerate(zip(row, expected)) if not alike([a], [b]))
    raise Wrong(
        f"{what}: at place {place} (counted from 0) expected {number(expected[place])}, got {number(row[place])}. "
        f"{words}".rstrip()
    )
