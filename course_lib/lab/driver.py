"""Drives a trainer from its first step to its last, or to a stop, and listens between two steps.

The loop is the plain one: ask the trainer for the next record, over and over. A wish from outside (pause, step,
stop, another learning rate) waits in a queue until the step at hand is done, and the thread that trains carries it
out; so nothing ever changes in the middle of a step.

torch's random numbers are the exception: all threads share them (`course_lib.training.borrowed`). The trainer puts
them back after each step, so a cell that draws while the driver pauses or is done draws its own row; a cell that
draws during a step draws from the step's.
"""

import contextlib
import ctypes
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch

from course_lib.device import current_world
from course_lib.optim import scheduled_lr
from course_lib.training import StepRecord, Trainer, stopping_on_signals

Watcher = Callable[[], None]
Between = Callable[[int, float], None]

UPDATE_SECONDS = 0.15
"""How often watchers are told: often enough to look alive, seldom enough to cost nothing."""
SHARE = 0.02
"""What watchers may take, as a share of the time that training takes."""
DRAG_SECONDS = 1.0
"""A setting that is moved again so soon is still being dragged: the moves are one change."""


@dataclass(frozen=True)
class Change:
    """A setting that was moved while a run went on, from its first value to its last. Steps are counted from 0.

    A slider that is dragged moves many times. While no step is taken, or within `DRAG_SECONDS` of the last move, that
    is one change: steps from ``step`` up to ``settled`` were taken with values between.
    """

    step: int
    """The first step that was not taken with the value before."""
    name: str
    before: float
    value: float
    settled: int
    """The first step that was taken with ``value``."""
    in_force: float | None = None
    """Of a peak learning rate: the rate of that step, which the schedule makes of it."""


class Driver:
    """Runs one trainer in the thread that calls `drive`; the other methods may be called from any thread.

    None of these waits: each leaves word, and the driver acts on it before its next step. Word that comes
    before the run has begun is kept. ``state`` is ready, running, paused or over.

    Args:
        records: gets the record of each step; what is in it stays, whatever happens.
        watch: called a few times a second, when the run pauses or goes on, and when it is over, however it
            ends; more seldom where it takes long.
        between: called before the first step and after each one, with the number of steps taken and the seconds that
            they took; it may do other work, and should return soon after a stop.
        settings: the movable settings as the run begins with them, such as ``{"max_lr": 0.02}``.
    """

    def __init__(
        self,
        records: list[StepRecord],
        watch: Watcher,
        between: Between = lambda step, seconds: None,
        settings: dict[str, float] | None = None,
        update_seconds: float = UPDATE_SECONDS,
        share: float = SHARE,
    ) -> None:
        self.records, self.changes, self.state = records, list[Change](), "ready"
        self.seconds = 0.0
        """Time since the first step began, with all that was done beside the training, pauses left out."""
        self.trained = 0.0
        """The part of it that the training took."""
        self._watch, self._between = watch, between
        self._in_force, self._wanted = dict(settings or {}), dict[str, float]()
        self._update_seconds, self._share = update_seconds, share
        self._words: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._steps_allowed: float = float("inf")
        self._stop = threading.Event()
        self._trainer: Trainer | None = None
        self._held, self._is_waiting = threading.Event(), False
        self._next_watch, self._last_move = 0.0, -math.inf

    # ---- what others may ask for, from any thread ----------------------------------------------------

    def pause(self) -> None:
        """Wait after the step at hand; the run stays as it is until `resume`, `step` or `stop`."""
        self._words.put(lambda: self._allow(0))

    def resume(self) -> None:
        """Go on after a pause."""
        self._words.put(lambda: self._allow(float("inf")))

    def step(self, steps: int = 1) -> None:
        """Take so many steps, then pause; those asked for before and not yet taken are taken too."""
        self._words.put(lambda: self._allow(steps + (self._steps_allowed if self._steps_allowed < math.inf else 0)))

    def stop(self) -> None:
        """End the run: a step or an evaluation that has begun is given up as soon as its batch is done."""
        self._stop.set()
        trainer = self._trainer
        if trainer is not None:
            trainer.stop()
        self._words.put(lambda: None)  # wakes a driver that is pausing

    def change(self, **settings: float) -> None:
        """Move ``max_lr`` or ``dropout`` from the next step on; of several values the last one counts."""
        self._words.put(lambda: self._wanted.update(settings))

    def hold(self) -> None:
        """Take no further step before `release`. The run does not pause: its time goes on, and nobody is told."""
        self._held.set()

    def release(self) -> None:
        """Go on as before `hold`."""
        self._held.clear()

    @property
    def is_at_work(self) -> bool:
        """Whether it takes steps, or is about to: not while it is held, pauses, or is over."""
        return self.state in ("ready", "running") and not self._is_waiting

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_set()

    # ---- the loop ------------------------------------------------------------------------------------

    def drive(self, trainer: Trainer) -> None:
        """Train until the run is over; whatever the trainer raises is raised here."""
        self._trainer = trainer
        if self._stop.is_set():  # asked for before there was a trainer to tell
            trainer.stop()
        self.state = "running"
        try:
            self._do_between()
            while True:
                self._listen()
                start = time.perf_counter()
                record = next(trainer, None)
                if record is None:
                    break
                took = time.perf_counter() - start
                self.trained, self.seconds = self.trained + took, self.seconds + took
                self.records.append(record)
                self._steps_allowed -= 1
                self._do_between()
        finally:
            self.state = "over"
            self._watch()

    def _allow(self, steps: float) -> None:
        self._steps_allowed = steps

    def _listen(self) -> None:
        """Act on what was asked for; wait here for more, without using the processor, while pausing."""
        while self._held.is_set() and not self._stop.is_set():
            self._is_waiting = True
            time.sleep(0.01)
        self._is_waiting = False
        while not self._stop.is_set():
            if self._words.empty() and self._steps_allowed < 1 and not self._is_done():
                self._enter("paused")
                self._next_word()()
            while not self._words.empty():  # this thread alone takes from it
                self._words.get()()
            if self._steps_allowed >= 1 or self._is_done():
                self._enter("running")
                self._apply_changes()
                return

    def _next_word(self) -> Callable[[], None]:
        """Wait for the next word, in slices: Python hears a signal that comes just before a wait only after it."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._words.get(timeout=0.5)

    def _is_done(self) -> bool:
        """Whether there is no step left to pause before."""
        assert self._trainer is not None
        return self._trainer.step >= self._trainer.config.max_steps

    def _enter(self, state: str) -> None:
        if self.state != state:
            self.state = state
            self._watch()

    def _apply_changes(self) -> None:
        assert self._trainer is not None
        for name, value in self._wanted.items():
            before = self._in_force.get(name)
            if before != value:
                self._trainer.change(**{name: value})
                self._in_force[name] = value
                self._note(name, value if before is None else before, value)
        self._wanted.clear()

    def _note(self, name: str, before: float, value: float) -> None:
        """Remember the move; what belongs to the last one's drag is one change with it."""
        assert self._trainer is not None
        step, now = self._trainer.step, time.perf_counter()
        in_force = scheduled_lr(self._trainer.config, step) if name == "max_lr" else None
        change, last = Change(step, name, before, value, step, in_force), self.changes[-1] if self.changes else None
        if last is not None and last.name == name and (last.settled == step or now - self._last_move < DRAG_SECONDS):
            self.changes.pop()
            change = replace(change, step=last.step, before=last.before)
        if change.before != value or change.step < step:  # moved back before any step felt it is not moved at all
            self.changes.append(change)
        self._last_move = now

    # ---- beside the training -------------------------------------------------------------------------

    def _do_between(self) -> None:
        """Let the other work be done that is due, and tell the watcher when it is time."""
        start = time.perf_counter()
        if not self._stop.is_set():
            self._between(len(self.records), self.trained)
        before = time.perf_counter()
        if self.records and before >= self._next_watch:
            self._watch()
            cost = time.perf_counter() - before
            # One that takes long, as it paints a picture, is told more seldom.
            self._next_watch = time.perf_counter() + max(self._update_seconds, cost / self._share)
        self.seconds += time.perf_counter() - start


@contextlib.contextmanager
def heeding_signals(driver: Driver) -> Iterator[None]:
    """Within it, JupyterLab's stop button (or Ctrl-C) stops the driver; a second press stops at once.

    It does nothing in another thread than the main one: no signals arrive there.
    """
    # The driver is told, not the trainer alone: a driver that pauses has to wake up.
    told = SimpleNamespace(stop=driver.stop, world=current_world())
    with stopping_on_signals(told, say=lambda text: None):
        yield


def drive_here(driver: Driver, trainer: Trainer) -> None:
    """Train in the calling thread until the run is over; the cell that called waits.

    The stop button of JupyterLab (or Ctrl-C) ends the run after the step at hand, without an error; a
    second press stops at once.
    """
    with heeding_signals(driver):
        driver.drive(trainer)


def let_helpers_go() -> None:
    """End the helper threads that torch keeps for the calling thread; it gets new ones when it computes again.

    GNU's OpenMP keeps helpers for each thread that has computed. As soon as there are more of them than cores,
    all sleep between two tasks instead of waiting awake: on two cores, with the idle helper of the main
    thread around, a training in another thread was a third slower. Elsewhere this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):  # another OpenMP, or another system
        openmp = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        openmp.omp_pause_resource_all(1)  # OpenMP 5.0, section 3.2.44; 1 is omp_pause_soft


def training_thread(work: Callable[[], None], torch_threads: int) -> threading.Thread:
    """A thread, not yet started, that does ``work`` with as many torch threads as the caller's.

    torch counts its threads for each thread by itself, and sums in another order where the number differs:
    with it, a run in this thread is the run in the main one, bit for bit.
    """

    def run() -> None:
        torch.set_num_threads(torch_threads)
        work()

    return threading.Thread(target=run, name="course-lab", daemon=True)
