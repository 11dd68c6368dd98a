"""Who trains in the background of this notebook: one at a time, as torch's random numbers are one row for all."""

import threading
import weakref
from collections.abc import Iterable
from typing import Any, Protocol

BY_LAB = "Another lab of this notebook began a run: two at once would draw from one row of random numbers"
BY_SWEEP = "A sweep of this notebook began: two at once would draw from one row of random numbers"
"""What is told of a run that was stopped for another one."""


class Worker(Protocol):
    """Something with a thread of its own that trains: a lab, or a sweep."""

    @property
    def thread(self) -> threading.Thread | None: ...

    def stop(self, why: str = "") -> None: ...


_workers: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def register(worker: Worker) -> None:
    """From now on `stop_all` stops ``worker`` too; one that nobody holds any more is forgotten."""
    _workers.add(worker)


def workers(kind: type) -> list[Any]:
    """All of one kind that are registered, and still held by somebody."""
    return [worker for worker in list(_workers) if isinstance(worker, kind)]


def stop_all(why: str = "", those: Iterable[Worker] | None = None) -> list[threading.Thread]:
    """Ask all that train in the background to stop; returns their threads, to wait for. It returns at once.

    Args:
        why: what they tell of it.
        those: these alone.
    """
    threads = []
    for worker in list(_workers if those is None else those):
        thread = worker.thread
        if thread is not None and thread.is_alive():
            worker.stop(why)
            threads.append(thread)
    return threads
