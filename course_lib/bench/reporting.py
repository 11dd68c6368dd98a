"""What all benchmarks share: the clock, the turns, and the JSON form that is kept under ``data/reference/``."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch

from course_lib import __version__
from course_lib.device import find, processor

Runs = dict[str, list[float]]
Measure = Callable[[int, str | None], tuple[str, Runs, dict[str, Any]]]


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    found = find("auto")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": found.name if found.kind != "cpu" else "cpu",
    }


def versions() -> dict[str, str]:
    """Of what was measured; the course's own is that of the code which runs, installed or not."""
    return {
        "python": platform.python_version(),
        "course-lib": __version__,
        **{package: version(package) for package in ("torch", "numpy")},
    }


def heading(name: str, command: str) -> dict[str, Any]:
    """What every report begins with."""
    return {
        "benchmark": name,
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
    }


def report(name: str, command: str, unit: str, runs: Runs, **details: Any) -> dict[str, Any]:
    """The JSON form. ``ratios`` holds other / course for each other row: above 1, the course is faster.

    For rows in tokens per second it is course / other, so that it reads the same way.
    """
    return heading(name, command) | summary(unit, runs, **details)


def summary(unit: str, runs: Runs, **details: Any) -> dict[str, Any]:
    """The numbers of a report: every run, the medians, and their ratios as `report` has them."""
    medians = {row: statistics.median(values) for row, values in runs.items()}
    faster = unit != "seconds"
    ratios = {
        f"course vs {row}": medians["course"] / median if faster else median / medians["course"]
        for row, median in medians.items()
        if row != "course" and median and medians.get("course")  # nothing is no multiple of anything
    }
    return {
        "unit": unit,
        "details": details,
        "runs": {row: [round(value, 4) for value in values] for row, values in runs.items()},
        "medians": {row: round(value, 4) for row, value in medians.items()},
        "ratios": {row: round(value, 3) for row, value in ratios.items()},
    }


def to_json(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=2) + "\n"


def take_turns(rows: dict[str, Callable[[], float]], runs: int) -> Runs:
    """Measure each row once, then each again, ...: what disturbs the machine disturbs all alike."""
    results: Runs = {row: [] for row in rows}
    for _ in range(runs):
        for row, measure in rows.items():
            results[row].append(measure())
    return results


def timed(action: Callable[[], object]) -> Callable[[], float]:
    """``action`` as a measurement in seconds, a card's work waited for."""

    def measure() -> float:
        start = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return measure
