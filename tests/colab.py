"""Run the chapters as Colab would: its versions, each notebook in a folder with nothing but itself and a wheel.

    python tests/colab.py             all chapters; make colab
    python tests/colab.py 05 06       these; make colab ARGS="05 06"
    python tests/colab.py --python /path/to/python3.13

The environment is made once, in `.colab`, of the versions in `COLAB`. What cannot be had here (another Python, a torch
without its card) is said. Before and after each chapter the installed packages are listed: the first cell installs the
wheel and what it lacks, and may replace nothing; what it added is removed again. `google.colab` is a stand-in, by which
the library takes the ways that it takes there. Outputs are not compared: Colab's numbers may differ in their digits.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
HOME = ROOT / ".colab"
PYTHON = HOME / "bin" / "python"
STAMP = HOME / ".made-for"

# Colab's own published package list of 2026-08-19, as far as it concerns the course.
COLAB_PYTHON = "3.13"
COLAB = {
    "torch": "2.11.0+cu128",
    "triton": "3.6.0",
    "numpy": "2.1.3",
    "ipywidgets": "7.7.1",
    "ipykernel": "6.17.1",
    "ipython": "7.34.0",
    "traitlets": "5.7.1",
    "anywidget": "0.9.21",
    "matplotlib": "3.10.0",
    "tiktoken": "0.14.0",
    "safetensors": "0.8.0",
    "filelock": "3.32.3",
    "tqdm": "4.67.3",
    "transformers": "5.15.0",
    "tokenizers": "0.22.2",
    "huggingface-hub": "1.27.0",
    "pandas": "2.2.3",
    "typer": "0.27.1",
    "rich": "13.9.4",
    "pytest": "8.4.2",
}
LEFT_OUT = ("triton", "transformers", "tokenizers", "huggingface-hub", "pandas", "typer", "rich")
"""What no chapter imports: it is large, and its versions are held by tests/test_house.py all the same."""
BESIDES = ("nbval==0.11.0", "pip")
"""What runs the notebooks here; Colab has its own ways."""
STAND_IN = """\
import sys, types
google = sys.modules.setdefault("google", types.ModuleType("google"))
google.colab = sys.modules["google.colab"] = types.ModuleType("google.colab")
"""


def wanted() -> dict[str, str]:
    """The versions that are asked for; a build for a card, such as +cu128, is asked for without its card."""
    return {name: version.partition("+")[0] for name, version in COLAB.items() if name not in LEFT_OUT}


def pip(*words: str) -> subprocess.CompletedProcess:
    # Isolated: a PYTHONPATH of the caller's would show packages that are not installed there.
    command = [PYTHON, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def installed() -> dict[str, str]:
    """Name to version of all that is installed there."""
    done = pip("list", "--format=json")
    if done.returncode != 0:
        raise SystemExit(f"pip cannot list what is installed:\n{done.stderr}")
    return {package["name"].lower().replace("_", "-"): package["version"] for package in json.loads(done.stdout)}


def python_like_colab() -> str:
    """A Python of Colab's version, where one runs here; else the one that runs this."""
    found = shutil.which(f"python{COLAB_PYTHON}")
    runs = found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0
    return found if found and runs else sys.executable


def restore(base: dict[str, str]) -> bool:
    """Remove what was added to the environment; whether it is as it was."""
    if added := sorted(set(installed()) - set(base)):
        pip("uninstall", "--yes", "--quiet", *added)
    return installed() == base


def make_environment(python: str) -> dict[str, str]:
    """`.colab`, unless it is there and of these versions; returns what is installed in it.

    A torch that the index does not have gives way to the index's own.
    """
    made_for = [wanted(), list(BESIDES), str(ROOT), python]
    if STAMP.is_file():
        known, base = json.loads(STAMP.read_text())
        if known == made_for and restore(base):  # a run that was cut off leaves the wheel there
            return base
    print(f"Making {HOME.name} with {python}: several gigabytes where torch comes with CUDA.", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    subprocess.run([python, "-m", "venv", HOME], check=True)
    pins = [f"{name}=={version}" for name, version in wanted().items()]
    done = pip("install", "--quiet", *pins, *BESIDES)
    if done.returncode != 0:
        others = [pin for pin in pins if not pin.startswith("torch==")]
        done = pip("install", "--quiet", "torch", *others, *BESIDES)
    if done.returncode != 0:
        raise SystemExit(f"The environment cannot be made:\n{done.stderr[-3000:]}")
    base = installed()
    STAMP.write_text(json.dumps([made_for, base]))
    return base


def differences(has: dict[str, str], asked: dict[str, str]) -> list[str]:
    """What is not as Colab has it, in words."""
    return [
        f"{name} is {has.get(name, 'missing')} here, {version} there"
        for name, version in asked.items()
        if has.get(name, "").partition("+")[0] != version
    ]


def replaced(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The packages that are no longer what they were, in words."""
    return [
        f"{name} was {version} and is {after.get(name, 'gone')}"
        for name, version in before.items()
        if after.get(name) != version
    ]


def build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", ROOT]
    done = subprocess.run([*command, "-w", folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"The wheel cannot be built:\n{done.stderr[-3000:]}")
    return next(folder.glob("course_lib-*.whl"))


def run_chapter(path: Path, wheel: Path, folder: Path, environment: dict[str, str], base: dict[str, str]) -> list[str]:
    """One chapter, alone with the wheel; returns what went wrong, in words."""
    place = folder / path.stem
    place.mkdir()
    shutil.copy(path, place)
    shutil.copy(wheel, place)
    nbval = [PYTHON, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", path.name]
    done = subprocess.run(nbval, cwd=place, env=environment, capture_output=True, text=True, check=False)
    after = installed()
    added = sorted(set(after) - set(base))
    found = replaced(base, after)
    if done.returncode != 0:
        found.append(f"cells fail:\n{done.stdout[-4000:]}{done.stderr[-1000:]}")
    if "course-lib" not in added:
        found.append("the first cell did not install the wheel")
    print(f"  it added {', '.join(added) or 'nothing'}", flush=True)
    return found + ([] if restore(base) else ["the environment is not as it was before"])


def environment_for(folder: Path) -> dict[str, str]:
    """Variables of the kernels: nothing of this project, a home of their own, and a stand-in for `google.colab`."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-colab.py").write_text(STAND_IN)
    ours = ("COURSE_", "JUPYTER", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"
    kept |= {"IPYTHONDIR": str(folder / "ipython"), "COURSE_OFFLINE": "1", "PATH": path}
    return kept | {n: os.environ[n] for n in ("COURSE_THREADS",) if n in os.environ}


def chosen(names: Sequence[str]) -> list[Path]:
    """The chapters that are named by their numbers; all where none is."""
    known = {path.stem.split("_")[0]: path for path in CHAPTERS}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"There is no chapter {', '.join(unknown)}; there is: {', '.join(known)}.")
    return [known[name] for name in names] or CHAPTERS


def main(argv: Sequence[str]) -> int:
    """The exit status: 1 where a chapter fails or replaces a package."""
    parser = argparse.ArgumentParser(description="Run the chapters as Colab would.")
    parser.add_argument("chapters", nargs="*", help="numbers of chapters, such as 05; by default all")
    parser.add_argument("--python", default=python_like_colab(), help="the Python to make the environment with")
    asked = parser.parse_args(argv)
    paths = chosen(asked.chapters)
    base = make_environment(asked.python)
    version = subprocess.run([PYTHON, "-c", "import platform; print(platform.python_version())"],
                             capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    words = [] if version.startswith(f"{COLAB_PYTHON}.") else [f"Python is {version} here, {COLAB_PYTHON} there"]
    print(*words, *differences(base, wanted()), f"left out: {', '.join(LEFT_OUT)}", sep="\n")
    failed = []
    with tempfile.TemporaryDirectory(prefix="as-on-colab-") as name:
        folder = Path(name)
        wheel, environment = build_wheel(folder), environment_for(folder)
        for path in paths:
            start = time.monotonic()
            print(path.stem, flush=True)
            found = run_chapter(path, wheel, folder, environment, base)
            print(*(f"  {line}" for line in found), f"  {time.monotonic() - start:.0f} s", sep="\n", flush=True)
            failed += [path.stem] if found else []
    print(f"failed: {', '.join(failed)}" if failed else f"{len(paths)} chapters ran, and nothing was replaced.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
