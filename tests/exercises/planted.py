"""How a planted wrong answer is judged in the tests of every chapter's exercises."""

from collections.abc import Iterable
from typing import Any

from course_lib.exercises import check, find


def assert_told(exercise: str, attempt: Any, words: str | Iterable[str]) -> str:
    """Hold that `check` refuses ``attempt`` and says all of ``words``; returns what it said, on one line."""
    verdict = check(exercise, attempt)
    assert verdict.passed is False
    said = " ".join(repr(verdict).split())
    assert [word for word in ([words] if isinstance(words, str) else words) if word not in said] == [], said
    return said


# What goes wrong in any exercise -----------------------------------------------------------------------------


def solved(exercise):
    """What the solution of an exercise hands in."""
    names = {}
    exec(find(exercise).solution, names)
    return names[find(exercise).attempt]


def raises(*args):
    raise IndexError("list index out of range")


def endless(right):
    """It finds the right answer, and then goes on and on."""

    def goes_on(*args):
        right(*args)
        while True:
            pass

    return goes_on


def nothing(right):
    """It has the right answer, and keeps it."""

    def keeps_it(*args):
        right(*args)

    return keeps_it


def then(right, change):
    """The right answer, changed."""

    def changed(*args):
        return change(right(*args))

    return changed


def slow(right):
    """It would come to an end, tomorrow."""

    def waits(*args):
        for _ in range(10**11):
            pass
        return right(*args)

    return waits
