"""The run directory's side of a trainer: its lock, its log, its saves, and the one history they tell."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from torch import nn

from course_lib import checkpoint
from course_lib.config import RunConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.optim import AnyOptimizer
from course_lib.paths import quoted
from course_lib.tokenizers import Tokenizer
from course_lib.training.record import StepRecord


class Keeper:
    """Writes what one trainer leaves on disk. It has the run's lock from `new` or `resume` until `close`.

    Nothing in the folder changes before the first row or save: until then a run that is resumed from an
    earlier save stays what it was. Then the log and the pointers go back to that save, in an order that tells
    one history at every instant.
    """

    def __init__(self, run_dir: Path, config: TrainConfig) -> None:
        self.run_dir, self._config, self._keep = run_dir, config, config.keep
        checkpoint.need_boards(config)  # where one is not installed, say so before there is a folder
        self.saved_step: int | None = None
        """After how many steps the last save was made; None before the first one."""
        self._saved_seconds = 0.0
        self._is_new = False
        self._lock = checkpoint.RunLock(run_dir)
        self._log: checkpoint.MetricsLog | None = None
        self._origin: Path | None = None
        self._last: tuple[str | None, int] = (None, 0)

    @classmethod
    def new(cls, run_dir: Path, about: RunConfig, tokenizer: Tokenizer | None) -> Self:
        """Begin a run; CourseError where the folder holds one, another process is about to, or a board lacks."""
        self = cls(run_dir, about.train)
        checkpoint.create_run(run_dir, about, tokenizer, self._lock)
        self._is_new = True
        self._last = self._look()
        return self

    @classmethod
    def resume(cls, run_dir: Path, save: Path, step: int, seconds: float, config: TrainConfig) -> Self:
        """Go on from a save of ``step`` steps and ``seconds``; CourseError where another process trains the run."""
        self = cls(run_dir, config)
        self._origin, self.saved_step, self._saved_seconds = save, step, seconds
        self._lock.acquire()
        self._last = self._look()
        return self

    def write(self, record: StepRecord) -> None:
        """A row of the log; a second one of the same step replaces the first."""
        with self._writing():
            self._opened_log(record.step + 1, record.step).write(dataclasses.asdict(record))

    def save(self, step: int, model: nn.Module, optimizer: AnyOptimizer, state: dict[str, Any], best: bool) -> None:
        """A save after ``step`` completed steps; the rows of these steps are written already."""
        with self._writing():
            self._opened_log(step, step).sync()
            try:
                checkpoint.save(self.run_dir, step, model, optimizer, state, best, self._keep)
            finally:
                self._last = self._look()
        self.saved_step, self._saved_seconds = step, state["seconds"]

    def is_save_due(self, seconds: float, minutes: float | None) -> bool:
        """Whether the last save is ``minutes`` of training old. Only the process that saves has a keeper: its clock
        alone decides, and the other processes need not know."""
        return minutes is not None and seconds - self._saved_seconds >= 60 * minutes

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Within it the lock is held; a log that was opened under a lock since lost is closed."""
        if not self._lock.is_held:
            self._close_log()
        with self._lock.writing():
            yield

    def _look(self) -> tuple[str | None, int]:
        """What the pointer `last` says, and when it was written: two histories may have saves of one name."""
        try:
            return checkpoint.read_pointer(self.run_dir, "last"), (self.run_dir / "last").stat().st_mtime_ns
        except FileNotFoundError:
            return None, 0

    def _opened_log(self, steps: int, next_step: int) -> checkpoint.MetricsLog:
        """The log. When it is opened, rows beyond the first ``steps`` steps are dropped from it.

        The row of ``next_step`` comes next: what TensorBoard has of it and later ones is void.
        """
        if self._log is None:
            if self._look() != self._last:
                self.close()
                raise CourseError(
                    f"{quoted(self.run_dir)} was trained by another program meanwhile: its last save is not the one "
                    "that this trainer left. Resume the run, and go on with that trainer."
                )
            if self._origin is not None:
                try:
                    checkpoint.rewind(self.run_dir, self._origin, self._keep)
                finally:
                    self._last = self._look()
            boards = checkpoint.boards_for(self._config, self.run_dir, next_step)
            self._log = checkpoint.MetricsLog(self.run_dir, steps, boards)
            self._origin = None
        return self._log

    def close(self) -> None:
        """Let go of the log and of the lock; a later row or save takes them again."""
        self._close_log()
        self._lock.release()

    def abandon(self) -> None:
        """Let go of a run that an error has ended. Its folder is removed where nothing has happened in it yet."""
        self._close_log()
        is_empty = self._is_new and self.saved_step is None and self._lock.is_held
        if is_empty and not checkpoint.read_metrics(self.run_dir):
            checkpoint.discard_run(self.run_dir)
        self.close()

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None


def kept_by(keeper: Keeper | None) -> str:
    """What an error says of the saves: a sentence with a space before it, nothing where none are made."""
    if keeper is None:
        return ""
    if keeper.saved_step is None:
        name = quoted(keeper.run_dir)
        return f" Nothing was saved, so {name} cannot be resumed: delete it, or start anew in another folder."
    return f" The last good save is {quoted(keeper.run_dir / 'saves' / str(keeper.saved_step))}."
