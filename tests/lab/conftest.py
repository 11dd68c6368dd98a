"""What the lab's tests share: where it is shown, TinyTales made once, and a text whose truths are known."""

import functools
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.corpora import Fault, Grade, Part, tinytales
from course_lib.data import prepare
from course_lib.data.datasets import CORPORA
from course_lib.lab import view


@functools.cache
def tales() -> bytes:
    """TinyTales. It is the same text whenever it is made, so once is enough for all tests."""
    return tinytales.tinytales_text().encode()


@pytest.fixture(autouse=True)
def tales_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CORPORA, "tinytales", replace(CORPORA["tinytales"], read=tales))


@pytest.fixture(scope="session")
def prepared_tales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of TinyTales as it lies in a project that has trained on it before."""
    return prepare("tinytales", data=tmp_path_factory.mktemp("tales"))


@pytest.fixture
def project(project: Path, prepared_tales: Path) -> Path:
    """A project of the test's own, with a copy of the prepared TinyTales in its data/."""
    shutil.copytree(prepared_tales, project / "data" / "prepared" / prepared_tales.name)
    return project


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
def known_text(monkeypatch: pytest.MonkeyPatch, tales_made_once: None) -> str:
    """The name of a dataset with a floor of 8 / T nats, an entropy rate of 0.1, and a judge."""
    truths = {"lines": lambda T: {f"floor at block_size {T}": 8 / T, "entropy rate": 0.1}, "grade": grade_lines}
    monkeypatch.setitem(CORPORA, "known", replace(CORPORA["tinytales"], **truths))
    return "known"
