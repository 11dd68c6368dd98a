"""What all notebooks need: a start that is the same every time, the library's source on the page, a clean file."""

import inspect
import json
import os
import random
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any


def setup(seed: int = 0, threads: int = 2) -> None:
    """Make a notebook's numbers the same at every run, and on every machine as far as that goes.

    Call it before torch is imported: one of its settings is read when torch loads.

    Args:
        seed: where the random numbers of Python and of torch start.
        threads: how many threads torch uses on the CPU, if there are as many cores. The chapters' models
            are small: more threads gain little, and would change the last digits.
    """
    # torch's threads wait for one another by spinning. Where a browser wants the same cores, that made a
    # step of a small model 20 times as slow; spinning only briefly costs nothing measurable (GNU's OpenMP).
    if "torch" not in sys.modules:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import torch

    torch.set_num_threads(min(threads, os.cpu_count() or 1))
    random.seed(seed)
    torch.manual_seed(seed)


class Source:
    """A function's source, as a notebook shows it."""

    def __init__(self, name: str, code: str) -> None:
        self.name, self.code = name, code

    def _repr_markdown_(self) -> str:
        return f"`{self.name}`\n\n```python\n{self.code}```"

    def __repr__(self) -> str:
        return f"{self.name}\n\n{self.code}"


def show(thing: Callable[..., Any]) -> Source:
    """The source of a function, method or class, as it stands in the library.

    It is read from the file that runs: what is shown is never out of date.
    """
    code = textwrap.dedent(inspect.getsource(thing))
    return Source(f"{thing.__module__}.{thing.__qualname__}", code)


WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT_CELL_METADATA = ("tags", "mystnb", "jupyter")


def normalized(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook's JSON without what differs from run to run or belongs to one machine.

    Gone are widgets (their views would point at a kernel that has ended; their text stays), times of
    execution, the names of a machine's kernel, and what an editor noted. Output to one stream is one piece.
    """
    cells = []
    for cell in notebook["cells"]:
        kept = {key: value for key, value in cell["metadata"].items() if key in KEPT_CELL_METADATA}
        cell = cell | {"metadata": kept}
        if cell["cell_type"] == "code":
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


def refresh(path: str | Path) -> None:
    """Run a notebook from the top in a fresh kernel, in its own folder, and store its outputs, normalized.

    Raises:
        nbclient.exceptions.CellExecutionError: where a cell fails; the file then stays as it was.
    """
    import nbclient
    import nbformat

    path = Path(path)
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    clean = normalized(json.loads(nbformat.writes(notebook)))
    path.write_text(json.dumps(clean, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
