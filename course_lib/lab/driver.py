"""Drives a trainer from its first step to its last, or to a stop, and tells others how it goes."""

import time
from collections.abc import Callable

from course_lib.training import StepRecord, Trainer, stopping_on_signals

Watcher = Callable[[], None]

UPDATE_SECONDS = 0.25
"""How often watchers are told: often enough to look alive, seldom enough to cost nothing."""


def drive_here(
    trainer: Trainer, records: list[StepRecord], watch: Watcher, update_seconds: float = UPDATE_SECONDS
) -> None:
    """Train in the calling thread until the run is over; the cell that called waits.

    The stop button of JupyterLab (or Ctrl-C) ends the run after the step at hand, without an error; a
    second press stops at once.

    Args:
        records: gets the record of each step; what is in it stays, whatever happens.
        watch: called a few times a second, and when the run is over, however it ends.
    """
    last = -update_seconds
    with stopping_on_signals(trainer, say=lambda text: None):
        try:
            for record in trainer:
                records.append(record)
                if time.monotonic() - last >= update_seconds:
                    watch()
                    last = time.monotonic()
        finally:
            watch()
