"""How a planted wrong answer is judged in the tests of every chapter's exercises."""

from collections.abc import Iterable
from typing import Any

from course_lib.exercises import check


def assert_told(exercise: str, attempt: Any, words: str | Iterable[str]) -> str:
    """Hold that `check` refuses ``attempt`` and says all of ``words``; returns what it said, on one line."""
    verdict = check(exercise, attempt)
    assert verdict.passed is False
    said = " ".join(repr(verdict).split())
    assert [word for word in ([words] if isinstance(words, str) else words) if word not in said] == [], said
    return said
