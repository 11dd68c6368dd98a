"""What the lab's tests share: where it is shown, and a text whose truths are known."""

from dataclasses import replace

import pytest

from course_lib.corpora import Fault, Grade, Part
from course_lib.data.corpus import CORPORA
from course_lib.lab import view


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[view.LiveView]:
    """What the lab displays in the cell that trains."""
    found: list[view.LiveView] = []
    monkeypatch.setattr(view, "display", found.append)
    return found


def grade_lines(text: str) -> Grade:
    """A judge for tests: a line is a sentence, and good where it is longer than three characters."""
    parts, start = [], 0
    while "\n" in text[start:]:
        end = text.index("\n", start) + 1
        fault = Fault(start, text[start : end - 1], ("more",)) if end - start <= 4 else None
        parts.append(Part(start, end, fault))
        start = end
    return Grade(text, tuple(parts), ())


@pytest.fixture
def known_text(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a dataset with a floor of 8 / T nats, an entropy rate of 0.1, and a judge."""
    truths = {"lines": lambda T: {f"floor at block_size {T}": 8 / T, "entropy rate": 0.1}, "grade": grade_lines}
    monkeypatch.setitem(CORPORA, "known", replace(CORPORA["tinytales"], **truths))
    return "known"
