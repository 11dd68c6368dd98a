"""The runs of a project, the newest first, and what stands in the table of them: read from small files alone."""

import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.checkpoint.writing import read_pointer
from course_lib.config import RunConfig
from course_lib.errors import CourseError
from course_lib.paths import runs_dir

LATEST = "latest"
"""The name that stands for the run that was written to last."""
_OF_A_RUN = ("config.json", "saves", "metrics.jsonl", "tokenizer.json", "last", "best")
"""What a folder under ``runs/`` holds one of, where it is a run or is left of one."""


@dataclass(frozen=True)
class RunRow:
    """What the table says of one run; None stands for what is not known."""

    folder: Path
    fault: str | None
    """What is wrong with the folder, in a word or two; None where nothing is."""
    recipe: str | None
    dataset: str | None
    step: int
    """Steps completed at its last save; 0 without one."""
    max_steps: int | None
    best: float | None
    """The lowest validation loss so far, in nats per token."""
    seconds: float
    """How long ago it was written to."""
    n_bytes: int
    """What the folder takes on the disk."""


def run_folders(folder: Path | None = None) -> list[Path]:
    """The runs in ``folder`` (default: ``runs/``), the one that was written to last first."""
    found = [path.parent for path in (folder or runs_dir()).glob("*/config.json")]
    return sorted(found, key=_newness, reverse=True)


def list_runs(folder: Path | None = None) -> list[RunRow]:
    """A row for each run in ``folder`` (default: ``runs/``), newest first, for damaged ones too. Nothing is written."""
    place = folder or runs_dir()
    children = sorted(place.iterdir()) if place.is_dir() else []
    found = [path for path in children if any((path / name).exists() for name in _OF_A_RUN)]
    return [_row(path) for path in sorted(found, key=_newness, reverse=True)]


def _newness(run_dir: Path) -> tuple[float, str]:
    """When it was last written to; of several at one instant the name decides, so that the order is always the same."""
    return max(map(_written, (run_dir / name for name in _OF_A_RUN))), run_dir.name


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it is not there, or just now replaced
        return 0.0


def _row(run_dir: Path) -> RunRow:
    about, fault = _settings(run_dir)
    state, damage = _last_state(run_dir)
    max_steps = None if about is None else about.train.max_steps
    train = state.get("train")
    if isinstance(train, dict) and isinstance(train.get("max_steps"), int):
        max_steps = train["max_steps"]  # a run that goes on may have been given more
    best = state.get("best_val_loss")
    return RunRow(
        folder=run_dir,
        fault=fault or damage,
        recipe=None if about is None else about.recipe,
        dataset=None if about is None or about.data is None else about.data.dataset,
        step=state.get("step", 0),
        max_steps=max_steps,
        best=float(best) if isinstance(best, (int, float)) else None,
        seconds=max(0.0, time.time() - _newness(run_dir)[0]),
        n_bytes=sum(map(_size, run_dir.rglob("*"))),
    )


def _settings(run_dir: Path) -> tuple[RunConfig | None, str | None]:
    try:
        return RunConfig.from_json((run_dir / "config.json").read_text(encoding="utf-8")), None
    except FileNotFoundError:
        return None, "no config.json"
    except (OSError, UnicodeDecodeError, CourseError):
        return None, "damaged config.json"


def _last_state(run_dir: Path) -> tuple[dict[str, Any], str | None]:
    """``state.json`` of the last save, and what is wrong where it cannot be read."""
    for _ in range(2):  # a newer save may take its place between the two looks
        name = None
        with contextlib.suppress(OSError):
            name = read_pointer(run_dir, "last")
        if not name:
            return {}, "no save"
        try:
            state = json.loads((run_dir / "saves" / name / "state.json").read_text(encoding="utf-8"))
            if isinstance(state, dict) and isinstance(state.get("step"), int):
                return state, None
        except (OSError, ValueError):
            continue
    return {}, "damaged save"


def _size(path: Path) -> int:
    try:
        return 0 if path.is_dir() else path.lstat().st_size
    except OSError:
        return 0


def table_of(rows: Iterable[RunRow]) -> list[str]:
    """The rows as lines of text, in columns, with a line of headings first."""
    head = ("NAME", "RECIPE", "TEXT", "STEPS", "BEST", "AGE", "SIZE", "")
    lines = [head, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    right = {3, 4, 5, 6}  # numbers end where numbers end
    aligned = (
        (cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(zip(line, widths)))
        for line in lines
    )
    return ["  ".join(cells).rstrip() for cells in aligned]


def _cells(row: RunRow) -> tuple[str, ...]:
    return (
        _plain(row.folder.name),
        _plain(row.recipe or "-"),
        _plain(_short(row.dataset)),
        f"{row.step}/{'-' if row.max_steps is None else row.max_steps}",
        "-" if row.best is None else f"{row.best:.4f}",
        in_time(row.seconds),
        in_bytes(row.n_bytes),
        row.fault or "",
    )


def _plain(text: str) -> str:
    """A name as one cell: line breaks and signs that command a terminal become escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _short(dataset: str | None) -> str:
    """A corpus by name; of one's own text the file's name, without the folders above it."""
    scheme, colon, path = (dataset or "-").partition(":")
    return f"{scheme}:{Path(path).name or path}" if colon else scheme


def in_time(seconds: float) -> str:
    """A stretch of time in its largest whole unit, such as ``3 h``."""
    units = (("d", 86_400), ("h", 3_600), ("min", 60))
    return next((f"{int(seconds // size)} {unit}" for unit, size in units if seconds >= size), f"{int(seconds)} s")


def in_bytes(number: float) -> str:
    """A size with a unit of 1,000s, such as ``1.2 GB``; below 1,000 in bytes."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{int(number)} B"
