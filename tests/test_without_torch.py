"""Chapter 00 where there is little: its cells without torch, numpy and widgets; and its numbers anywhere."""

import ast
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from notebook_rules import code_cells, source

from course_lib.data import load_text
from course_lib.models.micro import MicroGPT

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "chapters" / "00_what_is_training.ipynb"
BLOCKED = ("torch", "numpy", "ipywidgets", "anywidget", "matplotlib", "safetensors", "tiktoken", "tyro")
"""What a browser's Python may lack. The three that the course promises to do without come first."""

BLOCKER = f"""
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked)", name=name.split(".")[0])
sys.meta_path.insert(0, Blocker())
from IPython.display import display
"""


def cells() -> dict[str, str]:
    """The code cells by their ids; a value at the end is printed, as a notebook shows it."""
    notebook = json.loads(CHAPTER.read_text(encoding="utf-8"))
    return {cell["id"]: source(cell) for cell in code_cells(notebook["cells"])}


def as_script(folder: Path, wanted: dict[str, str]) -> subprocess.CompletedProcess:
    """The cells one after another in a new process, in which what is `BLOCKED` cannot be imported."""
    lines = [BLOCKER]
    for name, text in wanted.items():
        # %pip stands in a branch that is not taken where the library is there
        tree = ast.parse("\n".join("    pass" if line.lstrip().startswith("%") else line for line in text.splitlines()))
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            tree.body[-1] = ast.parse(f"display({ast.unparse(tree.body[-1])})").body[0]
        lines += [f"print('@@@ {name}')", ast.unparse(tree)]
    (folder / "script.py").write_text("\n".join(lines), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COURSE_OFFLINE": "1"}
    command = [sys.executable, "script.py"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.slow
def test_every_cell_runs_without_torch_numpy_and_widgets(tmp_path):
    """The core cells as ever; those that need more say so, and the chapter goes on."""
    wanted = cells()
    done = as_script(tmp_path, wanted)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("@@@ ") == len(wanted)
    said = dict(part.split("\n", 1) for part in done.stdout.split("@@@ ")[1:])
    for name, words in {"lab-code": "the packages that show sliders", "tensor-code": "needs PyTorch"}.items():
        assert words in said[name]
        assert "the rest of the chapter does not" in said[name]
    assert "Not attempted yet." in said["check-00-1"]
    assert "backward" in said["check-run"]
    assert "ms for a name" in said["times-code"]


def test_the_first_cells_and_an_exercise_run_without_them(tmp_path):
    """The quick part of it: set-up, names, a model, `show`, the drawings, `check` and `hint`."""
    quick = (
        "setup", "names-code", "before-code", "steps-code", "log-code", "inside-code", "read-forward-code",
        "graph-code", "by-hand-code", "try-code", "step-code", "read-backward", "real-code", "real-check", "loop-code",
        "tensor-code", "times-tensor", "check-00-1", "hint-00-1", "check-00-6",
    )  # fmt: skip
    every = cells()
    done = as_script(tmp_path, {name: every[name] for name in quick})
    assert done.returncode == 0, done.stderr[-2000:]
    assert "All three faults are still in the loop" in done.stdout


def test_the_blocker_blocks():
    done = subprocess.run(
        [sys.executable, "-c", BLOCKER + "import torch"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ModuleNotFoundError: No module named 'torch' (blocked)" in done.stderr


def test_a_last_digit_does_not_grow():
    """Why the chapter may print two digits of a loss after 500 steps: a nudge in the last digits stays one."""
    names = load_text("names").split()
    runs = []
    for nudge in (0.0, 1e-14):
        model = MicroGPT(names, engine="vector")
        generator = random.Random(1)
        for rows in model.weights.values():
            for row in rows:
                row.data = [number * (1 + nudge * generator.uniform(-1, 1)) for number in row.data]
        runs.append(model.train(500, stop_after=120))
    assert 0 < max(abs(a - b) for a, b in zip(*runs)) < 1e-9
