"""The list for a machine with a card, in order of value: ``python -m course_lib.bench gpu --peer PATH --out FILE``.

Each row is written to FILE as soon as it is known, so that a run that is cut off loses nothing. A row that does not fit
into the remaining minutes is left out, and a row that fails does not stop the others: the file says both. It needs
torch, numpy, safetensors, tqdm and filelock; the course need not be installed.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from course_lib.bench.byte_models import find_original
from course_lib.bench.race import race
from course_lib.bench.reporting import heading, to_json
from course_lib.bench.rows import Job, in_a_process
from course_lib.bench.table import goals_of, is_meant_for, table
from course_lib.device import Capabilities, find
from course_lib.errors import CourseError
from course_lib.paths import replace_file
from course_lib.peaks import known_peak, measured_peak
from course_lib.training.setup import compiler_problem

LONGEST_RACE = 240.0
"""Seconds that one program has to come to its loss: the other rows want their time too."""
SECONDS = {
    "time to loss": 149,
    "step gpt2": 114,
    "step shakespeare": 90,
    "generation, 1 stream": 20,
    "generation, many streams": 20,
    "step agiformer": 60,
    "step agiformer, long": 60,
    "parts shakespeare": 40,
    "parts gpt2": 45,
}
"""The list, in order of value, and about how long each row takes on an H100; the first three as measured."""
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Row:
    """One row of the list. ``measure(tell)`` tells its result, first in part and then whole."""

    name: str
    seconds: float
    """About how long it takes: this decides whether it still fits."""
    measure: Callable[[Tell], None]


def rows_of(job: Job, left: Callable[[], float], done: dict[str, Any]) -> list[Row]:
    """The list. ``left`` says how many seconds there are; ``done`` is where rows find those before them."""
    sizes = job.sizes
    args = [*sizes.peer_args, *([] if job.compile or job.tiny else ["--compile=False"])]

    def to_loss(tell: Tell) -> None:
        recipe = sizes.recipe.replace(compile=job.compile)
        for result in race(recipe, sizes.target, job.peer_path, args, lambda: min(left(), LONGEST_RACE)):
            tell(result)

    def alone(name: str) -> Callable[[Tell], None]:
        def measure(tell: Tell) -> None:
            found = done.get("step gpt2", {}).get("details", {}).get("course", {})
            chosen = replace(job, gpt2_batch=found.get("batch_size", sizes.gpt2_train.batch_size))
            in_a_process(name, chosen, tell, left())

        return measure

    return [
        Row(name, seconds * sizes.pace, to_loss if name == "time to loss" else alone(name))
        for name, seconds in SECONDS.items()
    ]


def run_rows(rows: list[Row], left: Callable[[], float], done: dict[str, Any], keep: Callable[[], None]) -> bool:
    """Go down the list; ``keep`` is called after every result, also after a partial one.

    Returns:
        False where Ctrl-C ended it; the rows that were not begun say so.
    """
    stopped = False
    for row in rows:
        if is_measured(done.get(row.name)):
            continue
        if stopped:
            done[row.name] = {"left_out": "stopped by Ctrl-C"}
        elif left() < row.seconds:
            done[row.name] = {"left_out": f"it would take about {row.seconds:.0f} s; {max(left(), 0):.0f} s were left"}
        else:
            stopped = not _run_row(row, done, keep)
        keep()
    return not stopped


def is_measured(result: dict[str, Any] | None) -> bool:
    """Whether a row is known as a whole."""
    return result is not None and not {"left_out", "failed"} & result.keys()


def _run_row(row: Row, done: dict[str, Any], keep: Callable[[], None]) -> bool:
    """False where Ctrl-C came. Whatever else a row raises is its result: a card's time is too dear for a traceback."""
    print(f"{row.name} ...", flush=True)
    start = time.perf_counter()

    def tell(result: dict[str, Any]) -> None:
        done[row.name] = result | {"took": round(time.perf_counter() - start, 1)}
        keep()

    try:
        row.measure(tell)
    except KeyboardInterrupt:
        done[row.name] = done.get(row.name, {}) | {"failed": "stopped by Ctrl-C"}
        return False
    except Exception as error:
        done[row.name] = done.get(row.name, {}) | {"failed": f"{type(error).__name__}: {error}"[-1500:]}
    return True


def run_gpu(
    out: Path, peer: Path | None, minutes: float = 10.0, tiny: bool = False, go_on: bool = False,
    original: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure the whole list and write it to ``out``; returns what was written.

    Args:
        minutes: the budget, from now on.
        tiny: toys on the CPU: whether the list runs, not how fast.
        go_on: keep the rows that ``out`` has already, from an earlier run on such a machine.
        original: a checkout of the original AGIFORMER.

    Raises:
        CourseError: without a CUDA card (and not tiny), for a budget that is not above 0, a peer that is not there or
            a file that cannot be written, or, to go on with, read.
        KeyboardInterrupt: where Ctrl-C came; what was measured until then is written and printed.
    """
    start = time.perf_counter()
    found = find("cpu" if tiny else "auto")
    _check(found, peer, original, minutes, tiny)
    given = {"--peer PATH": peer, "--agiformer PATH": original, "--tiny": tiny and peer, f"--minutes {minutes:g}": True}
    words = " ".join(word for word, is_given in given.items() if is_given)
    result = heading("gpu", f"python -m course_lib.bench gpu {words}")
    result["goals are for this card"] = not tiny and is_meant_for(found.name)
    done, before = _earlier(out, result) if go_on else ({}, 0.0)
    result["rows"] = done

    def keep() -> None:
        result["minutes"] = round(before + (time.perf_counter() - start) / 60, 2)
        result["goals"] = goals_of(done, result["goals are for this card"])
        try:
            replace_file(out, to_json(result))
        except OSError as error:
            raise CourseError(f"Cannot write {out}: {error.strerror}. Name another file: --out FILE") from error

    def left() -> float:
        return minutes * 60 - (time.perf_counter() - start)

    keep()  # a file that cannot be written is known at once
    job = _job(found, peer, original, tiny, result)
    whole = run_rows(rows_of(job, left, done), left, done, keep)
    print(table(result))
    if not whole:
        raise KeyboardInterrupt
    return result


def _job(
    found: Capabilities, peer: Path | None, original: Path | None, tiny: bool, result: dict[str, Any]
) -> Job:
    """What the rows have to know of this machine; ``result`` gets it too."""
    problem = "not tried: --tiny" if tiny else compiler_problem(found.device)
    result["torch.compile"] = problem or "works"
    peak = (None if tiny else known_peak(found.name)) or measured_peak(found.device, 64 if tiny else 8192)
    result["peak"] = {"tflops": round(peak.flops / 1e12, 4), "dtype": peak.dtype, "source": peak.source}
    folders = [None if folder is None else str(folder) for folder in (peer, original)]
    return Job(tiny, problem is None, peak, *folders)


def _earlier(out: Path, result: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The rows that ``out`` has from an earlier run, and its minutes; CourseError where it was another machine."""
    try:
        earlier = json.loads(out.read_text(encoding="utf-8"))
        rows, minutes = dict(earlier["rows"]), float(earlier["minutes"])
        theirs = {name: earlier[name] for name in ("benchmark", "machine", "versions")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(
            f"{out} should hold what an earlier run of this list wrote, to go on with; it cannot be read so "
            f"({type(error).__name__}: {error}). Leave --go-on out to begin."
        ) from error
    ours = {name: result[name] for name in theirs}
    if theirs != ours:
        raise CourseError(
            f"{out} was measured on another machine or with other versions: {theirs}, and here {ours}. Rows of two "
            "machines cannot stand in one table: name another file."
        )
    return rows, minutes


def _check(found: Capabilities, peer: Path | None, original: Path | None, minutes: float, tiny: bool) -> None:
    """CourseError for what `run_gpu` cannot measure."""
    if found.kind != "cuda" and not tiny:
        raise CourseError(
            f"The list is for a CUDA card; torch {torch.__version__} sees none here. Add --tiny to try it on the CPU."
        )
    if not minutes > 0:
        raise CourseError(f"minutes should be above 0; it is {minutes}.")
    if peer is not None and not (peer / "train.py").is_file():
        raise CourseError(f"{peer} should be a copy of nanoGPT, with train.py in it; it is not. Give --peer PATH.")
    if original is not None:
        find_original(original)
