"""Ctrl-C, and what a cluster sends before it takes a machine away."""

import contextlib
import functools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from course_lib.device import World

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, what a cluster sends, and what a terminal sends that is being closed (not on Windows)."""


class Stoppable(Protocol):
    """What can be asked to stop: a trainer, or whoever drives one."""

    world: World

    def stop(self) -> None: ...


@contextlib.contextmanager
def stopping_on_signals(trainer: Stoppable, say: Callable[[str], object] = print) -> Iterator[list[int]]:
    """Within it, Ctrl-C (or another of `STOPPING`) saves and stops; a second Ctrl-C stops at once.

    It yields a list that gets the number of each signal that came. A SIGHUP that is ignored (``nohup``) stays so.

    torchrun passes a Ctrl-C on to processes that the terminal has told already, so with several of
    them a second one counts only after three seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []  # signals come to the main thread only
        return
    first: list[float] = []
    came: list[int] = []

    def handle(number: int, frame: object) -> None:
        patience = 3.0 if trainer.world.size > 1 else 0.0
        if first and number == signal.SIGINT and time.monotonic() - first[0] >= patience:
            raise KeyboardInterrupt
        trainer.stop()
        came.append(number)
        if not first:
            first.append(time.monotonic())
            with contextlib.suppress(OSError, RuntimeError):  # a closed terminal, or one that is just being written to
                again = " Press Ctrl-C again to stop at once." if number == signal.SIGINT else ""
                say(f"Stopping: the state is being saved.{again}")

    handle.leaves_word = True  # type: ignore[attr-defined]  # what `holding_signals` need not hold
    always = (signal.SIGINT, signal.SIGTERM)
    heard = [number for number in STOPPING if number in always or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def holding_signals(at_most: float = math.inf) -> Iterator[None]:
    """Within it a Ctrl-C (or another of `STOPPING`) interrupts nothing: it is answered when it ends.

    It is for work that has to happen as a whole or not at all. The update of the weights together with the count of
    the step is such work. A forward and a backward pass is, too: it could be taken again, but Python's ``with`` does
    not close what it opened when the interruption comes inside the opening or the closing itself, and then autocast,
    say, would stay on for whatever follows.

    It does nothing in another thread than the main one: signals never come there.

    Args:
        at_most: how many of one kind are held, for work that may take long or hang; one more, and all are answered at
            once. The first one within `stopping_on_signals` only leaves word, and is always heard at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.ExitStack() as stack:
        for number in STOPPING:
            stack.enter_context(_holding(number, at_most))
        yield


@contextlib.contextmanager
def _holding(number: int, at_most: float) -> Iterator[None]:
    handler = signal.getsignal(number)
    if not callable(handler):  # nothing of Python's is called: the signal is ignored, or ends the process
        yield
        return
    came: list[Callable[[], object]] = []

    def answer() -> None:
        while came:
            came.pop(0)()

    def hold(*signalled: Any) -> None:
        if getattr(handler, "leaves_word", False):
            try:
                handler(*signalled)
            except KeyboardInterrupt:
                came.append(_interrupt)
        else:
            came.append(functools.partial(handler, *signalled))
        if len(came) > at_most:
            answer()

    try:
        signal.signal(number, hold)
        yield
    finally:
        at_most = math.inf  # setting a handler answers with the old one first
        signal.signal(number, handler)  # one that comes right after this is answered at once
        answer()


def _interrupt() -> None:
    raise KeyboardInterrupt
