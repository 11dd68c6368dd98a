"""Hold the notebooks, and the tests that hold numbers, under several numerics on one machine: make test-portable.

    python tests/portable.py                                 everything, under all numerics of course_lib.numerics
    python tests/portable.py --numerics lowest avx2          under some of them
    python tests/portable.py --chapters 04 06                these chapters only, and no other tests
    python tests/portable.py --numerics lowest --changed     the chapters that differ from the main branch

A chapter that fails here fails on somebody's laptop. At the end stands a table: seconds for each chapter. They are
those of a machine with all cores at work; a chapter that is named alone has them for itself.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from course_lib.numerics import numerics_here

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
SIDE_BY_SIDE = "-n logical --maxprocesses 4 --dist loadfile".split()
"""As `make test` does it: a process for each core, and a notebook's cells in one process."""
WITHOUT_NUMBERS = (
    "tests/browser", "tests/checkpoint", "tests/corpora", "tests/data", "tests/tokenizers", "tests/test_cli.py",
    "tests/test_config.py", "tests/test_gpu_collection.py", "tests/test_house.py", "tests/test_layers.py",
    "tests/test_notebooks.py", "tests/test_notebook.py", "tests/test_readme.py", "tests/test_recipes.py",
    "tests/test_measurements.py", "tests/test_agiformer_measurements.py",
)  # fmt: skip
"""What computes nothing with torch that could differ. Named are those that are left out: a new test is in by itself."""


def changed_chapters(base: str) -> list[Path]:
    """The chapters that differ from ``base``; all of them where the library does, or where git cannot tell."""
    try:
        fork = _git("merge-base", base, "HEAD").strip()
        names = _git("diff", "--name-only", fork).splitlines()
        if fork == _git("rev-parse", "HEAD").strip() and not names:
            return CHAPTERS  # this is the main branch itself: what came last cannot be told from what came before
    except (OSError, subprocess.CalledProcessError):
        return CHAPTERS
    if any(name.startswith("course_lib/") for name in names):
        return CHAPTERS
    return [path for path in CHAPTERS if path.relative_to(ROOT).as_posix() in names]


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def hold(what: Sequence[str], environment: dict[str, str]) -> tuple[bool, dict[str, float]]:
    """Run pytest on ``what``; whether all of it passed, and the seconds of each chapter and of the other tests."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "--nbval", "-q", f"--junitxml={report}", "-p", "no:cacheprovider"]
        done = subprocess.run([*command, *SIDE_BY_SIDE, *what], cwd=ROOT, env=os.environ | environment, check=False)
        seconds: dict[str, float] = defaultdict(float)
        for case in ET.parse(report).iter("testcase") if report.exists() else ():
            name = case.get("classname", "")
            seconds[name.split(".")[1] if name.startswith("chapters.") else "tests"] += float(case.get("time", 0))
    return done.returncode == 0, seconds


def table(times: dict[str, dict[str, float]]) -> str:
    """Seconds: a row for each chapter, a column for each of the numerics."""
    rows = sorted({row for column in times.values() for row in column})
    width = max((len(row) for row in rows), default=0)
    lines = [" " * width + "".join(f"{name:>22}" for name in times)]
    lines += [f"{row:{width}}" + "".join(f"{times[name].get(row, 0):22.1f}" for name in times) for row in rows]
    return "\n".join(lines)


def main() -> int:
    here = numerics_here()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numerics", nargs="+", choices=list(here), default=list(here))
    parser.add_argument("--chapters", nargs="+", help="their numbers; without it all of them, and the tests too")
    parser.add_argument("--changed", action="store_true", help="only chapters that differ from --base")
    parser.add_argument("--base", default="origin/main")
    asked = parser.parse_args()
    chapters = changed_chapters(asked.base) if asked.changed else CHAPTERS
    if unknown := set(asked.chapters or ()) - {path.stem[:2] for path in CHAPTERS}:
        parser.error(f"there is no chapter {', '.join(sorted(unknown))}; there is: "
                     f"{', '.join(path.stem[:2] for path in CHAPTERS)}")  # fmt: skip
    if asked.chapters:
        chapters = [path for path in chapters if path.stem[:2] in asked.chapters]
    what = [str(path) for path in chapters]
    if not (asked.changed or asked.chapters):
        what += ["tests", *(f"--ignore={name}" for name in WITHOUT_NUMBERS)]
    if not what:
        print("No chapter differs.")
        return 0
    times, failed = {}, []
    for name in asked.numerics:
        print(f"\n{name}: {here[name] or 'no setting changed'}", flush=True)
        passed, times[name] = hold(what, here[name])
        failed += [] if passed else [name]
    print(f"\nSeconds under each of the numerics:\n{table(times)}")
    print(f"Failed under: {', '.join(failed)}." if failed else "All passed under all of them.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
