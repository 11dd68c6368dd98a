"""microGPT's two engines in seconds per step, beside the original program, in turn.

The original is microgpt.py, given by its path (the file, or a folder with it); nothing of it is part of this project.
"""

import builtins
import contextlib
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from course_lib.bench.reporting import report, take_turns
from course_lib.data import load_text
from course_lib.errors import CourseError
from course_lib.models.micro import MicroGPT

NUM_STEPS = 500
"""The length of the run that the measured steps are the first of: the learning rate follows it."""
STEPS = 20
"""So many steps are timed, after one that is not."""
PROGRAM = "microgpt.py"


class Enough(Exception):
    """The original has made as many steps as are wanted."""


def find_original(peer: Path) -> Path:
    """The program itself; CourseError where there is none."""
    path = peer / PROGRAM if peer.is_dir() else peer
    if not path.is_file():
        raise CourseError(f"{peer} should be {PROGRAM}, or a folder with it; there is none. Give --peer PATH.")
    return path


def run_original(program: Path, docs: list[str], steps: int) -> tuple[float, list[float]]:
    """Seconds that the original takes for steps 2 to ``steps`` + 1, and the losses of all of these.

    The program is run as it is, in a folder of its own. It prints once a step, and a ``print`` of ours looks at the
    clock. It seeds Python's common generator, which is put back afterwards.

    Raises:
        CourseError: for a program that ends, or fails, before it has made so many steps.
    """
    losses: list[float] = []
    clock: list[float] = []

    def overheard(*words: object) -> None:
        if str(words[0]).startswith("step"):
            clock.append(time.perf_counter())
            losses.append(space["loss"].data)
        if len(clock) > steps:
            raise Enough

    space: dict[str, Any] = {"__name__": "microgpt", "__builtins__": builtins, "print": overheard}
    code = compile(program.read_text(encoding="utf-8"), str(program), "exec")
    before = random.getstate()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "input.txt").write_text("\n".join(docs) + "\n", encoding="utf-8")
        try:
            with contextlib.chdir(folder), contextlib.suppress(Enough):
                exec(code, space)
        except Exception as error:
            raise CourseError(f"{program} failed: {type(error).__name__}: {error}. Is it {PROGRAM}?") from error
        finally:
            random.setstate(before)
    if len(clock) <= steps:
        raise CourseError(f"{program} made {len(clock)} steps of the {steps + 1} that were wanted. Is it {PROGRAM}?")
    return clock[-1] - clock[0], losses


def run_engine(engine: str, docs: list[str], steps: int) -> tuple[float, list[float]]:
    """The same of one of the course's engines."""
    model = MicroGPT(docs, engine=engine)
    losses = model.train(NUM_STEPS, stop_after=1)
    start = time.perf_counter()
    losses += model.train(NUM_STEPS, stop_after=steps + 1)
    return time.perf_counter() - start, losses


def bench_micro(command: str, runs: int, peer: Path | None, recipe: str | None) -> dict[str, Any]:
    """Seconds for 20 steps of microGPT on the bundled names; ``course`` is the vector engine.

    The details say how far the losses of the rows are from one another, and what the scalar engine gains.
    """
    docs = load_text("names").split()
    losses: dict[str, list[float]] = {}
    measures = {
        "course": lambda: run_engine("vector", docs, STEPS),
        "course scalar": lambda: run_engine("scalar", docs, STEPS),
    }
    if peer is not None:
        program = find_original(peer)
        measures["microGPT"] = lambda: run_original(program, docs, STEPS)

    def seconds(row: str) -> float:
        taken, losses[row] = measures[row]()
        return taken

    rows = {row: (lambda row=row: seconds(row)) for row in measures}
    results = take_turns(rows, runs)
    details: dict[str, Any] = {"steps": STEPS, "documents": len(docs)}
    details["vector_loss_differs_by"] = _apart(losses["course"], losses["course scalar"])
    if peer is not None:
        details["scalar_loss_differs_by"] = _apart(losses["course scalar"], losses["microGPT"])
    result = report("micro", command, "seconds", results, **details)
    if peer is not None:
        medians = result["medians"]
        result["ratios"]["course scalar vs microGPT"] = round(medians["microGPT"] / medians["course scalar"], 3)
    return result


def _apart(some: list[float], others: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(some, others, strict=True))
