"""A file that is whole at every instant (06-7): the judge looks at the disk after each thing that the attempt does."""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import need_number

OLD, NEW = b"the old content", b"the new content, a good deal longer " * 3000
SHOWN = "atomic_write(path, data)"
SYNCS, MOVES = ("fsync", "fdatasync"), ("replace", "rename")


class _Watch:
    """What an attempt does to a file, seen from outside.

    A process that is killed leaves on the disk what is there at that instant. So instead of killing, the target is
    looked at before and after every call of a C function (which all of Python's file operations are).

    Args:
        failing: the kind of call, SYNCS or MOVES, that fails as on a full disk.
    """

    def __init__(self, target: Path, failing: tuple[str, ...] = ()) -> None:
        self.target, self.failing = target, failing
        self.before = self._content()
        self.torn: tuple[str, bytes | None] | None = None
        self.synced: dict[int, int] = {}  # a file's number on the disk -> its size when it was synced
        self.moves: list[tuple[Path, int | None]] = []  # what took the target's name, and its size when it was synced
        self.seen_syncs = self.known_syncs = 0

    def _content(self) -> bytes | None:
        try:
            return self.target.read_bytes()
        except FileNotFoundError:
            return None

    def _look(self, frame: Any, event: str, function: Any) -> None:
        if not event.startswith("c_"):
            return
        name = getattr(function, "__name__", "?")
        if event == "c_call" and name in SYNCS:
            self.seen_syncs += 1
        content = self._content()
        if self.torn is None and content not in (self.before, NEW):
            self.torn = (name, content)

    def _fails(self, kind: tuple[str, ...]) -> None:
        if kind == self.failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _sync(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        def sync(file: Any) -> None:
            status = os.fstat(file if isinstance(file, int) else file.fileno())
            self.synced[status.st_ino] = status.st_size
            self.known_syncs += 1
            self._fails(SYNCS)
            original(file)

        return sync

    def _move(self, original: Callable[..., None]) -> Callable[..., None]:
        def move(source: Any, target: Any, **more: Any) -> None:
            if Path(target) == self.target:
                self.moves.append((Path(source), self.synced.get(os.stat(source).st_ino)))
            self._fails(MOVES)
            original(source, target, **more)

        return move

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        wraps = dict.fromkeys(SYNCS, self._sync) | dict.fromkeys(MOVES, self._move)
        with contextlib.ExitStack() as stack:
            for name, wrap in wraps.items():
                if hasattr(os, name):
                    stack.enter_context(mock.patch.object(os, name, wrap(getattr(os, name))))
            stack.callback(sys.setprofile, sys.getprofile())
            sys.setprofile(self._look)
            yield


def _judge_atomic(attempt: Any) -> str:
    atomic_write = need_function(attempt, SHOWN)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try:
            for there in (True, False):
                _whole_at_every_instant(atomic_write, folder, there)
            for kind, words in ((SYNCS, "os.fsync"), (MOVES, "os.replace")):
                _cleans_up(atomic_write, folder, kind, words)
        except Wrong as what:
            raise Wrong(str(what).replace(str(folder) + os.sep, "")) from what
    return (
        "Whoever looks finds the old content or the new, and a kill at any instant leaves one of them. Who wants to be "
        "sure that the new name survives a power cut as well syncs the folder, too."
    )


def _write(atomic_write: Callable[..., Any], target: Path, failing: tuple[str, ...] = ()) -> tuple[_Watch, Any]:
    watch = _Watch(target, failing)
    with watch.looking():
        returned = call(atomic_write, target, NEW, shown=SHOWN)
    return watch, returned


def _fresh(folder: Path, there: bool) -> Path:
    for path in folder.iterdir():
        path.unlink()
    target = folder / "state.bin"
    if there:
        target.write_bytes(OLD)
    return target


def _whole_at_every_instant(atomic_write: Callable[..., Any], folder: Path, there: bool) -> None:
    target = _fresh(folder, there)
    watch, returned = _write(atomic_write, target)
    _is_never_torn(watch)
    if watch._content() != NEW:
        raise Wrong(f"After {SHOWN} the file should hold data, {len(NEW):,} bytes; it does not.")
    if not watch.moves:
        raise Wrong("Nothing was renamed to path. Write to another name, then os.replace(scratch, path).")
    scratch, synced = watch.moves[-1]
    if scratch.parent != target.parent:
        raise Wrong(
            "The scratch file lies in another folder than path. That may be another disk, and a file cannot be renamed "
            "from one disk to another. Put it beside path."
        )
    if watch.seen_syncs <= watch.known_syncs:  # else it was called under a name of its own, and not measured
        if synced is None:
            raise Wrong(
                "The scratch file was not synced before it took its name: after a power cut the name may be there and "
                "the content not. os.fsync(file.fileno()), before os.replace."
            )
        if synced < len(NEW):
            raise Wrong(
                f"When os.fsync was called, {synced:,} of {len(NEW):,} bytes had reached the operating system; the "
                "rest was in Python's buffer. file.flush() comes first."
            )
    if left := sorted(path.name for path in folder.iterdir() if path != target):
        raise Wrong(f"Beside the file something is left: {left[0]}.")
    if need_number(returned, f"What {SHOWN} returned") != len(NEW):
        raise Wrong(f"{SHOWN} should return how many bytes were written, {len(NEW):,}; it returned another number.")
    scratch.write_bytes(b"left by a program that was killed" * 9999)  # longer than the data
    _write(atomic_write, target)
    if watch._content() != NEW:
        raise Wrong("A scratch file that a killed program had left was not overwritten: its end is in the new file.")


def _is_never_torn(watch: _Watch) -> None:
    if watch.torn is None:
        return
    where, content = watch.torn
    if content is None:
        raise Wrong(
            f"At the call of {where} there was no file at path: the old one was gone before the new one had its name. "
            "A kill at that instant leaves none. os.replace needs nothing removed before it."
        )
    raise Wrong(
        f"At the call of {where} the file held {len(content):,} of {len(NEW):,} bytes. A kill at that instant leaves "
        "just that. Write to another name first; path itself is touched by os.replace alone."
    )


def _cleans_up(atomic_write: Callable[..., Any], folder: Path, kind: tuple[str, ...], name: str) -> None:
    """Where a call fails: the error goes out, the old content stays, nothing lies about."""
    target = _fresh(folder, there=True)
    watch, raised = _Watch(target, kind), False
    with watch.looking():
        try:
            atomic_write(target, NEW)
        except OSError:
            raised = True
    if not (watch.known_syncs if kind == SYNCS else watch.moves):
        return  # called under a name of its own: nothing has failed
    where = f"{name} failed (a full disk)"
    if watch._content() != OLD:
        raise Wrong(f"{where}, and the old content is gone. It should stay until the new file is whole.")
    if left := sorted(path.name for path in folder.iterdir() if path != target):
        raise Wrong(
            f"{where}, and a scratch file was left behind: {left[0]}. try: ... except: remove it, and raise again."
        )
    if not raised:
        raise Wrong(f"{where}, and whoever called {SHOWN} was not told. After cleaning up, raise again.")


ATOMIC = Exercise(
    id="06-7",
    title="All or nothing",
    difficulty="hard",
    minutes=20,
    attempt="atomic_write",
    expects="your function atomic_write(path, data) itself, without calling it",
    hints=(
        'A name beside path: `path.with_name(f".{path.name}.new")`. Open it with `"wb"`, write, and look at what '
        "`write` in this chapter does before it renames.",
        "`file.flush()`, `os.fsync(file.fileno())`, close, then `os.replace(scratch, path)`.",
        "Around all of it: `try: ... except BaseException:` remove the scratch file, "
        "`scratch.unlink(missing_ok=True)`, and `raise`. At the end: `return len(data)`.",
    ),
    judge=_judge_atomic,
)
