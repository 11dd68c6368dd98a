"""The code cells of a chapter one after another, without a notebook, for `test_card_chapters`: python chapter.py FILE.

The recipes for a CPU say so; here they leave the device to ``auto``, so that a card is used where there is one.

IPython runs the cells, so that its own words (%pip, !course, display) mean what they mean in a notebook. Each cell's
last value is shown, as there. The first cell that fails ends it. Prints how many cells ran.
"""

import json
import os
import sys
from pathlib import Path


def leave_the_device_to_auto() -> None:
    """Before any cell has imported it: `load_recipe` with ``device="auto"``, whatever the recipe says."""
    from course_lib import recipes

    load = recipes.load_recipe
    recipes.load_recipe = lambda name: load(name).replace(device="auto")


def code_cells(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(path: Path) -> int:
    """Run all cells in the working folder; RuntimeError names the one that failed."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    cells = code_cells(path)
    for number, cell in enumerate(cells, start=1):
        result = shell.run_cell(cell, store_history=True)
        if not result.success:
            raise RuntimeError(f"cell {number} of {path.name} failed:\n{cell}") from result.error_in_exec
    return len(cells)


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    leave_the_device_to_auto()
    ran = run(Path(sys.argv[1]))
    import torch

    used = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    print(f"\n{ran} cells ran; {used} bytes of a CUDA card were used")
