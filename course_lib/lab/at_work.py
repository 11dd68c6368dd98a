"""Who trains in the background of this notebook: one at a time, as torch's random numbers are one row for all."""

import threading
import weakref
from typing import Protocol


class Worker(Protocol):
    """Something with a thread of its own that trains: a lab, or a sweep."""

    @property
    def thread(self) -> threading.Thread | None: ...

    def stop(self) -> None: ...


_workers: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def register(worker: Worker) -> None:
    """From now on `stop_all` stops ``worker`` too; one that nobody holds any more is forgotten."""
    _workers.add(worker)


def stop_all() -> list[threading.Thread]:
    """Ask all that train in the background to stop; returns their threads, to wait for. It returns at once."""
    threads = []
    for worker in list(_workers):
        thread = worker.thread
        if thread is not None and thread.is_alive():
            worker.stop()
            threads.append(thread)
    return threads
