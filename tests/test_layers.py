"""The library's floors: imports go strictly down, nothing happens at import, and no room grows too large.

The rules are checked on the source, by parsing, so that an import inside a function counts as much as one
at the top. The checker itself is tested below with planted mistakes.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from library_imports import PACKAGE, imported_names, library_sources, module_name, room

import course_lib

# A module may import from lower floors only. `__main__` is the front door: all it does is open `cli`.
FLOORS = {
    "errors": -2,
    **dict.fromkeys(["paths", "locks", "processes", "programs", "progress", "quick_start", "waiting"], -1),
    **dict.fromkeys(["config", "device", "numerics", "peaks", "row_adam", "sources", "kernels"], 0),
    **dict.fromkeys(["tokenizers", "models", "corpora", "losses", "optim", "reference", "graphs", "prompts"], 1),
    **dict.fromkeys(["data", "sampling", "checkpoint"], 2),
    **dict.fromkeys(["training", "interop", "pages", "plots", "drawings"], 3),
    **dict.fromkeys(["exercises", "notebook", "recipes", "widgets"], 4),
    **dict.fromkeys(["lab", "bench", "measurements"], 5),
    "cli": 6,
    "__main__": 7,
}

# Who must not know whom, although the floors alone would allow it.
APART = {
    ("tokenizers", "torch"): "a tokenizer knows no tensors",
    ("corpora", "torch"): "a corpus is text or plain arrays",
    ("models", "device"): "a model knows no device",
    ("data", "models"): "the Batcher knows no model",
}

MAX_FILE_LINES = 320
MAX_MODEL_LINES = 250
MAX_FUNCTION_LINES = 45


def violations(sources: dict[str, str]) -> list[str]:
    """Each broken rule in one sentence; an empty list when the house stands."""
    modules = {module_name(path) for path in sources}
    found = []
    edges: dict[str, set[str]] = {}
    for path, source in sources.items():
        here = module_name(path)
        tree = ast.parse(source, path)
        if here == PACKAGE:
            found += root_violations(path, tree)
            continue
        if room(here) not in FLOORS:
            found.append(f"{path} has no floor: give '{room(here)}' one in FLOORS of tests/test_layers.py")
            continue
        for node in ast.walk(tree):
            for target in imported_names(path, node, modules):
                where = f"{path}:{node.lineno}"
                if (room(here), target.split(".")[0]) in APART:
                    found.append(f"{where} imports {target}: {APART[room(here), target.split('.')[0]]}")
                if target.split(".")[0] == PACKAGE:
                    found += import_violations(where, here, target)
                    edges.setdefault(here, set()).add(target)
    return found + [f"a circle inside one package: {' -> '.join(circle)}" for circle in circles(edges)]


def root_violations(path: str, tree: ast.Module) -> list[str]:
    """The root package imports none of its modules while it is itself being imported."""
    found = []
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        targets = imported_names(path, node, set())
        own = [name for name in targets if name.split(".")[0] == PACKAGE]
        found += [f"{path}:{node.lineno} imports {name} at import time" for name in own]
        waiting += ast.iter_child_nodes(node)
    return found


def import_violations(where: str, here: str, target: str) -> list[str]:
    source, aim = room(here), room(target)
    if not aim:
        return [f"{where} imports {PACKAGE} as a whole: name the module it needs"]
    if aim not in FLOORS:
        return [f"{where} imports {target}, which has no floor: give '{aim}' one in FLOORS"]
    if (source, aim) in APART:
        return [f"{where} imports {target}: {APART[source, aim]}"]
    if source == aim or FLOORS[aim] < FLOORS[source]:
        return []
    way = "sideways" if FLOORS[aim] == FLOORS[source] else "up"
    return [f"{where}: {source} (floor {FLOORS[source]}) imports {way} from {aim} (floor {FLOORS[aim]})"]


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Circles among the modules of one room, each found once, by depth-first search."""
    found, finished = [], set()

    def visit(module: str, way: list[str]) -> None:
        if module in way:
            found.append([*way[way.index(module) :], module])
            return
        if module not in finished:
            siblings = sorted(t for t in edges.get(module, ()) if room(t) == room(module))
            for target in siblings:
                visit(target, [*way, module])
            finished.add(module)

    for module in sorted(edges):
        visit(module, [])
    return found


# The library -----------------------------------------------------------------------------------------------


def test_imports_go_strictly_down():
    assert violations(library_sources()) == []


def test_no_file_is_too_long():
    too_long = {}
    for path, source in library_sources().items():
        lines, most = len(source.splitlines()), MAX_MODEL_LINES if "/models/" in path else MAX_FILE_LINES
        if lines > most:
            too_long[path] = lines
    assert too_long == {}


def test_no_function_is_too_long():
    too_long = {}
    for path, source in library_sources().items():
        for node in ast.walk(ast.parse(source, path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long[f"{path}:{node.name}"] = lines
    assert too_long == {}


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_package_hands_out_modules_that_are_there():
    inner = set("cli __main__ graphs locks numerics processes programs progress prompts quick_start row_adam".split())
    inner |= {"waiting"}
    assert course_lib._MODULES | inner == FLOORS.keys()
    assert {room(module_name(path)) for path in library_sources()} - {""} == FLOORS.keys()


def test_importing_the_package_loads_no_torch(tmp_path):
    done = run_python("import course_lib, sys; assert 'torch' not in sys.modules", tmp_path)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_is_quick(tmp_path):
    code = "import torch, time; t = time.perf_counter(); import course_lib; print(time.perf_counter() - t)"
    assert min(float(run_python(code, tmp_path).stdout) for _ in range(2)) < 0.3


def test_no_module_does_anything_at_import(tmp_path):
    """Nothing printed, no file left, no thread started, no random number drawn."""
    names = sorted(module_name(path) for path in library_sources())
    code = f"""
import importlib, random, threading
import numpy, torch
def state():
    return random.getstate(), str(numpy.random.get_state()), torch.initial_seed(), torch.get_rng_state().sum()
before = state()
for name in {names!r}:
    importlib.import_module(name)
assert state() == before, "an import seeded or drew from a random generator"
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
assert not threads, f"an import started threads: {{threads}}"
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


# The checker, proved on planted mistakes -------------------------------------------------------------------

SOUND = {
    "course_lib/__init__.py": (
        "import importlib\nfrom typing import TYPE_CHECKING\n\n"
        "if TYPE_CHECKING:\n    from . import config\n\n"
        "def __getattr__(name):\n    return importlib.import_module('course_lib.training')\n"
    ),
    "course_lib/config.py": "import dataclasses\nfrom .errors import CourseError\n",
    "course_lib/models/__init__.py": "from .gpt import GPT\n",
    "course_lib/models/attention.py": "import torch\nfrom course_lib.config import GPTConfig\n",
    "course_lib/models/gpt.py": "from . import attention\nfrom .attention import KV\nfrom .. import config\n",
    "course_lib/training.py": "import course_lib.models.gpt\nfrom . import __version__\n",
    "course_lib/__main__.py": "from course_lib.cli import main\n",
}

# What is planted: where, which source, and the words that the complaint must hold.
PLANTED = {
    "up": ("config.py", "from .training import Trainer", "imports up"),
    "up, by its full name": ("config.py", "import course_lib.lab.widgets", "imports up"),
    "up, through the root package": ("losses.py", "from course_lib import sampling", "imports up"),
    "up, by two dots": ("models/gpt.py", "from .. import data", "imports up"),
    "up, inside a function": ("optim.py", "def f():\n    from .data import Batcher", "imports up"),
    "up, for types only": ("optim.py", "if TYPE_CHECKING:\n    from . import data", "imports up"),
    "up, by import_module": ("losses.py", "m = importlib.import_module('course_lib.training')", "imports up"),
    "up, by a relative import_module": ("losses.py", "m = import_module('.cli', 'course_lib')", "imports up"),
    "sideways": ("sampling.py", "from .data import Batcher", "imports sideways"),
    "sideways between packages": ("tokenizers/bpe.py", "from ..models.gpt import GPT", "imports sideways"),
    "a circle of two": ("models/attention.py", "from .gpt import GPT", "a circle"),
    "a circle through the package": ("models/attention.py", "from course_lib.models import GPT", "a circle"),
    "a circle inside a function": ("models/attention.py", "def f():\n    from . import gpt", "a circle"),
    "a module that imports itself": ("optim.py", "import course_lib.optim", "a circle"),
    "a module without a floor": ("helpers.py", "", "give 'helpers' one"),
    "an import of such a module": ("training.py", "from .helpers import f", "give 'helpers' one"),
    "the whole package": ("training.py", "import course_lib", "as a whole"),
    "a root that is not lazy": ("__init__.py", "from .config import GPTConfig", "at import time"),
    "a root that tries": ("__init__.py", "try:\n    from . import optim\nfinally: pass", "at import time"),
    "a tokenizer with tensors": ("tokenizers/char.py", "import torch.nn as nn", "knows no tensors"),
    "a model with a device": ("models/gpt.py", "from ..device import choose", "knows no device"),
    "a batcher with a model": ("data/batcher.py", "from ..models import GPT", "knows no model"),
}


def test_the_checker_accepts_a_sound_house():
    assert violations(SOUND) == []


@pytest.mark.parametrize(("path", "source", "complaint"), PLANTED.values(), ids=PLANTED)
def test_the_checker_catches(path, source, complaint):
    found = violations({**SOUND, f"course_lib/{path}": source + "\n"})
    assert len(found) == 1, found
    assert complaint in found[0]


def test_no_message_is_cut_in_the_middle_of_a_phrase() -> None:
    """A line that holds a word or two of a sentence comes from a tool that wraps lines one by one."""
    stump = re.compile(r'^ +f?"[a-zA-Z]+( [a-z]+)? "$', re.MULTILINE)
    assert stump.search('    "be "\n')
    assert not stump.search('    "Use transformers for "\n')
    assert [path for path, source in library_sources().items() if stump.search(source)] == []
