"""The rules that every notebook keeps, checked on the files. (`pytest --nbval` runs them and compares.)"""

import copy
import importlib.util
import json
import random
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from IPython.core.inputtransformer2 import TransformerManager
from nbclient.exceptions import CellExecutionError

from course_lib import losses
from course_lib.notebook import WIDGET_VIEW, normalized, refresh, setup, show
from course_lib.training import Trainer

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "chapters").glob("*.ipynb"))

MOST_LINES = 15
MOST_CELLS = 45
MOST_IGNORED = 3
WORDS_PER_LINE = (4, 8)
MACHINE_PATH = re.compile(r"(?<![\w.~$/})-])/(?:work|root|home|Users|tmp|opt|mnt|srv)(?![\w-])")
NOT_EVERYWHERE = re.compile(r"^:{3,}|\{ref\}|\{numref\}|\{eq\}", re.MULTILINE)
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def prose(notebook: dict) -> str:
    """The sentences of a notebook: its Markdown without code, tables, exercises and sources."""
    text = "\n\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    text = re.sub(r"^## Exercises\n.*?(?=^## |\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^\*\*Sources\.\*\* .*?(?=\n\n|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^\|.*$|`[^`\n]*`", "", text, flags=re.MULTILINE)


def problems(notebook: dict) -> list[str]:
    """Each broken rule in one sentence."""
    cells = notebook["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    found = [problem for cell in code for problem in problems_of_cell(cell)]
    counts = [cell["execution_count"] for cell in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(f"execution counts are {counts}: run it from the top in a fresh kernel")
    if len(cells) > MOST_CELLS:
        found.append(f"{len(cells)} cells: at most {MOST_CELLS}")
    ignored = sum("nbval-ignore-output" in cell["metadata"].get("tags", []) for cell in code)
    if ignored > MOST_IGNORED:
        found.append(f"{ignored} cells are not compared: at most {MOST_IGNORED}")
    if len({cell["id"] for cell in cells}) < len(cells):
        found.append("two cells have one id")
    text = json.dumps(notebook, ensure_ascii=False)
    found += [f"a path of one machine: {path}" for path in MACHINE_PATH.findall(text)]
    found += [f"an address in memory: {address}" for address in ADDRESS.findall(text)]
    markdown = "\n\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    found += [f"markup that one of the three places does not show: {sign}" for sign in NOT_EVERYWHERE.findall(markdown)]
    if notebook != normalized(notebook):
        found.append("not normalized: see course_lib.notebook.normalized")
    return found


def problems_of_cell(cell: dict) -> list[str]:
    found, name, tags = [], cell["id"], cell["metadata"].get("tags", [])
    lines = source(cell).splitlines()
    if len(lines) > MOST_LINES:
        found.append(f"{name}: {len(lines)} lines, at most {MOST_LINES}")
    if lines and lines[-1].rstrip().endswith(";"):
        found.append(f"{name}: a semicolon at the end hides a value here and shows it in the test")
    for output in cell["outputs"]:
        if output["output_type"] == "error" and "raises-exception" not in tags:
            found.append(f"{name}: a stored error without the tag raises-exception")
        if output.get("name") == "stderr":
            found.append(f"{name}: a stored warning")
        if "image/png" in output.get("data", {}) and not cell["metadata"].get("mystnb", {}).get("image", {}).get("alt"):
            found.append(f"{name}: a picture without alternative text (metadata: mystnb.image.alt)")
    return found


# The chapters ---------------------------------------------------------------------------------------------


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_the_rules(path):
    assert problems(read(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_there_is_as_much_prose_as_the_code_needs(path):
    notebook = read(path)
    lines = [line for cell in notebook["cells"] if cell["cell_type"] == "code" for line in source(cell).splitlines()]
    n_lines = sum(bool(line.strip()) for line in lines)
    n_words = sum(any(sign.isalnum() for sign in word) for word in prose(notebook).split())
    assert WORDS_PER_LINE[0] <= n_words / n_lines <= WORDS_PER_LINE[1], f"{n_words} words, {n_lines} lines"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_begins_as_all_do(path):
    first, second = read(path)["cells"][:2]
    assert source(first).startswith(f"# {path.stem[:2]} ")
    assert re.search(r"\n\n\*\*.+\?\*\*\n\n", source(first)), "one question, in bold"
    assert "minutes" in source(first)
    assert second["id"] == "setup"


def test_all_set_up_cells_say_the_same():
    cells = [source(read(path)["cells"][1]) for path in NOTEBOOKS]
    assert len({cell.split("from course_lib.notebook import")[0] for cell in cells}) == 1


# The set-up cell where the course is missing, as on Colab --------------------------------------------------


class FakeShell:
    """In place of IPython's: writes down what %pip is asked, with the values that the cell would fill in."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"get_ipython": lambda: self}
        self.asked: list[str] = []

    def run_line_magic(self, name: str, line: str) -> None:
        assert name == "pip"
        self.asked += shlex.split(eval(f"f{line!r}", self.names))


def run_set_up(monkeypatch, here: Path, missing: set[str], environment: dict[str, str]) -> list[str]:
    """The words that the set-up cell hands to pip when ``missing`` packages are not there."""
    find, shell = importlib.util.find_spec, FakeShell()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    monkeypatch.chdir(here)
    monkeypatch.delenv("COURSE_LIB", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    install = source(read(NOTEBOOKS[0])["cells"][1]).split("from course_lib.notebook import")[0]
    exec(TransformerManager().transform_cell(install), shell.names)
    return shell.asked


def test_the_set_up_cell_installs_nothing_where_the_course_is(monkeypatch, tmp_path):
    assert run_set_up(monkeypatch, tmp_path, set(), {}) == []


def test_the_set_up_cell_installs_the_wheel_and_keeps_what_is_there(monkeypatch, tmp_path):
    wheel = tmp_path / "course_lib-0.1.0-py3-none-any.whl"
    wheel.touch()
    asked = run_set_up(monkeypatch, tmp_path, {"course_lib"}, {})
    assert asked[:3] == ["install", "--quiet", wheel.name]
    for package in ("torch", "numpy", "ipywidgets"):
        assert f"{package}=={version(package)}" in asked
    asked = run_set_up(monkeypatch, tmp_path, {"course_lib", "ipywidgets"}, {"COURSE_LIB": "elsewhere"})
    assert "elsewhere" in asked
    assert not [word for word in asked if word.startswith("ipywidgets")]


def test_the_set_up_cell_says_what_to_do_where_there_is_no_wheel(monkeypatch, tmp_path):
    with pytest.raises(AssertionError, match=r"course_lib-\*\.whl.*COURSE_LIB"):
        run_set_up(monkeypatch, tmp_path, {"course_lib"}, {})


# The rules, proved on planted mistakes --------------------------------------------------------------------


def code_cell(text: str, count: int, *outputs: dict, name: str = "", **metadata: object) -> dict:
    lines = text.splitlines(keepends=True)
    cell = {"cell_type": "code", "execution_count": count, "id": name or f"cell-{count}", "metadata": metadata}
    return cell | {"outputs": list(outputs), "source": lines}


def stream(text: str, name: str = "stdout") -> dict:
    return {"name": name, "output_type": "stream", "text": text.splitlines(keepends=True)}


def display(**data: object) -> dict:
    return {"data": data, "metadata": {}, "output_type": "display_data"}


ALT = {"image": {"alt": "a falling curve"}}
ERROR = {"ename": "ValueError", "evalue": "no", "output_type": "error", "traceback": []}
PICTURE = display(**{"image/png": "abc", "text/plain": "a picture"})
SOUND = normalized({
    "cells": [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# 05 The loop"]},
        code_cell("print(1)", 1, stream("1\n")),
        code_cell("1 / 0", 2, ERROR, tags=["raises-exception"]),
        code_cell("figure", 3, PICTURE, mystnb=ALT),
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
})  # fmt: skip


def planted(**kinds: object) -> dict:
    """The sound notebook with one more cell, or something changed."""
    notebook = copy.deepcopy(SOUND)
    notebook["cells"] += kinds.get("cells", [])
    notebook["metadata"] |= kinds.get("metadata", {})
    return notebook


PLANTED = {
    "a cell that was not run": ([code_cell("1", None)], "execution counts"),
    "a cell that was run twice": ([code_cell("1", 5)], "execution counts"),
    "a long cell": ([code_cell("1\n" * 16, 4)], "16 lines"),
    "a semicolon": ([code_cell("plot();", 4)], "semicolon"),
    "an error": ([code_cell("1 / 0", 4, ERROR)], "raises-exception"),
    "a warning": ([code_cell("f()", 4, stream("UserWarning", "stderr"))], "warning"),
    "a picture for those alone who see": ([code_cell("figure", 4, PICTURE)], "alternative text"),
    "a path in an output": ([code_cell("p", 4, stream("in /home/me/x\n"))], "a path of one machine"),
    "an address": ([code_cell("f", 4, stream("<f at 0x7f0a1b2c3d>\n"))], "an address"),
    "a widget": ([code_cell("lab", 4, display(**{WIDGET_VIEW: {}, "text/plain": "Lab"}))], "not normalized"),
    "times of execution": ([code_cell("1", 4, execution={"iopub.execute_input": "x"})], "not normalized"),
    "an id twice": ([code_cell("1", 4, name="title")], "one id"),
    "a colon fence": (
        [{"cell_type": "markdown", "id": "m", "metadata": {}, "source": ["::::{note}\n", "x\n", "::::"]}],
        "markup",
    ),
    "too many cells": ([code_cell("1", n) for n in range(4, 50)], "at most 45"),
    "too many that are not compared": (
        [code_cell("1", n, tags=["nbval-ignore-output"]) for n in range(4, 8)],
        "4 cells are not compared",
    ),
}


def test_a_sound_notebook_has_no_problem():
    assert problems(SOUND) == []


@pytest.mark.parametrize(("cells", "complaint"), PLANTED.values(), ids=PLANTED)
def test_a_planted_mistake_is_found(cells, complaint):
    found = problems(planted(cells=cells))
    assert [problem for problem in found if complaint in problem], found


def test_a_kernel_of_one_machine_is_found():
    assert problems(planted(metadata={"kernelspec": {"name": "my-venv"}})) == [
        "not normalized: see course_lib.notebook.normalized"
    ]


# course_lib.notebook --------------------------------------------------------------------------------------


def test_normalizing_joins_pieces_of_one_stream_and_keeps_the_rest():
    cell = code_cell(
        "f()", 1, stream("a\n"), stream("b\n"), stream("c\n", "stderr"), PICTURE, tags=["t"], scrolled=True
    )
    notebook = {"cells": [cell], "metadata": {"widgets": {}}, "nbformat": 4, "nbformat_minor": 5}
    before = copy.deepcopy(notebook)
    (clean,) = normalized(notebook)["cells"]
    assert clean["outputs"] == [stream("a\nb\n"), stream("c\n", "stderr"), PICTURE]
    assert clean["metadata"] == {"tags": ["t"]}
    assert notebook == before, "the argument stays as it was"
    assert normalized(normalized(notebook)) == normalized(notebook)


def test_refreshing_runs_a_notebook_and_stores_what_comes(tmp_path):
    path = tmp_path / "05_small.ipynb"
    cells = ["import os\nprint(os.listdir())", "display({'text/plain': 'a'}, raw=True)\n2"]
    notebook = normalized(planted() | {"cells": [code_cell(text, 7, name=f"c{i}") for i, text in enumerate(cells)]})
    path.write_text(json.dumps(notebook))
    refresh(path)
    stored = read(path)
    assert problems(stored) == []
    first, second = stored["cells"]
    assert first["outputs"] == [stream("['05_small.ipynb']\n")]
    assert [output["data"] for output in second["outputs"]] == [{"text/plain": ["a"]}, {"text/plain": ["2"]}]
    before = path.read_text().replace("import os", "1 / 0")
    path.write_text(before)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        refresh(path)
    assert path.read_text() == before


def test_setup_makes_numbers_repeat_and_limits_the_threads():
    threads = torch.get_num_threads()
    try:
        setup(seed=3, threads=1)
        first = random.random(), torch.rand(2).tolist()
        assert torch.get_num_threads() == 1
        setup(seed=3)
        assert (random.random(), torch.rand(2).tolist()) == first
        setup(seed=4)
        assert (random.random(), torch.rand(2).tolist()) != first
    finally:
        torch.set_num_threads(threads)


def test_notebook_itself_loads_no_torch():
    code = "import course_lib.notebook, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_show_gives_the_source_as_it_stands():
    source = show(losses.cross_entropy)
    markdown = source._repr_markdown_()
    assert markdown.startswith("`course_lib.losses.cross_entropy`\n\n```python\ndef cross_entropy(")
    assert markdown.endswith("targets.flatten())\n```")
    assert repr(source).startswith("course_lib.losses.cross_entropy\n\ndef")
    method = show(Trainer.stop)._repr_markdown_()
    assert "\ndef stop(self) -> None:\n    " in method, "a method stands at the margin"
