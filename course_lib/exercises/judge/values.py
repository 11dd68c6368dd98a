"""Numbers and rows of a learner, compared with words. No torch."""

import math
from collections.abc import Hashable, Iterable, Sequence
from numbers import Rational
from typing import Any

from course_lib.exercises.judge.calling import described, number
from course_lib.exercises.judge.exercise import Wrong


def plain(value: Any) -> Any:
    """Arrays, tensors and their numbers as Python's own lists and numbers; tuples as lists; the rest as it is."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def need_number(value: Any, what: str) -> float:
    """``value`` as a float, if it is a plain finite number (numpy's own and a Fraction count as plain).

    Args:
        what: how to call it, such as "What train_step returned".
    """
    if value is None:
        raise Wrong(f"{what} should be a number; it is None. Does the function end with return?")
    if type(value).__module__.startswith("torch") and hasattr(value, "item"):
        remedy = ".item() takes the number out" if value.ndim == 0 else "take the mean first, then .item()"
        raise Wrong(f"{what} should be a plain number; it is {described(value)}: {remedy}.")
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, Rational) and not isinstance(value, int):  # a Fraction is a number too
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Wrong(f"{what} should be a number; it is {described(value)}.")
    if not math.isfinite(value):
        raise Wrong(f"{what} should be a finite number; it is {value}.")
    return float(value)


def by_case(attempt: Any, cases: Sequence[Hashable], expects: str) -> dict[Any, Any]:
    """The answers to several cases, from a dict by case or from a list or tuple in their order.

    Args:
        expects: what should have come, in words, as the exercise has it.
    """
    if isinstance(attempt, dict):
        missing = [case for case in cases if case not in attempt]
        if missing:
            raise Wrong(f"Expected is {expects}; there is no answer for {missing[0]!r}.")
        return {case: attempt[case] for case in cases}
    if isinstance(attempt, (list, tuple)) and len(attempt) == len(cases):
        return dict(zip(cases, attempt))
    raise Wrong(f"Expected is {expects}. It got {described(attempt)}.")


def near(a: float, b: float, rel: float = 1e-4, abs_: float = 1e-6) -> bool:
    """Whether two numbers are the same but for rounding."""
    return math.isclose(a, b, rel_tol=rel, abs_tol=abs_)


def first_match(got: float, mistakes: Iterable[tuple[float, str]], rel: float = 1e-4) -> str | None:
    """Of known mistakes, each the number it leads to and what to say, the words of the first that fits."""
    return next((words for value, words in mistakes if near(got, value, rel)), None)


def same_number(got: Any, expected: float, what: str, mistakes: Iterable[tuple[float, str]] = ()) -> None:
    """Nothing, if ``got`` is ``expected``; else `Wrong`, with the words of the known mistake that leads there."""
    value = need_number(got, what)
    if near(value, expected):
        return
    words = first_match(value, mistakes)
    raise Wrong(f"{what} should be {number(expected)}; it is {number(value)}." + (f" {words}" if words else ""))


def same_row(got: Any, expected: Sequence[Any], what: str) -> None:
    """Nothing, if a list, tuple or text holds what it should; else `Wrong` with the first place that differs."""
    if isinstance(expected, str) != isinstance(got, str) or not isinstance(got, (list, tuple, str)):
        kind = "a text" if isinstance(expected, str) else "a list"
        raise Wrong(f"{what} should be {kind}; it is {described(got)}.")
    for place, (here, there) in enumerate(zip(got, expected)):
        if here != there:
            raise Wrong(f"{what} differs first at place {place} (counted from 0): expected {there!r}, got {here!r}.")
    if len(got) != len(expected):
        raise Wrong(f"{what} should have {len(expected)} entries; it has {len(got)}. As far as both go, they agree.")
