"""Each chapter runs from top to bottom where there is a card: what its settings leave to ``auto`` runs there.

What a cell pins to the CPU stays there: such cells compare bits, or a course that is known for the CPU. All chapters
run at once, each in a process of its own and a folder of its own: one after another they would take minutes.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cards import CARDS, ROOT

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
NEEDED = ("IPython", "matplotlib", "ipywidgets", "anywidget", "tyro")
ON_THE_CARD = ("05_loop", "07_sampling")
"""Chapters that train by a recipe; `chapter.py` leaves the recipe's device to ``auto``."""
QUICK = ("01_tokenizer", "06_saving")
"""What runs on the CPU, too, to hold the script above: one with a widget, one with a command line. The cells are what
`make test` runs anyway."""


def start(chapter: Path, folder: Path) -> subprocess.Popen:
    """One chapter, in a project of its own."""
    (folder / "chapters").mkdir(parents=True)
    (folder / "_toc.yml").write_text("format: jb-book\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COURSE_OFFLINE": "1", "IPYTHONDIR": str(folder / "ipython")}
    with (folder / "printed").open("w") as printed:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "gpu" / "chapter.py"), str(chapter)],
            cwd=folder / "chapters", env=environment, stdout=printed, stderr=subprocess.STDOUT,
        )  # fmt: skip


Running = dict[Path, tuple[subprocess.Popen, Path]]


@pytest.fixture(scope="module")
def all_of_them() -> Iterator[Running]:
    """The chapters on their way, and where each writes what it prints; those that are still running end with this."""
    running: Running = {}
    yield running
    for process, _ in running.values():
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def running(
    device: str, all_of_them: Running, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Running:
    """`all_of_them`, started by the first test whose device is there: all chapters that are wanted, at once."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        pytest.skip(f"the chapters need {', '.join(missing)}, not installed here")
    if not all_of_them:
        for item in request.session.items:
            chapter = item.callspec.params.get("chapter") if hasattr(item, "callspec") else None
            if item.path == request.path and chapter is not None and chapter not in all_of_them:
                folder = tmp_path_factory.mktemp(chapter.stem)
                all_of_them[chapter] = start(chapter, folder), folder / "printed"
    return all_of_them


def device_of(chapter: Path) -> list:
    cpu = [pytest.param(chapter, "cpu", marks=pytest.mark.slow)] if chapter.stem in QUICK else []
    return [*cpu, *(pytest.param(chapter, *card.values, marks=card.marks) for card in CARDS)]


@pytest.mark.xdist_group("chapters on a card")  # they start all at once, whichever test comes first
@pytest.mark.parametrize(
    ("chapter", "device"),
    [case for chapter in CHAPTERS for case in device_of(chapter)],
    indirect=["device"],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_a_chapter_runs_where_there_is_a_card(chapter: Path, device: str, running: Running) -> None:
    process, printed = running[chapter]
    assert process.wait(timeout=150) == 0, printed.read_text(errors="replace")[-4000:]
    *_, last = printed.read_text(errors="replace").splitlines()
    assert "cells ran" in last
    if device == "cuda" and chapter.stem in ON_THE_CARD:
        assert "; 0 bytes" not in last


def test_the_chapters_that_are_named_are_there() -> None:
    assert {chapter.stem for chapter in CHAPTERS} >= {*ON_THE_CARD, *QUICK}


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (
            ["x = 6", "!echo sum {x + 1}", "display('shown')", "%pwd\nx * 7"],
            ["sum 7", "'shown'", "Out[4]: 42", "4 cells"],
        ),
        (
            ["from course_lib.recipes import load_recipe", "load_recipe('tinytales_cpu').train.device"],
            ["Out[2]: 'auto'", "2 cells"],
        ),
        (["x = 6", "assert x == 7", "print('never')"], ["AssertionError", "cell 2 of", "assert x == 7"]),
    ],
    ids=["as in a notebook", "recipes leave the device to auto", "a cell that fails ends it"],
)
def test_cells_run_as_in_a_notebook(tmp_path: Path, cells: list[str], says: list[str]) -> None:
    pytest.importorskip("IPython")
    notebook = {"cells": [{"cell_type": "code", "source": [cell]} for cell in cells]}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    process = start(tmp_path / "a.ipynb", tmp_path / "project")
    code = process.wait(timeout=60)
    printed = (tmp_path / "project" / "printed").read_text()
    assert (code == 0) == (says[-1].endswith(" cells")), printed
    assert [word for word in says if word not in printed] == [], printed
    assert "\nnever" not in printed
