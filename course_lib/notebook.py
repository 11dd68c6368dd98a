"""What all notebooks need: a start that is the same every time, the library's source on the page, a clean file."""

import difflib
import inspect
import json
import os
import random
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.numerics import LOWEST, NUMERICS
from course_lib.pages import read_page
from course_lib.paths import project_root, replace_file
from course_lib.reference import Reference, recorded
from course_lib.waiting import spin_briefly

__all__ = ["Reference", "Source", "changes", "find_chapter", "normalized", "recorded", "refresh", "setup", "show"]


def setup(seed: int = 0, threads: int = 2) -> None:
    """Make a notebook's numbers the same at every run, and on every machine as far as that goes.

    Call it before torch is imported: one of its settings is read when torch loads. Where torch is not installed, as
    in a browser, only Python's own random numbers are set.

    Args:
        seed: where the random numbers of Python and of torch start.
        threads: how many threads torch uses on the CPU, if there are as many cores. The chapters' models
            are small: more threads gain little, and would change the last digits. The environment variable
            COURSE_THREADS, where it is set, says another number.

    Raises:
        CourseError: where COURSE_THREADS is no number of threads.
    """
    asked = os.environ.get("COURSE_THREADS", "")
    if asked and not (asked.isdecimal() and int(asked) > 0):
        raise CourseError(f"COURSE_THREADS should be a number of threads, 1 or more; it is {asked!r}.")
    random.seed(seed)
    if "torch" not in sys.modules:
        spin_briefly()
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":  # torch is there, and something that it needs is not
            raise
        return
    torch.set_num_threads(int(asked) if asked else min(threads, os.cpu_count() or 1))
    torch.manual_seed(seed)


class Source:
    """The source of a function or a page, as a notebook shows it."""

    def __init__(self, name: str, code: str) -> None:
        self.name, self.code = name, code

    def _repr_markdown_(self) -> str:
        return f"`{self.name}`\n\n```python\n{self.code}```"

    def __repr__(self) -> str:
        return f"{self.name}\n\n{self.code}"


def show(thing: Callable[..., Any] | str) -> Source:
    """The source of a function, method or class, or of a page by its name, as it stands in the library.

    It is read from the file that runs: what is shown is never out of date. A page is only read.

    Raises:
        CourseError: for the name of a page that is none.
    """
    if isinstance(thing, str):
        return Source(f"course_lib.pages.{thing}", read_page(thing))
    code = textwrap.dedent(inspect.getsource(thing))
    return Source(f"{thing.__module__}.{thing.__qualname__}", code)


# nbstripout and nbdime were tried for what follows. The one keeps widget views and split streams, and asks for a list
# of what goes, not of what stays; the other shows both outputs whole where one line or a pixel differs.
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT_CELL_METADATA = ("tags", "mystnb", "jupyter")
FOLDED = "hide-output"  # the tag of a cell whose stored output is the answer to a guess: the book folds it by the tag
# JupyterLab folds by the first, Colab by the second.
FOLDED_METADATA: dict[str, Any] = {"jupyter": {"outputs_hidden": True}, "collapsed": True}


def normalized(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook's JSON without what differs from run to run or belongs to one machine.

    It loses widgets (their views would point at a kernel that has ended; their text stays), times of execution, the
    names of a machine's kernel, and an editor's notes. Output to one stream becomes one piece. An output is folded
    where the cell has the tag `hide-output`, and nowhere else: opening it while reading is no change.
    """
    cells = []
    for cell in notebook["cells"]:
        kept = {key: value for key, value in cell["metadata"].items() if key in KEPT_CELL_METADATA}
        cell = cell | {"metadata": kept}
        if cell["cell_type"] == "code":
            if FOLDED in kept.get("tags", []):
                kept |= FOLDED_METADATA
            elif "outputs_hidden" in kept.get("jupyter", {}):
                del kept["jupyter"]
            cell["outputs"] = _normalized_outputs(cell["outputs"])
        cells.append(cell)
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook | {"cells": cells, "metadata": metadata}


def _normalized_outputs(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for output in outputs:
        if "data" in output:
            output = output | {"data": {kind: v for kind, v in output["data"].items() if kind != WIDGET_VIEW}}
        last = result[-1] if result else {}
        if output["output_type"] == "stream" and output["name"] == last.get("name"):
            result[-1] = last | {"text": [*last["text"], *output["text"]]}
        else:
            result.append(output)
    return result


def executed(path: Path, environment: dict[str, str] | None = None, allow_errors: bool = False) -> dict[str, Any]:
    """A notebook's JSON, normalized, after a run from the top in a fresh kernel, in its own folder.

    Args:
        environment: variables that the kernel gets besides those of this process.
        allow_errors: go on after a cell that fails, and keep its error as its output.

    Raises:
        nbclient.exceptions.CellExecutionError: where a cell fails and that is not allowed.
    """
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    settings = dict(timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    client = nbclient.NotebookClient(notebook, allow_errors=allow_errors, **settings)
    client.execute(env=os.environ | (environment or {}))
    return normalized(json.loads(nbformat.writes(notebook)))


def refresh(path: str | Path) -> list[str]:
    """Run a notebook from the top in a fresh kernel, in its own folder, and store its outputs, normalized.

    The file is replaced as a whole, and only if something is different. Returns what has changed, in words.

    Raises:
        nbclient.exceptions.CellExecutionError: where a cell fails; the file then stays as it was.
    """
    path = Path(path)
    before = json.loads(path.read_text(encoding="utf-8"))
    after = executed(path)
    if after != before:
        replace_file(path, json.dumps(after, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return changes(before, after)


def differing(path: str | Path) -> list[str]:
    """Which outputs a chapter would not show, as they are stored, on a processor that adds in another order.

    The chapter runs once more under the lowest numerics of `course_lib.numerics`. Pictures do not count, nor do cells
    that are not compared, unless they fail. Returns the differences, in words.
    """
    stored = json.loads(Path(path).read_text(encoding="utf-8"))
    other = executed(Path(path), NUMERICS[LOWEST], allow_errors=True)
    for cell, again in zip(stored["cells"], other["cells"]):
        failed = any(output["output_type"] == "error" for output in again.get("outputs", []))
        if NOT_COMPARED in cell["metadata"].get("tags", []) and not failed:
            again["outputs"] = cell["outputs"]
    return [words for words in changes(stored, other) if not words.endswith((REDRAWN, ONLY_DETAILS))]


NOT_COMPARED = "nbval-ignore-output"
REDRAWN = "picture redrawn"
ONLY_DETAILS = "no output differs; counts or details of the file do"
MOST_CHANGED_LINES = 12
KINDS_OF_TEXT = (("text/plain", "text/markdown"), ("text/html",))
"""The kinds in the order of comparison: HTML repeats the plain text, so it counts only where that is the same."""


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What a notebook's outputs show that they did not show before: a few lines for each cell that differs."""
    old = {cell.get("id"): cell for cell in before["cells"] if cell["cell_type"] == "code"}
    found = []
    for number, cell in enumerate((cell for cell in after["cells"] if cell["cell_type"] == "code"), 1):
        stored = _normalized_outputs(old.get(cell["id"], {}).get("outputs", []))
        name = f"cell {number} ({cell['id']})"
        if NOT_COMPARED in cell["metadata"].get("tags", []):
            name += ", which is not compared"
        diffs = (_diff(_shown(stored, kinds), _shown(cell["outputs"], kinds)) for kinds in KINDS_OF_TEXT)
        if lines := next(filter(None, diffs), []):
            more = [f"... and {len(lines) - MOST_CHANGED_LINES} more"] if len(lines) > MOST_CHANGED_LINES else []
            found.append("\n    ".join([f"{name}:", *lines[:MOST_CHANGED_LINES], *more]))
        elif _pictures(stored) != _pictures(cell["outputs"]):
            found.append(f"{name}: {REDRAWN}")
    if not found and normalized(before) | {"metadata": None} != after | {"metadata": None}:
        found.append(ONLY_DETAILS)
    return found


def _diff(old: list[str], new: list[str]) -> list[str]:
    """The lines that went, with a minus, and those that came, with a plus."""
    lines = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]
    return [line for line in lines if not line.startswith("@@")]


def _shown(outputs: list[dict[str, Any]], kinds: Sequence[str]) -> list[str]:
    """Outputs as lines of text."""
    lines: list[str] = []
    for output in outputs:
        if output["output_type"] == "stream":
            lines += "".join(output["text"]).splitlines()
        elif output["output_type"] == "error":
            lines.append(f"{output['ename']}: {output['evalue']}")
        for kind in kinds:
            lines += "".join(output.get("data", {}).get(kind, "")).splitlines()
    return lines


def _pictures(outputs: list[dict[str, Any]]) -> list[str]:
    return ["".join(output["data"]["image/png"]) for output in outputs if "image/png" in output.get("data", {})]


def find_chapter(name: str) -> Path:
    """The notebook of a chapter: ``05``, ``05_loop`` or its path; CourseError names what there is."""
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path
    folder = project_root() / "chapters"
    known = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    fitting = [path for stem, path in known.items() if stem == name or stem.split("_")[0] == name.zfill(2)]
    if not name or not fitting:
        there = ", ".join(stem.split("_")[0] for stem in known) or f"none in {folder}"
        asked = f"There is no chapter {name!r}" if name else "CHAPTER is missing"
        raise CourseError(f"{asked}; there is: {there}. Say, for example: make refresh CHAPTER=05")
    return fitting[0]


def main(argv: Sequence[str]) -> int:
    """``make refresh CHAPTER=05``: refresh a chapter, and say what changed and what no other processor would show.

    Returns the exit status: 1 where a cell fails, or an output would differ.
    """
    from nbclient.exceptions import CellExecutionError

    try:
        path = find_chapter(argv[0].strip() if argv else "")
        print(f"Running {path.name} from the top; what it prints is stored, not shown.", flush=True)
        start = time.monotonic()
        found = refresh(path)
    except CourseError as error:
        print(f"refresh: {error}", file=sys.stderr)
        return 2
    except CellExecutionError as error:
        print(f"refresh: a cell failed, and the file stays as it was.\n{error}", file=sys.stderr)
        return 1
    print(f"{time.monotonic() - start:.0f} seconds.", *(found or ["Nothing has changed."]), sep="\n")
    print("Stored. Running it once more as another processor would (the lowest numerics) ...", flush=True)
    if found := differing(path):
        print("These outputs differ there; make test would fail on other machines. Tell a band, or assert one:")
        print(*found, sep="\n")
        return 1
    print("Every output that is compared is the same there.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
