"""The chapters: each keeps the rules of `notebook_rules`, starts anywhere, runs twice and leaves nothing behind."""

import copy
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from notebook_rules import code_cells, problems, problems_of_exercises, source, without_exercises

from course_lib.exercises import Exercise, exercises_of
from course_lib.notebook import WIDGET_VIEW, normalized

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "chapters").glob("*.ipynb"))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


# The chapters ---------------------------------------------------------------------------------------------


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_keeps_the_rules(path):
    number = path.stem[:2]
    assert problems(read(path), number, exercises_of(number)) == []


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


# Run twice, from the wheel, in a folder of their own -------------------------------------------------------


@pytest.fixture(scope="module")
def installed(made_once: Callable) -> Path:
    """A folder with the library as its wheel brings it, and nothing of the checkout."""
    return made_once("installed", install) / "site"


def install(folder: Path) -> None:
    """Build the wheel from a copy of the sources, and unpack it into ``folder``/site."""
    checkout, wheels = folder / "checkout", folder / "wheels"
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "course_lib", checkout / "course_lib", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*build, "--no-build-isolation", "--wheel-dir", str(wheels), str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")


def files_of(folder: Path, apart: tuple[str, ...] = ()) -> dict[str, str]:
    """Every file below ``folder``, with a digest of what is in it; the folders ``apart`` are left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in apart
    }


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_library(installed):
    here = {name for name in files_of(ROOT / "course_lib") if "__pycache__" not in name}
    assert here - files_of(installed / "course_lib").keys() == set()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_runs_twice_and_leaves_nothing_behind(path, installed, tmp_path):
    """Without a mirror of the real corpora at first, and then with one, where there is one: it must not matter.

    On one thread, which `make test` does not do, and which costs a third less of the processor.
    """
    (tmp_path / "chapters").mkdir()
    shutil.copy(path, tmp_path / "chapters")
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    before = files_of(tmp_path)
    environment = os.environ | {"COURSE_OFFLINE": "1", "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"COURSE_THREADS": "1"}
    mirror = environment.pop("COURSE_DATA", None)
    nbval = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", f"chapters/{path.name}"]
    which = [sys.executable, "-c", "import course_lib; print(course_lib.__file__)"]
    where = subprocess.run(which, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert Path(where.strip()).is_relative_to(installed), "the wheel is what runs"
    for _ in range(2):
        done = subprocess.run(nbval, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:]
        assert files_of(tmp_path, apart=("data", "runs")) == before
        environment |= {"COURSE_DATA": mirror} if mirror else {}


# The rules, proved on planted mistakes --------------------------------------------------------------------


def code_cell(text: str, *outputs: dict, name: str = "", **metadata: object) -> dict:
    lines = text.splitlines(keepends=True)
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": metadata,
        "outputs": list(outputs),
    } | {"source": lines}


def text_cell(text: str, name: str = "") -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}


def stream(text: str, name: str = "stdout") -> dict:
    return {"name": name, "output_type": "stream", "text": text.splitlines(keepends=True)}


def display(**data: object) -> dict:
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def numbered(cells: list[dict]) -> list[dict]:
    """With ids where they are missing and with the counts of a run from the top."""
    for i, cell in enumerate(cells):
        cell["id"] = cell["id"] or f"cell-{i}"
    for count, cell in enumerate(code_cells(cells), 1):
        cell["execution_count"] = count
    return cells


ALT = {"image": {"alt": "a falling curve"}}
ERROR = {"ename": "ValueError", "evalue": "no", "output_type": "error", "traceback": []}
PICTURE = display(**{"image/png": "abc", "text/plain": "a picture"})
BLANK = display(**{"text/plain": "Not attempted yet."})
FOLDED = display(**{"text/plain": "Hints for 05-1: click to unfold."})
EXERCISES = [
    Exercise(f"05-{i + 1}", title, difficulty, 5 * (i + 1), f"attempt_{i + 1}", "a number", ("think",), str)
    for i, (title, difficulty) in enumerate([("A count", "easy"), ("A step", "medium")])
]


def sound() -> dict:
    """A small chapter that keeps every rule."""
    words = "What is done here, and why."
    cells = [
        text_cell("# 05 The loop\n\n**What are the five steps?**\n\nAbout 45 minutes. You need Python."),
        code_cell("import os", name="setup"),
        *(cell for i in range(5) for cell in (text_cell(f"## Part {i}\n\n{words}"), code_cell("x = 1\nx"))),
        text_cell("## A cell\n\nWhat comes out? Guess first.\n\n**A good place to stop.** You have a cell."),
        code_cell("x", display(**{"text/plain": "1"}), name="guessed", tags=["hide-output"]),
        *(cell for i in range(5, 10) for cell in (text_cell(f"## Part {i}\n\n{words}"), code_cell("x = 1\nx"))),
        code_cell("1 / 0", ERROR, tags=["raises-exception"]),
        text_cell("## Break it: a fault\n\nThe sign, the cure, and what both have to do with one another."),
        code_cell("figure", PICTURE, mystnb=ALT),
        text_cell("## Exercises\n\n### 05-1 A count (easy, 5 minutes)\n\nCount." + " Many words." * 100),
        code_cell('attempt_1 = ...\ncheck("05-1", attempt_1)', BLANK, name="check-1"),
        code_cell('hint("05-1")', FOLDED, name="hint-1"),
        text_cell("### 05-2 A step (medium, 10 minutes)\n\nTake one."),
        code_cell('def attempt_2():\n    ...\n\n\ncheck("05-2", attempt_2)', BLANK, name="check-2"),
        code_cell('hint("05-2")', FOLDED, name="hint-2"),
        text_cell("## What to remember\n\n- All of it.\n\n**Sources.** A book, and many words about it." + " w" * 200),
    ]
    return normalized({"cells": numbered(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


Change = Callable[[list[dict]], object]


def planted(change: Change, recount: bool = True) -> dict:
    """The sound chapter with a mistake in it."""
    notebook = sound()
    change(notebook["cells"])
    if recount:
        numbered(notebook["cells"])
    return notebook


def added(*cells: dict, at: int = 3) -> Change:
    """More cells in the middle."""
    return lambda found: found.__setitem__(slice(at, at), copy.deepcopy(list(cells)))


def rewritten(old: str, new: str) -> Change:
    """Some words replaced by others, wherever they stand in a source."""

    def change(cells: list[dict]) -> None:
        assert any(old in source(cell) for cell in cells)
        for cell in cells:
            cell["source"] = source(cell).replace(old, new).splitlines(keepends=True)

    return change


def of(name: str, change: Callable[[dict], object]) -> Change:
    return lambda cells: change(next(cell for cell in cells if cell["id"] == name))


def without(name: str) -> Change:
    return lambda cells: cells.remove(next(cell for cell in cells if cell["id"] == name))


def moved_apart(cells: list[dict]) -> None:
    """The heading of the exercises inside the cell before it."""
    (place,) = (i for i, cell in enumerate(cells) if source(cell).startswith("## Exercises"))
    cells[place]["source"] = ["Some words first.\n", "\n", *cells[place]["source"]]


PLANTED: dict[str, tuple[Change, str]] = {
    "a long cell": (added(code_cell("1\n" * 16)), "16 lines"),
    "a semicolon": (added(code_cell("plot();")), "semicolon"),
    "an error": (added(code_cell("1 / 0", ERROR)), "without the tag raises-exception"),
    "an error that no longer comes": (added(code_cell("1", tags=["raises-exception"])), "and no stored error"),
    "a mistyped tag": (added(code_cell("1", tags=["nbval-ignore-outputs"])), "unknown tag nbval-ignore-outputs"),
    "a cell that is never run": (added(code_cell("1", tags=["nbval-skip"])), "unknown tag nbval-skip"),
    "a warning": (added(code_cell("f()", stream("UserWarning", "stderr"))), "warning"),
    "a picture for those alone who see": (added(code_cell("figure", PICTURE)), "alternative text"),
    "a path in an output": (added(code_cell("p", stream("in /home/me/x\n"))), "a path of one machine"),
    "a path in a colored traceback": (
        added(code_cell("p", stream("\x1b[36mFile \x1b[39m\x1b[32m/home/me/x.py\x1b[39m\n"))),
        "a path of one machine",
    ),
    "an address": (added(code_cell("f", stream("<f at 0x7f0a1b2c3d>\n"))), "an address"),
    "a widget": (added(code_cell("lab", display(**{WIDGET_VIEW: {}, "text/plain": "Lab"}))), "not normalized"),
    "times of execution": (added(code_cell("1", execution={"iopub.execute_input": "x"})), "not normalized"),
    "an id twice": (added(code_cell("1", name="setup")), "one id"),
    "a colon fence": (added(text_cell("::::{note}\nx\n::::")), "markup"),
    "four that are not compared": (
        added(*(code_cell("1", tags=["nbval-ignore-output"]) for _ in range(4))),
        "4 cells are not compared",
    ),
    "too many cells": (added(*(code_cell("1") for _ in range(40))), "68 cells without the exercises: 25 to 60"),
    "too few cells": (lambda cells: cells.__delitem__(slice(2, 6)), "24 cells without the exercises: 25 to 60"),
    "no place to stop": (rewritten("**A good place to stop.** ", ""), "more than 20 cells without"),
    "a guess that lies open": (of("guessed", lambda cell: cell["metadata"].pop("jupyter")), "not normalized"),
    "an answer without a guess": (rewritten("Guess first.", "Look."), "guessed: its output is folded, and no guess"),
    "a guess without an answer": (of("guessed", lambda cell: cell.update(outputs=[])), "has no output to fold"),
    "two statements in a line": (added(code_cell("if x: x = 2")), "two statements in one line"),
    "a lambda with a name": (added(code_cell("f = lambda x: x")), "write def"),
    "a generator unpacked": (added(code_cell("print(*(x for x in y))")), "a generator is unpacked"),
    "a walrus": (added(code_cell("(x := 1)")), "a walrus"),
    "a comprehension that prints": (added(code_cell("[print(x) for x in y]")), "a comprehension prints"),
    "another number": (rewritten("# 05 The loop", "# 06 The loop"), "should begin with # 05"),
    "no question": (rewritten("**What are the five steps?**", "The five steps."), "one question, in bold"),
    "no time": (rewritten("About 45 minutes. ", ""), "how many minutes"),
    "no needs": (rewritten("You need Python.", ""), "what is needed"),
    "no set-up": (of("setup", lambda cell: cell.update(id="start")), "with the id setup"),
    "no sources": (rewritten("**Sources.**", "Sources:"), "sources should end the last cell"),
    "nothing broken": (rewritten("## Break it: a fault", "## A fault"), "no part that begins with ## Break it"),
    "no recap": (rewritten("## What to remember", "## The end"), "there should be one part Exercises"),
    "exercises in the middle": (
        lambda cells: cells.insert(3, text_cell("## Exercises\n\nHere already.")),
        "there should be one part Exercises",
    ),
    "a part after the break": (
        lambda cells: cells.insert(-7, text_cell("## One more thing\n\nBy the way.")),
        "stands another part: One more thing",
    ),
    "exercises in the cell of another part": (moved_apart, "## Exercises should begin a cell"),
    "a heading without minutes": (rewritten("(easy, 5 minutes)", "(easy)"), "heading should read"),
    "another difficulty": (rewritten("(easy, 5 minutes)", "(hard, 5 minutes)"), "the library does not"),
    "other minutes": (rewritten("(easy, 5 minutes)", "(easy, 6 minutes)"), "the chapter does not"),
    "another title": (rewritten("05-1 A count", "05-1 Count"), "the chapter says ('05-1', 'Count'"),
    "an exercise that the library lacks": (rewritten("05-2", "05-3"), "the library does not"),
    "no check": (without("check-1"), "one cell that ends in its check"),
    "no hint": (without("hint-2"), "one cell that ends in its hint"),
    "a check of something else": (rewritten('check("05-1", attempt_1)', 'check("05-1", x)'), "ends in its check"),
    "a check in the middle": (
        rewritten('check("05-1", attempt_1)', 'check("05-1", attempt_1)\nprint("done")'),
        "ends in its check",
    ),
    "an answer that was left in": (
        of("check-1", lambda cell: cell.update(outputs=[display(**{"text/plain": "Right. Because."})])),
        "not attempted yet; it says 'Right. Because.'",
    ),
    "a check that was not run": (of("check-1", lambda cell: cell.update(outputs=[])), "not attempted yet; it says ''"),
    "a solution in the open": (added(code_cell('solution("05-1")'), at=-1), "a solution lies open"),
}


def test_a_sound_chapter_has_no_problem():
    assert problems(sound(), "05", EXERCISES) == []


@pytest.mark.parametrize(("change", "complaint"), PLANTED.values(), ids=PLANTED)
def test_a_planted_mistake_is_found(change, complaint):
    found = problems(planted(change), "05", EXERCISES)
    assert [problem for problem in found if complaint in problem], found


@pytest.mark.parametrize("count", [None, 7])
def test_a_cell_that_was_not_run_or_not_in_order_is_found(count):
    notebook = planted(of("setup", lambda cell: cell.update(execution_count=count)), recount=False)
    (found,) = problems(notebook, "05", EXERCISES)
    assert found.startswith("execution counts are [")


def test_a_kernel_of_one_machine_is_found():
    notebook = sound() | {"metadata": {"kernelspec": {"name": "my-venv"}}}
    assert problems(notebook, "05", EXERCISES) == ["not normalized: see course_lib.notebook.normalized"]


def test_exercises_in_another_order_or_none_at_all_are_found():
    assert [p for p in problems_of_exercises(sound(), EXERCISES[::-1]) if "another order" in p]
    assert len([p for p in problems_of_exercises(sound(), []) if "the library does not" in p]) == 2
    bare = planted(lambda cells: cells.__delitem__(slice(-7, -1)))
    assert without_exercises(bare["cells"])[1] == []
    assert len([p for p in problems_of_exercises(bare, EXERCISES) if "the chapter does not" in p]) == 2


def test_what_is_left_behind_is_found(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "a").write_text("1")
    before = files_of(tmp_path)
    (tmp_path / "data" / "new").write_text("1")
    assert files_of(tmp_path, apart=("data", "runs")) == before
    (tmp_path / "chapters" / "data").write_text("1")
    assert files_of(tmp_path, apart=("data", "runs")) != before
    (tmp_path / "chapters" / "data").unlink()
    (tmp_path / "chapters" / "a").write_text("2")
    assert files_of(tmp_path, apart=("data", "runs")) != before
