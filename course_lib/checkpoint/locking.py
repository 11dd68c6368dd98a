"""One hand at a time: the lock of a run directory."""

import contextlib
import itertools
import json
import os
import socket
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from filelock import BaseFileLock, Timeout

from course_lib.checkpoint.explaining import explained
from course_lib.errors import CourseError
from course_lib.locks import has_no_locks, system_lock
from course_lib.paths import quoted, replace_file

_held: "weakref.WeakValueDictionary[str, RunLock]" = weakref.WeakValueDictionary()
"""What this process holds, by the folder's real path. A lock that nobody refers to any more is let go of."""

_one_at_a_time = threading.RLock()
"""Held by the thread that writes, or that takes a lock or lets go of one."""

_turns = itertools.count()
"""Which of two owners in this process is the newer one."""


class RunLock:
    """The right to write into a run directory. One process at a time has it, and in that process one owner.

    The operating system keeps it (`flock`, or its like on Windows) and lets go of it when the process ends,
    however it ends. The file ``lock`` is what is locked; ``holder.json`` says by whom. Within one process a
    newer owner takes over from an older one: in a notebook the trainer of an interrupted cell is often still
    there when the run is resumed.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.run_dir = Path(run_dir)
        self._key = os.path.realpath(self.run_dir)
        self._turn = next(_turns)
        self._taken_over = False
        self._file: BaseFileLock | None = None
        self._inode: tuple[int, int] | None = None
        self._process = os.getpid()  # the one that took it: a forked child has a copy of this object, and not the lock

    @property
    def is_held(self) -> bool:
        """False, too, where the folder was removed and made anew, and in a forked child."""
        mine = _held.get(self._key) is self and self._process == os.getpid()
        return mine and (self._file is None or self._inode == _inode(self.run_dir / "lock"))

    def acquire(self) -> Self:
        """Take the lock; nothing happens where it is held already.

        Raises:
            CourseError: where another process has it (it is named), or a newer owner in this one.
        """
        with _one_at_a_time:
            if not self.is_held:
                older = _held.get(self._key)
                if older is not None and not older.is_held:  # a void one, or a copy that a forked child has
                    older._taken_over = older is not self and older._process == os.getpid()
                    older = None
                if self._taken_over or (older is not None and older._turn > self._turn):
                    raise CourseError(
                        f"{quoted(self.run_dir)} is now written by a newer trainer of this program, and this older one "
                        "has stopped writing. Go on with the newer one, or resume the run once more."
                    )
                self._take(older)
        return self

    def _take(self, older: "RunLock | None") -> None:
        """Have the lock of an older owner in this process, or the system's."""
        self._process = os.getpid()
        if older is None:
            with explained(self.run_dir / "lock", self.run_dir):
                self._file = _lock(self.run_dir)
            self._inode = _inode(self.run_dir / "lock")
            _held[self._key] = self
        else:
            self._inode = older._inode
            _held[self._key] = self
            self._file, older._file, older._taken_over = older._file, None, True

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Within it the owner has the lock, and no other thread takes it over; raises as `acquire` does."""
        with _one_at_a_time:
            self.acquire()
            yield

    def release(self) -> None:
        """Let go of it; nothing happens where it is not held."""
        with _one_at_a_time:
            if _held.get(self._key) is self and self._process == os.getpid():
                del _held[self._key]
                self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is None or not file.is_locked:
            return
        try:
            if self._inode == _inode(self.run_dir / "lock"):
                with contextlib.suppress(OSError):
                    (self.run_dir / "holder.json").unlink(missing_ok=True)
        finally:
            file.release()

    def __del__(self) -> None:
        """A trainer that is dropped in the middle lets go of its run; not its copy in a forked child."""
        if getattr(self, "_file", None) is not None and self._process == os.getpid():
            self._let_go()


@contextlib.contextmanager
def locked(run_dir: str | Path) -> Iterator[None]:
    """Within it this process has the lock of ``run_dir``; one that it has already stays with its owner.

    Raises:
        CourseError: where another process has it.
    """
    with _one_at_a_time:
        owner = _held.get(os.path.realpath(run_dir))
        if owner is not None and owner.is_held:
            yield
            return
        lock = RunLock(run_dir).acquire()
        try:
            yield
        finally:
            lock.release()


def _lock(run_dir: Path) -> BaseFileLock | None:
    """The system's lock of a run directory; None, with a warning, on a file system that has no locks."""
    file = system_lock(run_dir / "lock")
    try:
        file.acquire(timeout=0)
    except Timeout as error:
        raise CourseError(
            f"{quoted(run_dir)} is being trained by {_holder(run_dir)}. Two at once would spoil it: wait until that "
            "one has ended, or stop it (Ctrl-C; a notebook whose loop was interrupted keeps its run until it goes on "
            "or its kernel is restarted). For a second run choose another --out-dir."
        ) from error
    except (NotImplementedError, OSError) as error:
        if not has_no_locks(error):
            raise
        why = f"{quoted(run_dir)}: this file system has no locks. Take care that only one program trains this run."
        warnings.warn(why, stacklevel=2)
        return None
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    try:
        with contextlib.suppress(OSError):  # it only makes a message clearer; an older one names a dead process
            (run_dir / "holder.json").unlink(missing_ok=True)
            replace_file(run_dir / "holder.json", json.dumps(holder) + "\n")
    except BaseException:
        file.release()
        raise
    return file


def _inode(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _holder(run_dir: Path) -> str:
    """Who has the lock, in words. It may have been taken only now: its name then comes a moment later."""
    for _ in range(10):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads((run_dir / "holder.json").read_text(encoding="utf-8"))
            return f"process {told['process']} on {told['host']}, since {told['since']}"
        time.sleep(0.05)
    return "another process"
