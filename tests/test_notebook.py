"""What notebooks need of the library: a start that repeats, source on the page, a clean file, told what changed."""

import copy
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from nbclient.exceptions import CellExecutionError
from notebook_rules import problems_of_file

from course_lib import losses, pages
from course_lib.errors import CourseError
from course_lib.notebook import changes, executed, find_chapter, main, normalized, refresh, setup, show
from course_lib.training import Trainer


def code_cell(text: str, count: int | None, *outputs: dict, name: str = "", **metadata: object) -> dict:
    lines = text.splitlines(keepends=True)
    cell = {"cell_type": "code", "execution_count": count, "id": name or f"cell-{count}", "metadata": metadata}
    return cell | {"outputs": list(outputs), "source": lines}


def stream(text: str, name: str = "stdout") -> dict:
    return {"name": name, "output_type": "stream", "text": text.splitlines(keepends=True)}


def display(**data: object) -> dict:
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def notebook_of(*cells: dict) -> dict:
    return normalized({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


PICTURE = display(**{"image/png": "abc", "text/plain": "a picture"})


# A clean file ---------------------------------------------------------------------------------------------


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


def test_an_output_is_folded_by_its_tag_alone():
    opened = code_cell("1", 1, tags=["hide-output"], jupyter={"outputs_hidden": False})
    closed_by_hand = code_cell("2", 2, jupyter={"outputs_hidden": True}, collapsed=True)
    clean = normalized({"cells": [opened, closed_by_hand], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    folded = {"tags": ["hide-output"], "jupyter": {"outputs_hidden": True}, "collapsed": True}
    assert [cell["metadata"] for cell in clean["cells"]] == [folded, {}]


def test_refreshing_runs_a_notebook_and_stores_what_comes(tmp_path):
    path = tmp_path / "05_small.ipynb"
    cells = ["import os\nprint(os.listdir())", "display({'text/plain': 'a'}, raw=True)\n2"]
    path.write_text(json.dumps(notebook_of(*(code_cell(text, 7, name=f"c{i}") for i, text in enumerate(cells)))))
    assert refresh(path) == ["cell 1 (c0):\n    +['05_small.ipynb']", "cell 2 (c1):\n    +a\n    +2"]
    stored = read(path)
    assert problems_of_file(stored) == []
    first, second = stored["cells"]
    assert first["outputs"] == [stream("['05_small.ipynb']\n")]
    assert [output["data"] for output in second["outputs"]] == [{"text/plain": ["a"]}, {"text/plain": ["2"]}]
    written = path.stat().st_mtime_ns
    assert refresh(path) == []
    assert path.stat().st_mtime_ns == written, "a file in which nothing differs is not touched"
    before = path.read_text().replace("import os", "1 / 0")
    path.write_text(before)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        refresh(path)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "no scratch file is left"


def test_a_refresh_that_is_cut_off_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    def full(*args):
        raise OSError("no space left")

    path = tmp_path / "05_small.ipynb"
    path.write_text(json.dumps(notebook_of(code_cell("1", 7))))
    before = path.read_text()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        refresh(path)
    assert path.read_text() == before


# What a refresh says has changed --------------------------------------------------------------------------


def said(before: list[dict], after: list[dict], source: str = "f()", **metadata: object) -> list[str]:
    old, new = (notebook_of(code_cell(source, 1, *outputs, name="c", **metadata)) for outputs in (before, after))
    return changes(old, new)


def test_what_is_the_same_is_not_told():
    outputs = [stream("a\n"), PICTURE, display(**{"text/plain": ["x"], "text/html": "<b>x</b>"})]
    assert said(outputs, outputs) == []
    assert said([stream("a\nb\n")], [stream("a\n"), stream("b\n")]) == [], "pieces of one stream are one"


def test_old_and_new_lines_are_told_and_those_that_stay_are_not():
    assert said([stream("a\nb\nc\n")], [stream("a\nB\nc\n")]) == ["cell 1 (c):\n    -b\n    +B"]
    error = {"ename": "ValueError", "evalue": "no", "output_type": "error", "traceback": []}
    assert said([], [error]) == ["cell 1 (c):\n    +ValueError: no"]
    assert said([display(**{"text/markdown": "old"})], []) == ["cell 1 (c):\n    -old"]
    twice = [display(**{"text/plain": word, "text/html": f"<b>{word}</b>"}) for word in ("old", "new")]
    assert said(twice[:1], twice[1:]) == ["cell 1 (c):\n    -old\n    +new"], "once is enough"
    html = [display(**{"text/plain": "x", "text/html": word}) for word in ("old", "new")]
    assert said(html[:1], html[1:]) == ["cell 1 (c):\n    -old\n    +new"]
    many = said([], [stream("".join(f"{i}\n" for i in range(40)))])[0].splitlines()
    assert len(many) == 14
    assert many[-1].strip() == "... and 28 more"


def test_a_measured_cell_is_told_as_such():
    (found,) = said([stream("1 s")], [stream("2 s")], tags=["nbval-ignore-output"])
    assert found.startswith("cell 1 (c), which is not compared:")


def test_a_picture_counts_only_where_its_bytes_differ():
    other = display(**{"image/png": "abd", "text/plain": "a picture"})
    assert said([PICTURE], [other]) == ["cell 1 (c): picture redrawn"]
    assert said([PICTURE], [PICTURE]) == []


def test_counts_alone_are_told_in_one_line():
    old, new = (notebook_of(code_cell("1", count, name="c")) for count in (None, 1))
    assert changes(old, new) == ["no output differs; counts or details of the file do"]


def test_a_new_cell_is_all_new():
    old, new = notebook_of(), notebook_of(code_cell("print(1)", 1, stream("1\n"), name="new"))
    assert changes(old, new) == ["cell 1 (new):\n    +1"]


# make refresh ---------------------------------------------------------------------------------------------


@pytest.fixture
def chapters(project: Path) -> Path:
    """Two chapters that run in a moment."""
    (project / "chapters").mkdir()
    for name in ("05_loop", "11_scaling"):
        cell = code_cell(f"print('{name}')", 1, name="c")
        (project / "chapters" / f"{name}.ipynb").write_text(json.dumps(notebook_of(cell)))
    return project / "chapters"


def test_a_chapter_is_found_by_number_name_and_path(chapters):
    loop = chapters / "05_loop.ipynb"
    for name in ("05", "5", "05_loop", str(loop), "chapters/05_loop.ipynb"):
        assert find_chapter(name).resolve() == loop
    assert find_chapter("11").name == "11_scaling.ipynb"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "CHAPTER is missing; there is: 05, 11"),
        ("13", "no chapter '13'; there is: 05, 11"),
        ("x.ipynb", "no chapter"),
    ],
)
def test_a_chapter_that_there_is_not_is_told(chapters, name, words):
    with pytest.raises(CourseError, match=words):
        find_chapter(name)


def test_make_refresh_says_what_changed(chapters, capsys):
    assert main(["5"]) == 0
    assert "cell 1 (c):\n    +05_loop\n" in capsys.readouterr().out
    assert main(["05"]) == 0
    printed = capsys.readouterr().out
    assert "Nothing has changed.\n" in printed
    assert printed.endswith("Every output that is compared is the same there.\n")
    for args in ([], [""], [" "]):
        assert main(args) == 2
        assert "make refresh CHAPTER=05" in capsys.readouterr().err


def test_make_refresh_of_a_broken_chapter_says_which_cell(chapters, capsys):
    path = chapters / "05_loop.ipynb"
    path.write_text(path.read_text().replace("print(", "prnt("))
    before = path.read_text()
    assert main(["05"]) == 1
    printed = capsys.readouterr().err
    assert "prnt('05_loop')" in printed
    assert "NameError" in printed
    assert "stays as it was" in printed
    assert path.read_text() == before


def test_make_refresh_says_what_another_processor_would_show(chapters, capsys):
    """A chapter that prints how wide its vectors are stands for one that prints what they add up to."""
    width = "import torch\nprint(torch.backends.cpu.get_cpu_capability())"
    wider = "assert torch.backends.cpu.get_cpu_capability() != 'DEFAULT'"
    cells = [
        code_cell(width, 1, name="a"),
        code_cell(width, 2, name="b", tags=["nbval-ignore-output"]),
        code_cell(wider, 3, name="d", tags=["nbval-ignore-output"]),
        code_cell(f"{width}\n{wider}", 4, name="c"),
    ]
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has nothing but the lowest")
    (chapters / "05_loop.ipynb").write_text(json.dumps(notebook_of(*cells)))
    assert main(["05"]) == 1
    told = capsys.readouterr().out.partition("These outputs differ there")[2]
    assert "cell 1 (a):\n    -AVX" in told
    assert "+DEFAULT" in told
    assert "(b)" not in told, "that cell is not compared"
    assert "cell 3 (d), which is not compared:\n    +AssertionError" in told, "but what it asserts has to hold"
    assert "cell 4 (c):" in told, "and the cells after a failure are run too"


# setup and show -------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_kernel_takes_its_threads_from_the_environment(tmp_path, threads):
    path = tmp_path / "05_small.ipynb"
    cell = "from course_lib.notebook import setup\nsetup()\nimport torch\nprint(torch.get_num_threads())"
    path.write_text(json.dumps(notebook_of(code_cell(cell, 1, name="c"))))
    notebook = executed(path, {"COURSE_THREADS": threads})
    assert notebook["cells"][0]["outputs"] == [stream(f"{threads}\n")]


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5", " "])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, asked):
    before = torch.get_num_threads()
    monkeypatch.setenv("COURSE_THREADS", asked)
    with pytest.raises(CourseError, match=f"COURSE_THREADS should be a number of threads, 1 or more; it is '{asked}'"):
        setup()
    assert torch.get_num_threads() == before


def test_notebook_itself_loads_no_torch():
    code = "import course_lib.notebook, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_show_gives_the_source_as_it_stands():
    source = show(losses.cross_entropy)
    markdown = source._repr_markdown_()
    assert markdown.startswith("`course_lib.losses.cross_entropy`\n\n```python\ndef cross_entropy(")
    assert markdown.endswith("targets.flatten().long())\n```")
    assert repr(source).startswith("course_lib.losses.cross_entropy\n\ndef")
    method = show(Trainer.stop)._repr_markdown_()
    assert "\ndef stop(self) -> None:\n    " in method, "a method stands at the margin"


@pytest.mark.parametrize("name", [path.stem for path in pages.FOLDER.glob("[!_]*.py")])
def test_show_gives_a_page_by_its_name_and_does_not_run_it(name, monkeypatch):
    monkeypatch.delitem(sys.modules, f"course_lib.pages.{name}", raising=False)
    whole = (pages.FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert show(name)._repr_markdown_() == f"`course_lib.pages.{name}`\n\n```python\n{whole}```"
    assert repr(show(name)) == f"course_lib.pages.{name}\n\n{whole}"
    assert f"course_lib.pages.{name}" not in sys.modules


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train_gtp", "There is no page 'train_gtp': did you mean 'train_gpt'?"),
        ("", "There is no page '': known are train_gpt."),
        ("__init__", "There is no page '__init__': "),
        ("../notebook", "There is no page '../notebook': "),
        ("train_gpt.py", "There is no page 'train_gpt.py': did you mean 'train_gpt'?"),
    ],
)
def test_a_page_that_is_none_is_refused_with_what_there_is(name, words):
    with pytest.raises(CourseError) as caught:
        show(name)
    assert str(caught.value).startswith(words)
