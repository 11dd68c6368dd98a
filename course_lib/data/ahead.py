"""Reading in advance: while one batch is worked on, a thread reads the next."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class ReadAhead(Generic[Result]):
    """Hands out what was asked for, and begins with what will probably be asked for next.

    A wrong guess costs a reading and nothing else. What goes wrong in the thread is raised to whoever asks for that
    very thing; asked again, it is read again. The thread ends with this object; a process that was forked begins with
    a thread of its own.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")  # its thread comes with the first work
        self._next: tuple[Any, Future[Result]] | None = None

    def take(self, read: Callable[..., Result], wanted: tuple[Any, ...], following: tuple[Any, ...] | None) -> Result:
        """``read(*wanted)``, in advance where that was guessed; ``following`` comes next, None is nothing.

        An interruption while the thread still reads loses nothing: it is there when it is asked for again.
        """
        if self._process != os.getpid():  # threads do not come along in a fork: what they were to do is never done
            self._begin()
        if self._next is not None and self._next[0] == wanted:
            try:
                found = self._next[1].result()
            except Exception:
                self._next = None
                raise
        else:
            found = read(*wanted)
        self._next = None if following is None else (following, self._reader.submit(read, *following))
        return found
