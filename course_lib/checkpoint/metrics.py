"""``metrics.jsonl``: one row of JSON per training step; and the boards that get the same numbers."""

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from course_lib.checkpoint.boards import Board
from course_lib.checkpoint.explaining import explained
from course_lib.errors import CourseError
from course_lib.paths import quoted, replace_file


def read_metrics(run_dir: str | Path) -> list[dict[str, Any]]:
    """The rows of a run, in order of steps; a last row that a kill cut short is left out."""
    path = Path(run_dir) / "metrics.jsonl"
    if not path.exists():
        return []
    rows = []
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                raise ValueError("no object with a step")
            rows.append(row)
        except ValueError as error:  # not JSON, or not UTF-8
            if number < len(lines):
                raise CourseError(
                    f"{quoted(path)}, line {number}, is no JSON row ({error}). Delete that line."
                ) from error
    return rows


class MetricsLog:
    """Appends rows to ``metrics.jsonl``, and hands their numbers to boards.

    Args:
        first_step: rows of this step and later are dropped first: a resumed run writes them again.
        boards: see `boards_for`; they are closed with the log. One that fails is left out, with a warning.

    Raises:
        CourseError: where the file cannot be written.
    """

    def __init__(self, run_dir: str | Path, first_step: int = 0, boards: Sequence[Board] = ()) -> None:
        self.path = Path(run_dir) / "metrics.jsonl"
        self._last = -1  # the step of the last row
        rows = read_metrics(run_dir)
        kept = [row for row in rows if row["step"] < first_step]
        self._continue(kept, anew=kept != rows or self.path.exists())
        self._boards: Sequence[Board] = boards

    def _continue(self, rows: list[dict[str, Any]], anew: bool) -> None:
        """Open the file for the rows to come, after ``rows``: those it has, or with ``anew`` those it gets."""
        with explained(self.path, self.path.parent):
            if anew:
                replace_file(self.path, "".join(json.dumps(row) + "\n" for row in rows))
            self._file = self.path.open("a", encoding="utf-8")
        self._last = rows[-1]["step"] if rows else -1

    def write(self, row: dict[str, Any]) -> None:
        """Append one row; it reaches the operating system at once, so that it can be followed.

        A second row of the last step, with a measurement that came later, replaces the first. JSON has no
        infinity: a number that is not finite (a gradient that overflowed) becomes null.
        """
        row = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        if row["step"] <= self._last:
            with explained(self.path, self.path.parent):
                self._file.close()
            before = [other for other in read_metrics(self.path.parent) if other["step"] < row["step"]]
            self._continue([*before, row], anew=True)
        else:
            self._last = row["step"]  # first: where the disk is full, a part may be written, to be replaced later
            with explained(self.path, self.path.parent):
                self._file.write(json.dumps(row) + "\n")
                self._file.flush()
        numbers = {n: value for n, value in row.items() if isinstance(value, (int, float)) and n != "step"}
        self._on_boards(lambda board: board.write(row["step"], numbers))

    def sync(self) -> None:
        """Make the rows as safe as the save that follows them."""
        with explained(self.path, self.path.parent):
            os.fsync(self._file.fileno())
        self._on_boards(lambda board: board.flush())

    def _on_boards(self, call: Callable[[Board], None]) -> None:
        """A board that fails is told of once and left out from then on: the file has every row, and training goes on.

        Their errors are of classes that only their packages have.
        """
        for board in self._boards:
            try:
                call(board)
            except Exception as error:
                self._boards = [other for other in self._boards if other is not board]
                what = f"{type(error).__name__}: {error}".splitlines()[0]
                print(
                    f"warning: {type(board).__name__} takes no more numbers ({what}). The training goes on without it; "
                    f"{quoted(self.path)} has them all.",
                    file=sys.stderr,
                )

    def close(self) -> None:
        self._file.close()
        self._on_boards(lambda board: board.close())
        self._boards = ()

    def __del__(self) -> None:
        """A run that is dropped in the middle leaves no open file behind."""
        if hasattr(self, "_boards"):
            self.close()
