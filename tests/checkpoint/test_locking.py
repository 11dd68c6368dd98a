"""The lock of a run directory: one process at a time, one owner in it, and nobody after the holder's end."""

import contextlib
import errno
import fcntl
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from course_lib.checkpoint import RunLock, create_run, locked, locking, save
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.locks import NO_LOCKS
from course_lib.models import GPT

# Other processes are forks that do nothing but take locks; of torch's threads they need none.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]

SHAPE = GPTConfig(block_size=8, vocab_size=11, n_layer=1, n_head=2, n_embd=8)
SETTINGS = RunConfig("test", DataConfig(), SHAPE, TrainConfig())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


class Process:
    """A fork that does ``job`` and lives on, with what it made, until it is told to end."""

    def __init__(self, job: Callable[[], object]) -> None:
        answers, answer = os.pipe()
        told, tell = os.pipe()
        self.tell = tell
        self.pid = os.fork()
        if self.pid == 0:
            os.close(tell)  # so that it ends with this process, too
            try:
                made = job()  # kept: a lock that nobody refers to is let go of
                os.write(answer, str(made).encode())
            except BaseException as error:
                os.write(answer, f"{type(error).__name__}: {error}".encode())
            os.read(told, 1)
            os._exit(0)
        self.answer = os.read(answers, 1 << 16).decode()
        for descriptor in (answers, answer, told):
            os.close(descriptor)

    def end(self, number: int | None = None) -> None:
        """Let it end, or kill it with a signal, and wait until it is gone."""
        if number is not None:
            os.kill(self.pid, number)
        os.write(self.tell, b"1")
        os.waitpid(self.pid, 0)
        os.close(self.tell)


@contextlib.contextmanager
def elsewhere(job: Callable[[], object]) -> Iterator[Process]:
    process = Process(job)
    try:
        yield process
    finally:
        process.end()


def answer_of(job: Callable[[], object]) -> str:
    """What another process makes of ``job``: its result as text, or its error."""
    with elsewhere(job) as process:
        return process.answer


def take(run: Path) -> str:
    """``free``, or what another process is told that asks for the lock."""
    return answer_of(lambda: RunLock(run).acquire() and "free")


# Between processes ----------------------------------------------------------------------------------------


def test_a_process_that_comes_second_is_told_which_one_has_the_lock(run: Path) -> None:
    with elsewhere(RunLock(run).acquire) as holder:
        with pytest.raises(CourseError) as caught:
            RunLock(run).acquire()
        message = str(caught.value)
        assert message.startswith(f"{run} is being trained by process {holder.pid} on {socket.gethostname()}, since 20")
        assert "wait until that one has ended, or stop it (Ctrl-C; a notebook" in message
        assert "choose another --out-dir" in message
    assert RunLock(run).acquire().is_held


def test_the_lock_goes_when_its_holder_is_killed(run: Path) -> None:
    holder = Process(RunLock(run).acquire)
    assert take(run).startswith(f"CourseError: {run} is being trained by process {holder.pid} ")
    holder.end(signal.SIGKILL)
    assert (run / "holder.json").exists()  # it had no time to tidy up, and its name means nothing now
    lock = RunLock(run).acquire()
    assert take(run).startswith(f"CourseError: {run} is being trained by process {os.getpid()} ")
    lock.release()
    assert take(run) == "free"


def test_a_lock_that_is_let_go_of_is_free_and_leaves_no_name(run: Path) -> None:
    lock = RunLock(run).acquire()
    assert lock.is_held
    assert take(run) != "free"
    lock.release()
    lock.release()  # once more does nothing
    assert not lock.is_held
    assert not (run / "holder.json").exists()
    assert take(run) == "free"
    assert lock.acquire().is_held  # it can be taken again


def test_a_lock_that_nobody_refers_to_is_free_and_leaves_no_name(run: Path) -> None:
    lock = RunLock(run).acquire()
    del lock
    gc.collect()
    assert not (run / "holder.json").exists()
    assert take(run) == "free"


def test_a_lock_is_that_of_the_folder_whatever_its_name(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.parent / "link").symlink_to(run)
    monkeypatch.chdir(run.parent)
    lock = RunLock("run").acquire()
    assert "is being trained by" in take(run.parent / "link")
    newer = RunLock(run.parent / "link").acquire()  # in this process too
    assert (lock.is_held, newer.is_held) == (False, True)
    newer.release()
    assert take(run) == "free"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"null", b'{"process": 1}', b"\xff"], ids=repr)
def test_a_holder_whose_name_cannot_be_read_is_another_process(run: Path, content: bytes | None) -> None:
    with elsewhere(RunLock(run).acquire):
        (run / "holder.json").unlink()
        if content is not None:
            (run / "holder.json").write_bytes(content)
        with pytest.raises(CourseError, match=r"run is being trained by another process\. Two at once"):
            RunLock(run).acquire()


def test_a_name_that_comes_a_moment_later_is_waited_for(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere(RunLock(run).acquire) as holder:
        (run / "holder.json").rename(run / "later")
        monkeypatch.setattr(locking.time, "sleep", lambda _: (run / "later").rename(run / "holder.json"))
        with pytest.raises(CourseError, match=f"by process {holder.pid} on"):
            RunLock(run).acquire()


def test_a_name_that_cannot_be_written_does_not_matter(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locking, "replace_file", full)
    lock = RunLock(run).acquire()
    assert lock.is_held
    assert "another process" in take(run)


def test_an_interruption_while_the_name_is_written_lets_the_lock_go(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(locking, "replace_file", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            RunLock(run).acquire()
    assert take(run) == "free"
    del caught  # until here its frames keep the lock object: it was let go of on purpose


# Within one process ---------------------------------------------------------------------------------------


def test_a_newer_owner_takes_over_and_the_older_one_cannot_take_it_back(run: Path) -> None:
    older = RunLock(run).acquire()
    newer = RunLock(run).acquire()
    assert (older.is_held, newer.is_held) == (False, True)
    for _ in range(2):
        with pytest.raises(CourseError, match=r"written by a newer trainer of this program.*resume the run once more"):
            older.acquire()
        older.release()  # is not its to give
        assert newer.is_held
        assert "is being trained by" in take(run)
        newer.release()  # and it stays so when the newer one has ended
        assert take(run) == "free"
        newer.acquire()


def test_an_older_owner_that_has_ended_does_not_take_over_from_a_newer_one(run: Path) -> None:
    older = RunLock(run).acquire()
    older.release()
    newer = RunLock(run).acquire()
    with pytest.raises(CourseError, match="written by a newer trainer of this program"):
        older.acquire()
    assert newer.is_held
    newer.release()
    assert older.acquire().is_held  # nobody else has it now


def test_a_lock_can_be_let_go_of_in_another_thread(run: Path) -> None:
    """The laboratory trains in a thread of its own."""
    lock = RunLock(run).acquire()
    seen = []
    thread = threading.Thread(target=lambda: (seen.append(lock.is_held), lock.release()))
    thread.start()
    thread.join()
    assert seen == [True]
    assert take(run) == "free"


def test_a_folder_that_was_removed_and_made_anew_is_locked_anew(run: Path) -> None:
    """A notebook removes an old run and starts it again, while the old trainer is still there."""
    older = RunLock(run).acquire()
    for file in run.iterdir():
        file.unlink()
    run.rmdir()
    run.mkdir()
    newer = RunLock(run).acquire()
    assert take(run).startswith(f"CourseError: {run} is being trained by process {os.getpid()} ")
    assert (older.is_held, newer.is_held) == (False, True)


def test_within_locked_the_run_is_locked_and_afterwards_free(run: Path) -> None:
    with locked(run):
        assert "is being trained by" in take(run)
    assert take(run) == "free"
    with pytest.raises(ZeroDivisionError), locked(run):
        _ = 1 / 0
    assert take(run) == "free"
    lock = RunLock(run).acquire()
    with locked(run):  # what this process has stays with its owner
        assert lock.is_held
    assert lock.is_held
    with elsewhere(lambda: None):
        assert "is being trained by" in take(run)


# Forks ----------------------------------------------------------------------------------------------------


def test_a_forked_child_does_not_believe_that_it_has_its_parents_lock(run: Path) -> None:
    lock = RunLock(run).acquire()
    name = f"CourseError: {run} is being trained by process {os.getpid()} "
    assert answer_of(lambda: lock.is_held) == "False"
    assert answer_of(lock.acquire).startswith(name)
    assert answer_of(RunLock(run).acquire).startswith(name)
    assert answer_of(lambda: save(run, 1, GPT(SHAPE))).startswith(name)
    assert list((run / "saves").iterdir()) == []


def test_a_forked_child_cannot_let_its_parents_lock_go(run: Path) -> None:
    lock = RunLock(run).acquire()
    own = [lock]

    def drop() -> None:
        nonlocal lock
        lock.release()
        del lock
        own.clear()
        gc.collect()

    assert answer_of(drop) == "None"
    assert own[0].is_held
    assert (run / "holder.json").exists()
    assert "is being trained by" in take(run)


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(run: Path) -> None:
    """Such as a loader of batches, when the trainer is killed."""
    born, birth = os.pipe()
    ends, end = os.pipe()

    def train() -> RunLock:
        lock = RunLock(run).acquire()
        if os.fork() == 0:
            os.close(end)
            os.write(birth, b"1")
            os.read(ends, 1)
            os._exit(0)
        return lock

    parent = Process(train)
    os.read(born, 1)
    parent.end(signal.SIGKILL)
    try:
        assert take(run) == "free"
    finally:
        for descriptor in (born, birth, ends, end):  # the child reads the end, and ends
            os.close(descriptor)


def test_a_lock_that_was_made_before_the_fork_is_the_childs_when_it_takes_it(run: Path) -> None:
    lock = RunLock(run)
    taken = lambda: (lock.acquire().is_held, lock.acquire().is_held, "is being trained by" in take(run))  # noqa: E731
    assert answer_of(taken) == "(True, True, True)"
    assert lock.acquire().is_held


# Folders where it cannot be had ----------------------------------------------------------------------------


@pytest.fixture
def flock_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def fails(number: int) -> None:
        def flock(descriptor: int, operation: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    return fails


@pytest.mark.parametrize("number", sorted(NO_LOCKS), ids=errno.errorcode.get)
def test_a_file_system_without_locks_warns_and_goes_on(run: Path, flock_fails, number: int) -> None:
    flock_fails(number)
    with pytest.warns(UserWarning, match="this file system has no locks. Take care that only one program trains"):
        lock = RunLock(run).acquire()
    assert lock.is_held
    newer = RunLock(run).acquire()  # within the process it holds as ever
    with pytest.raises(CourseError, match="a newer trainer"):
        lock.acquire()
    newer.release()
    assert not newer.is_held
    with pytest.warns(UserWarning, match="no locks"), locked(run):
        pass


def test_a_killed_process_on_a_file_system_without_locks_bars_nobody(run: Path, flock_fails) -> None:
    """A file that is merely there, in place of a lock, would stay."""
    flock_fails(errno.ENOSYS)
    holder = Process(RunLock(run).acquire)
    assert holder.answer.startswith("UserWarning"), holder.answer
    holder.end(signal.SIGKILL)
    with pytest.warns(UserWarning, match="no locks"):
        assert RunLock(run).acquire().is_held


def test_another_error_of_the_lock_names_the_usual_remedy(run: Path, flock_fails) -> None:
    flock_fails(errno.EIO)
    with pytest.raises(CourseError, match=r"Cannot write .*run/lock: Input/output error.*permissions.*start the run"):
        RunLock(run).acquire()


def test_a_folder_that_refuses_the_lock_names_the_usual_remedy(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.open

    def refuse(path, flags, *more, **options):
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied")
        return usual(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CourseError, match=r"Cannot write .*run/lock: Permission denied.*permissions.*start the run"):
        RunLock(run).acquire()
    assert list(run.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_names_the_usual_remedy(run: Path) -> None:
    run.chmod(0o555)
    try:
        with pytest.raises(CourseError, match=r"Cannot write .*run/lock: Permission denied.*--resume RUN"):
            RunLock(run).acquire()
    finally:
        run.chmod(0o755)


# What is written under it ----------------------------------------------------------------------------------


def test_a_run_that_is_made_can_be_kept_locked_from_its_first_file_on(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "run")
    create_run(tmp_path / "run", SETTINGS, None, lock)
    assert lock.is_held
    assert "is being trained by" in take(tmp_path / "run")
    create_run(tmp_path / "other", SETTINGS, None)
    assert take(tmp_path / "other") == "free"


def test_a_run_that_is_refused_is_not_kept_locked(run: Path) -> None:
    create_run(run, SETTINGS, None)
    lock = RunLock(run)
    with pytest.raises(CourseError, match="already holds a run"):
        create_run(run, SETTINGS, None, lock)
    assert not lock.is_held
    assert take(run) == "free"


def test_a_new_run_in_a_folder_that_is_being_trained_is_told_by_whom(run: Path) -> None:
    """That the folder holds a run would be true, and no help: it must not be resumed now."""
    create_run(run, SETTINGS, None)
    with elsewhere(RunLock(run).acquire) as holder:
        name = f"is being trained by process {holder.pid} on"
        with pytest.raises(CourseError, match=name):
            create_run(run, SETTINGS, None)
    with pytest.raises(CourseError, match=r"already holds a run\. It has no save"):
        create_run(run, SETTINGS, None)


def test_a_save_beside_another_process_is_refused_and_changes_nothing(run: Path) -> None:
    create_run(run, SETTINGS, None)
    save(run, 1, GPT(SHAPE), best=True)
    with elsewhere(RunLock(run).acquire) as holder:
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        with pytest.raises(CourseError, match=f"is being trained by process {holder.pid} on"):
            save(run, 2, GPT(SHAPE), best=True)
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert save(run, 2, GPT(SHAPE)).name == "2"
