"""The tests for a card are found on a bare machine, and nothing else is looked into there."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(path.stem for path in (ROOT / "tests" / "gpu").glob("test_*.py"))
MISSING = (
    "anywidget", "hypothesis", "IPython", "ipykernel", "ipywidgets", "matplotlib", "nbclient", "nbformat", "nbval",
    "playwright", "tiktoken", "tyro", "yaml",
)  # fmt: skip
"""What a machine with torch, numpy, safetensors, tqdm, filelock and pytest does not have."""
BLOCK = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {MISSING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def collected(folder: Path, *words: str) -> list[str]:
    """The ids of the tests that pytest finds with ``words``, where `MISSING` is missing."""
    (folder / "blocker.py").write_text(BLOCK)
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "blocker", "-p", "no:cacheprovider", "--collect-only", "-q", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_cards_tests_are_found_on_a_bare_machine(tmp_path: Path) -> None:
    found = collected(tmp_path, "-m", "gpu", "tests")
    assert {Path(name.split("::")[0]).parent.as_posix() for name in found} == {"tests/gpu"}
    order = list(dict.fromkeys(Path(name.split("::")[0]).stem for name in found))
    assert sorted(order) == MODULES  # every module has something for a card
    assert order[0] == "test_card_refusals"  # and what is quick comes first, not what comes first in the alphabet
    assert order[-1] == "test_card_chapters"
    assert [name for name in found if not re.search(r"\[(.*-)?(cuda|mps)(-.*)?\]$", name)] == []


def test_without_the_word_gpu_none_of_them_is_a_cards(tmp_path: Path) -> None:
    found = collected(tmp_path, "tests/gpu")
    assert found
    assert [name for name in found if re.search(r"cuda|mps", name.split("::")[1].partition("[")[2])] == []


def test_what_is_blocked_is_missing(tmp_path: Path) -> None:
    (tmp_path / "blocker.py").write_text(BLOCK)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    code = "import blocker, tyro"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: No module named 'tyro'" in done.stderr
