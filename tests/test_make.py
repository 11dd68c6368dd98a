"""The Makefile at work with a real Python, venv and pip: environments that are made, mended, cut off and moved.

Nothing is downloaded. The packages that pip finds, in a folder, are stand-ins: each is empty but for its name and
version, and `pytest` says who calls it and how. What builds the course, setuptools, is the real one.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
EXTRAS = PROJECT["optional-dependencies"]
NEEDED = [canonicalize_name(Requirement(r).name) for r in PROJECT["dependencies"] + EXTRAS["lab"] + EXTRAS["test"]]
PYTEST = """
import json, shutil, sys
print("CALLED", json.dumps([sys.prefix, shutil.which("course"), sys.argv[1:]]))
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


# An index in a folder --------------------------------------------------------------------------------------


def write_wheel(folder: Path, name: str, files: dict[str, str]) -> None:
    """A package of the pinned version that holds ``files``."""
    info, version = f"{name.replace('-', '_')}-{PINS[name]}.dist-info", PINS[name]
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def write_index(folder: Path) -> None:
    for name in NEEDED:
        write_wheel(folder, name, {"pytest/__init__.py": "", "pytest/__main__.py": PYTEST} if name == "pytest" else {})
    setuptools = distribution("setuptools")
    with zipfile.ZipFile(folder / f"setuptools-{setuptools.version}-py3-none-any.whl", "w") as wheel:
        for file in setuptools.files or ():
            if file.parts[0] != ".." and file.suffix != ".pyc":
                wheel.write(file.locate(), file.as_posix())


@pytest.fixture(scope="module")
def index(made_once: Callable) -> Path:
    return made_once("index", write_index)


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `git clone` brings, as far as the Makefile reads it."""
    folder = tmp_path_factory.mktemp("make") / "a check out"  # with spaces: a folder name that people use
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "course_lib", folder / "course_lib", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def make(folder: Path, *words: str, index: Path | str = "no such folder", **more: str) -> tuple[int, str]:
    """(exit status, what was printed)."""
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}", *words],
        cwd=folder, env=surroundings(index) | more, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def surroundings(index: Path | str) -> dict[str, str]:
    others = ("PIP_", "PYTHON", "MAKE", "ARGS")  # ARGS: handed to the make that these tests run under
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull, "PIP_COMPILE": "0"}
    return kept | pip


def seen_from_within(folder: Path) -> dict:
    """What the environment's own Python says: where the course lies, and which packages there are."""
    code = (
        "import importlib.metadata as m, importlib.util, json; print(json.dumps(["
        "importlib.util.find_spec('course_lib').origin, {d.name: d.version for d in m.distributions()}]))"
    )
    python = folder / ".venv" / "bin" / "python"
    said = subprocess.check_output([python, "-I", "-c", code], cwd=folder.parent, text=True)
    return dict(zip(("course", "packages"), json.loads(said)))


def assert_whole(folder: Path) -> None:
    found = seen_from_within(folder)
    assert Path(found["course"]) == folder / "course_lib" / "__init__.py"  # this checkout, not a copy of it
    there = {canonicalize_name(name): version for name, version in found["packages"].items()}
    assert {name: there.get(name) for name in NEEDED} == {name: PINS[name] for name in NEEDED}
    assert not (folder / ".venv" / ".begun").exists()


# Environments ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(new_checkout: Path, index: Path) -> Path:
    """A checkout with its environment. A test may add to it, and leaves it whole."""
    status, printed = make(new_checkout, "test", "ARGS=-k 'one or two'", index=index)
    assert status == 0, printed
    assert "Installing the course" in printed
    return new_checkout


one_environment = pytest.mark.xdist_group("an environment by make")


def called(printed: str) -> tuple[str, str, list[str]]:
    """The stand-in of pytest: its environment, the `course` on its PATH, and its words."""
    return json.loads(printed.split("CALLED ")[1])


@pytest.mark.slow
@one_environment
def test_a_target_installs_everything_once_and_runs_in_the_environment(checkout: Path) -> None:
    assert_whole(checkout)
    stamp = checkout / ".venv" / ".installed"
    before = stamp.stat().st_mtime_ns
    status, printed = make(checkout, "test", "ARGS=-k 'one or two'")
    assert status == 0, printed
    assert "Installing" not in printed
    assert stamp.stat().st_mtime_ns == before
    prefix, course, words = called(printed)
    assert Path(prefix) == checkout / ".venv"
    assert Path(course) == checkout / ".venv" / "bin" / "course"
    assert "--nbval" in words
    assert words[-2:] == ["-k", "one or two"]


@pytest.mark.slow
@one_environment
@pytest.mark.parametrize("lacking", ["torch", "ruff"])  # in the first step, and in the second
def test_new_requirements_come_into_the_same_environment_at_the_second_try_if_not_the_first(
    checkout: Path, index: Path, tmp_path: Path, lacking: str
) -> None:
    stamp = checkout / ".venv" / ".installed"
    (checkout / ".venv" / "marker").touch()
    os.utime(stamp, (1, 1))  # before what pyproject.toml says now
    subprocess.run([checkout / ".venv" / "bin" / "pip", "uninstall", "--yes", "-q", lacking], check=True)
    part = shutil.copytree(index, tmp_path / "part")
    next(part.glob(f"{lacking}-*.whl")).unlink()
    status, printed = make(checkout, "test", index=part)
    assert status != 0
    assert "ERROR: " in printed, printed  # pip's
    assert lacking in printed
    assert "CALLED" not in printed
    assert stamp.stat().st_mtime == 1
    status, printed = make(checkout, "install", index=index)
    assert status == 0, printed
    assert_whole(checkout)
    assert stamp.stat().st_mtime > 1
    assert (checkout / ".venv" / "marker").exists()


@pytest.mark.slow
@one_environment
def test_a_checkout_that_moved_or_was_cut_off_gets_a_new_environment(
    checkout: Path, index: Path, tmp_path: Path
) -> None:
    """A copy, to keep the first one; killed in the middle (a power cut), and taken up again."""
    copy = shutil.copytree(checkout, tmp_path / "else where", symlinks=True)
    (copy / ".venv" / "marker").touch()
    words = ["make", f"PYTHON={sys.executable}", "install"]
    with subprocess.Popen(words, cwd=copy, env=surroundings(index), start_new_session=True) as installing:
        while not (copy / ".venv" / ".begun").exists():
            assert installing.poll() is None
            time.sleep(0.01)
        os.killpg(installing.pid, signal.SIGKILL)
    assert not (copy / ".venv" / "marker").exists()  # it was another place's
    assert not (copy / ".venv" / ".installed").exists()
    (copy / ".venv" / "marker").touch()
    status, printed = make(copy, "install", index=index)
    assert status == 0, printed
    assert not (copy / ".venv" / "marker").exists()  # it may hold half a package
    assert_whole(copy)
    assert make(copy, "install") == (0, "make: Nothing to be done for 'install'.\n")


@pytest.mark.slow
@one_environment
def test_wheels_are_gathered_for_another_machine(checkout: Path, index: Path, tmp_path: Path) -> None:
    """Without torch: a machine with a card has its own."""
    status, printed = make(checkout, "wheels", index=index)
    assert status != 0
    assert "make wheels DIR=path" in printed
    words = [f"DIR={tmp_path / 'some wheels'}", "PYTHON_VERSION=3.13", "PLATFORM=any other"]
    status, printed = make(checkout, "wheels", *words, index=index)
    assert status == 0, printed
    gathered = {path.name.rpartition("-py3")[0] for path in (tmp_path / "some wheels").iterdir()}
    assert gathered == {f"{name}-{PINS[name]}" for name in ("numpy", "safetensors", "tqdm", "filelock", "pytest")}


# Without an environment ------------------------------------------------------------------------------------


def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, flags=re.MULTILINE))


def test_make_alone_lists_the_targets() -> None:
    status, printed = make(ROOT)
    assert status == 0
    assert set(re.findall(r"^  make ([a-z-]+)", printed, flags=re.MULTILINE)) == targets() - {"moved"}


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (["PYTHON="], {}, "none was found"),
        (["PYTHON=false"], {}, "and false is"),
        ([], {"PYTHONPATH": "no venv"}, "has no venv module"),
    ],
    ids=["no Python", "no Python that is served", "no venv"],
)
def test_make_without_a_python_says_what_to_do(words: list[str], more: dict, said: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "no venv").mkdir()
    (tmp_path / "no venv" / "ensurepip.py").write_text("raise ModuleNotFoundError")  # as Debian has it
    status, printed = make(tmp_path, "lab", *words, **more)
    assert status != 0
    assert said in printed
    assert not (tmp_path / ".venv").exists()
