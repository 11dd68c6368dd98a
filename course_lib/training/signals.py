"""Ctrl-C, and what a cluster sends before it takes a machine away."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

from course_lib.training.trainer import Trainer


@contextlib.contextmanager
def stopping_on_signals(trainer: Trainer, say: Callable[[str], object] = print) -> Iterator[None]:
    """Within it, Ctrl-C (or SIGTERM) saves and stops; a second Ctrl-C stops at once.

    torchrun passes a Ctrl-C on to processes that the terminal has told already, so with several of
    them a second one counts only after three seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread only
        return
    first: list[float] = []

    def handle(number: int, frame: object) -> None:
        patience = 3.0 if trainer.world.size > 1 else 0.0
        if first and number == signal.SIGINT and time.monotonic() - first[0] >= patience:
            raise KeyboardInterrupt
        if not first:
            first.append(time.monotonic())
            say("Stopping: the state is being saved. Press Ctrl-C again to stop at once.")
        trainer.stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
