"""Work that several processes share: its results come in order, and only little of it waits in memory."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from course_lib.errors import CourseError

Item = TypeVar("Item")
Result = TypeVar("Result")

_work: Callable[[Any], Any]  # of a process that was started here


def in_turn(work: Callable[[Item], Result], items: Iterable[Item], processes: int = 1) -> Iterator[Result]:
    """``work(item)`` for each item, in their order; with one process it is done in this one.

    Args:
        work: can be pickled, which is done once for each process.
        items: read as they are needed, so that all together need not fit into memory.

    Raises:
        CourseError: for fewer than one process, and where the system ends one of them.
    """
    if processes < 1:
        raise CourseError(f"At least one process has to do the work; processes is {processes}.")
    if processes == 1:
        yield from map(work, items)
        return
    # Not forked: a copy of a process in which torch has threads may hang.
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (work,)) as pool:
        items = iter(items)
        # `Executor.map` would read all items before it gives the first result.
        waiting = deque(pool.submit(_do, item) for item in islice(items, 2 * processes))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(_do, item) for item in islice(items, 1))
        except BrokenProcessPool as error:
            raise CourseError(
                "One of the processes that share the work was ended, for want of memory or by hand. Try with "
                "processes = 1. A script that asks for several has to do so under: if __name__ == '__main__'"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    threading.Thread(target=_end_with_the_first, daemon=True).start()


def _end_with_the_first() -> None:
    """Where the first process is killed, nobody tells the others that there is no more work."""
    first = parent_process()
    assert first is not None
    first.join()
    os._exit(1)


def _do(item: Any) -> Any:
    return _work(item)
