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
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from course_lib.training import StepRecord, Trainer, stopping_on_signals

Watcher = Callable[[], None]
Aside = Callable[[], bool]

UPDATE_SECONDS = 0.25
"""How often watchers are told: often enough to look alive, seldom enough to cost nothing."""
SHARE = 0.025
"""What may be done beside the training (pictures, samples), as a share of the time that training takes."""

BURST_SECONDS = 0.01
"""Other work is done in bursts of about this length: each switch also costs the steps after it a little."""


@dataclass(frozen=True)
class Change:
    """A setting that was moved while a run went on. Steps are counted from 0: it holds from ``step`` on."""

    step: int
    name: str
    value: float


class Driver:
    """Runs one trainer in the thread that calls `drive`; the other methods may be called from any thread.

    None of these waits: each leaves word, and the driver acts on it before its next step. Word that comes
    before the run has begun is kept. ``state`` is ready, running, paused or over.

    Args:
        records: gets the record of each step; what is in it stays, whatever happens.
        watch: called a few times a second, when the run pauses or goes on, and when it is over, however it
            ends; more seldom where it takes long.
        aside: does a small piece of other work between two steps and says whether it did any. It is called
            as often as ``share`` allows.
        settings: the movable settings as the run begins with them, such as ``{"max_lr": 0.02}``.
    """

    def __init__(
        self,
        records: list[StepRecord],
        watch: Watcher,
        aside: Aside = lambda: False,
        settings: dict[str, float] | None = None,
        update_seconds: float = UPDATE_SECONDS,
        share: float = SHARE,
    ) -> None:
        self.records, self.changes, self.state = records, list[Change](), "ready"
        self.seconds = 0.0
        """Time since the first step began, with all that was done beside the training, pauses left out."""
        self._watch, self._aside = watch, aside
        self._in_force, self._wanted = dict(settings or {}), dict[str, float]()
        self._update_seconds, self._share = update_seconds, share
        self._words: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._steps_allowed: float = float("inf")
        self._stop = threading.Event()
        self._trainer: Trainer | None = None
        self._next_watch, self._spare = 0.0, 0.0

    # ---- what others may ask for, from any thread ----------------------------------------------------

    def pause(self) -> None:
        """Wait after the step at hand; the run stays as it is until `resume`, `step` or `stop`."""
        self._words.put(lambda: self._allow(0))

    def resume(self) -> None:
        """Go on after a pause."""
        self._words.put(lambda: self._allow(float("inf")))

    def step(self, steps: int = 1) -> None:
        """Take so many steps, then pause."""
        self._words.put(lambda: self._allow(steps))

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
            while True:
                self._listen()
                start = time.perf_counter()
                record = next(trainer, None)
                if record is None:
                    break
                self._spare += self._share * (time.perf_counter() - start)
                self.records.append(record)
                self._steps_allowed -= 1
                self._do_other_things()
                self.seconds += time.perf_counter() - start
        finally:
            self.state = "over"
            self._watch()

    def _allow(self, steps: float) -> None:
        self._steps_allowed = steps

    def _listen(self) -> None:
        """Act on what was asked for; wait here for more, without using the processor, while pausing."""
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
            if self._in_force.get(name) != value:
                self._trainer.change(**{name: value})
                self._in_force[name] = value
                self.changes.append(Change(self._trainer.step, name, value))
        self._wanted.clear()

    # ---- beside the training -------------------------------------------------------------------------

    def _do_other_things(self) -> None:
        """Tell the watcher when it is time, and spend what is left on small pieces of other work."""
        if time.perf_counter() >= self._next_watch:
            cost = self._timed(self._watch)[0]
            # Half of the share is the watcher's: one that takes long, as it paints a picture, is told more seldom.
            self._next_watch = time.perf_counter() + max(self._update_seconds, 2 * cost / self._share)
        if self._spare < BURST_SECONDS:
            return
        while self._spare > 0 and self._words.empty() and not self._stop.is_set():
            if not self._timed(self._aside)[1]:
                self._spare = 0.0  # what is not used now is not saved up

    def _timed(self, work: Callable[[], object]) -> tuple[float, object]:
        start = time.perf_counter()
        result = work()
        cost = time.perf_counter() - start
        self._spare -= cost
        return cost, result


@contextlib.contextmanager
def heeding_signals(driver: Driver, trainer: Trainer) -> Iterator[None]:
    """Within it, JupyterLab's stop button (or Ctrl-C) stops the driver; a second press stops at once.

    It does nothing in another thread than the main one: no signals arrive there.
    """
    # The driver is told, not the trainer alone: a driver that pauses has to wake up.
    told = SimpleNamespace(stop=driver.stop, world=trainer.world)
    with stopping_on_signals(told, say=lambda text: None):
        yield


def drive_here(driver: Driver, trainer: Trainer) -> None:
    """Train in the calling thread until the run is over; the cell that called waits.

    The stop button of JupyterLab (or Ctrl-C) ends the run after the step at hand, without an error; a
    second press stops at once.
    """
    with heeding_signals(driver, trainer):
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
