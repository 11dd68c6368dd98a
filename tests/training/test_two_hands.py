"""Runs that two hands touch: two trainers of one folder, a reader beside a writer, a run that goes back.

The other hands are real processes that do what a test tells them, one thing at a time. They come from a fork server
that has torch loaded, so that each starts in no time.
"""

import errno
import hashlib
import multiprocessing
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.checkpoint import writing
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.training import Trainer, next_token_loss

V, T = 11, 8
SHAPE = GPTConfig(block_size=T, vocab_size=V, n_layer=1, n_head=1, n_embd=8, dropout=0.1)
TRAIN = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
VAL = torch.randint(0, V, (2 * T + 1,), generator=torch.Generator().manual_seed(2))
LONG = TrainConfig(
    max_steps=60, batch_size=2, max_lr=3e-3, schedule="constant", eval_every=0, save_every=5, device="cpu",
    precision="fp32",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread")


class Scripted:
    """The usual loss in training; in an evaluation after n steps it is ``val(n)``."""

    def __init__(self, val: Callable[[int], float]) -> None:
        self.val = val
        self.trainer: Trainer | None = None

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        usual = next_token_loss(model, x, y)
        return usual if model.training else torch.full_like(usual, self.val(self.trainer.step))


def begin(run: Path, config: TrainConfig = LONG, val: Callable[[int], float] | None = None) -> Trainer:
    torch.manual_seed(7)
    loss = None if val is None else Scripted(val)
    batches = Batcher(TRAIN, config.batch_size, T, config.seed)
    trainer = Trainer(GPT(SHAPE), batches, config, loss, val and Batcher(VAL, 2, T), None, run)
    if loss is not None:
        loss.trainer = trainer
    return trainer


def resume(run: Path, which: str | int = "last", val: Callable[[int], float] | None = None, **changes: Any) -> Trainer:
    loss = None if val is None else Scripted(val)
    batches = Batcher(TRAIN, LONG.batch_size, T, LONG.seed)
    trainer = Trainer.resume(run, batches, val and Batcher(VAL, 2, T), loss, which, **changes)
    if loss is not None:
        loss.trainer = trainer
    return trainer


def steps(run: Path) -> list[int]:
    return [row["step"] for row in checkpoint.read_metrics(run)]


def rows(run: Path) -> list[dict]:
    """What the log says, without what no two runs share."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in checkpoint.read_metrics(run)]


def files(run: Path) -> dict[str, bytes]:
    """All that is in a run's folder, but for the lock."""
    names = {path: str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for path, name in names.items() if name not in ("lock", "holder.json")}


# Processes that do what they are told ----------------------------------------------------------------------


def work(orders: Any, run: Path) -> None:
    """Runs in a process of its own: does one thing after another with one trainer, and tells what came of it."""
    torch.set_num_threads(1)
    trainer: Trainer | None = None
    while True:
        what, *more = orders.recv()
        try:
            if what == "begin":
                trainer = begin(*more)
            elif what == "resume":
                trainer = resume(run, **more[0])
            elif what == "train":
                for _ in range(more[0]):
                    next(trainer)
            elif what == "finish":
                list(trainer)
            elif what == "stop":
                trainer.stop()
                list(trainer)
            elif what == "save":
                trainer.save()
            elif what == "train and save at every step, until the file is there":
                train_until(*more)
            orders.send("done")
        except CourseError as error:
            orders.send(f"CourseError: {error}")


class Hand:
    """Another process that trains ``run``."""

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "course_lib.training", "course_lib.models", "course_lib.data"])

    def __init__(self, run: Path) -> None:
        self.orders, theirs = self.context.Pipe()
        self.process = self.context.Process(target=work, args=(theirs, run), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, *what: Any) -> None:
        self.orders.send(what)

    def answer(self) -> str:
        return self.orders.recv()

    def do(self, *what: Any) -> str:
        self.ask(*what)
        return self.answer()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def is_named_in(self, answer: str) -> bool:
        name = f" is being trained by process {self.process.pid} on {socket.gethostname()}, since "
        return answer.startswith("CourseError: ") and name in answer


@pytest.fixture
def run(project: Path) -> Path:
    return project / "run"


@pytest.fixture
def hand(run: Path) -> Iterator[Callable[[], Hand]]:
    """Makes hands, and ends them with the test."""
    hands: list[Hand] = []

    def make() -> Hand:
        hands.append(Hand(run))
        return hands[-1]

    yield make
    for each in hands:
        if each.process.is_alive():
            each.kill()
        each.orders.close()


# Two trainers of one folder --------------------------------------------------------------------------------


@pytest.mark.slow
def test_of_two_that_begin_one_run_at_once_one_goes_on_and_the_other_is_told_by_whom(project: Path, hand) -> None:
    one, other = hand(), hand()
    one.do("begin", project / "warm", LONG)  # torch's first steps take longer
    other.do("begin", project / "warm too", LONG)
    for turn in range(8):
        run = project / f"run{turn}"
        for each in (one, other):
            each.ask("begin", run, LONG)
        answers = {each: each.answer() for each in (one, other)}
        assert sorted(answers.values())[1] == "done", answers
        winner, loser = (one, other) if answers[one] == "done" else (other, one)
        assert winner.is_named_in(answers[loser]), answers
        assert "choose another --out-dir" in answers[loser]
        winner.ask("finish")
        refused = loser.do("begin", run, LONG)
        assert winner.answer() == "done"
        assert winner.is_named_in(refused) or "already holds a run" in refused  # it may have finished meanwhile
        assert steps(run) == list(range(60))
        assert checkpoint.load(run).state["step"] == 60


@pytest.mark.slow
def test_a_run_that_is_being_trained_is_not_resumed_by_another_process(run: Path, hand) -> None:
    trainer, other = hand(), hand()
    assert trainer.do("begin", run, LONG) == "done"
    for _ in range(3):
        assert trainer.do("train", 7) == "done"
        before = files(run)
        refused = other.do("resume", {})
        assert trainer.is_named_in(refused), refused
        assert files(run) == before
    assert trainer.do("finish") == "done"
    assert steps(run) == list(range(60))
    assert checkpoint.load(run).state["step"] == 60


@pytest.mark.slow
def test_two_that_train_one_run_at_once_do_not_spoil_it(run: Path, hand) -> None:
    """Neither asks first whether the other is there."""
    trainer, other = hand(), hand()
    assert trainer.do("begin", run, LONG) == "done"
    for _ in range(4):
        assert trainer.do("train", 12) == "done"
        if other.do("resume", {}) == "done":
            other.do("train", 6)
    assert trainer.do("finish") == "done"
    assert steps(run) == list(range(60))
    assert checkpoint.load(run).state["step"] == 60


@pytest.mark.slow
def test_a_trainer_that_is_killed_can_be_resumed_at_once(run: Path, hand) -> None:
    trainer, other = hand(), hand()
    assert trainer.do("begin", run, LONG) == "done"
    assert trainer.do("train", 23) == "done"
    assert trainer.is_named_in(other.do("resume", {}))
    trainer.kill()
    assert other.do("resume", {}) == "done"
    assert other.do("finish") == "done"
    assert steps(run) == list(range(60))
    assert checkpoint.load(run).state["step"] == 60


@pytest.mark.slow
@pytest.mark.parametrize("end", ["finish", "stop"])
def test_a_trainer_that_has_ended_lets_the_run_go_and_writes_no_more_when_another_went_on(
    run: Path, hand, end: str
) -> None:
    first, second, third = hand(), hand(), hand()
    assert first.do("begin", run, LONG) == "done"
    assert first.do("train", 12) == "done"
    assert first.do(end) == "done"
    assert steps(run) == list(range(60 if end == "finish" else 12))
    assert second.do("resume", dict(max_steps=80)) == "done"  # the first process is still there
    assert second.do("train", 3) == "done"
    assert second.is_named_in(first.do("save"))
    assert second.do("finish") == "done"
    before = files(run)
    refused = first.do("save")
    assert "was trained by another program meanwhile" in refused, refused
    assert "Resume the run" in refused
    assert files(run) == before
    assert third.do("resume", dict(max_steps=90)) == "done"  # to be refused is not to have the lock
    assert third.do("finish") == "done"
    assert steps(run) == list(range(90))


@pytest.mark.slow
def test_a_trainer_that_has_ended_notices_another_history_of_the_same_length(run: Path, hand) -> None:
    first, second = hand(), hand()
    assert first.do("begin", run, LONG.replace(max_steps=10)) == "done"
    assert first.do("train", 5) == "done"
    shutil.copytree(run / "saves" / "5", run.parent / "5")
    assert first.do("finish") == "done"
    shutil.copytree(run.parent / "5", run / "saves" / "5")
    assert second.do("resume", dict(which=5, max_lr=1e-3)) == "done"
    assert second.do("finish") == "done"
    assert (run / "last").read_text() == "10\n"  # as the first one left it
    before = files(run)
    assert "was trained by another program meanwhile" in first.do("save")
    assert files(run) == before


def test_in_one_process_a_newer_trainer_takes_over_and_the_older_one_writes_no_more(run: Path) -> None:
    older = begin(run)
    for _ in range(7):
        next(older)
    newer = resume(run)
    assert next(newer).step == 5
    before = files(run)
    for attempt in (lambda: next(older), older.save, lambda: list(older)):
        with pytest.raises(CourseError, match=r"now written by a newer trainer of this program.*Go on with the newer"):
            attempt()
        assert files(run) == before
    assert [record.step for record in newer] == list(range(6, 60))
    with pytest.raises(CourseError, match="a newer trainer"):
        older.save()
    assert steps(run) == list(range(60))
    assert checkpoint.load(run).state["step"] == 60


def test_a_trainer_that_has_ended_leaves_a_newer_one_alone(run: Path) -> None:
    older = begin(run, LONG.replace(max_steps=5))
    list(older)
    newer = resume(run, max_steps=8)
    next(newer)
    with pytest.raises(CourseError, match="a newer trainer"):
        older.save()
    assert [record.step for record in newer] == [6, 7]


def test_a_run_that_was_removed_can_be_begun_again_beside_its_old_trainer(run: Path) -> None:
    older = begin(run)
    next(older)
    shutil.rmtree(run)
    newer = begin(run, LONG.replace(max_steps=5))
    assert len(list(newer)) == 5
    with pytest.raises(CourseError, match="a newer trainer"):
        list(older)
    assert steps(run) == list(range(5))


def test_a_resume_that_fails_leaves_the_older_trainer_its_run(run: Path) -> None:
    """A save that is not there, in a notebook whose loop was interrupted."""
    older = begin(run, LONG.replace(max_steps=8))
    for _ in range(6):
        next(older)
    with pytest.raises(CourseError, match="no save 99"):
        resume(run, 99)
    assert len(list(older)) == 2
    assert steps(run) == list(range(8))


def test_a_run_that_is_resumed_and_only_saved_goes_back_as_a_whole(run: Path) -> None:
    list(begin(run, LONG.replace(max_steps=6, eval_every=2, eval_batches=1), val=lambda n: n))
    assert (checkpoint.read_pointer(run, "best"), checkpoint.read_pointer(run, "last")) == ("2", "6")
    trainer = resume(run, "best", val=lambda n: n, max_steps=2)
    assert list(trainer) == []  # no step is left, and nothing has changed
    assert steps(run) == list(range(6))
    trainer.save()
    assert steps(run) == [0, 1]
    assert checkpoint.load(run).state["step"] == 2


@pytest.mark.slow
def test_a_run_that_was_removed_belongs_to_the_process_that_began_it_anew(run: Path, hand) -> None:
    older = begin(run)
    next(older)
    shutil.rmtree(run)
    other = hand()
    assert other.do("begin", run) == "done"
    assert other.do("train", 12) == "done"
    before = files(run)
    with pytest.raises(CourseError, match=f"is being trained by process {other.process.pid}"):
        older.save()
    assert files(run) == before
    assert other.do("finish") == "done"
    assert steps(run) == list(range(60))


def test_a_run_that_is_taken_over_in_the_middle_of_a_save_keeps_whole_saves(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads: the older trainer has renamed its save and not yet named it, as the newer one wants to go on."""
    older = begin(run, LONG.replace(save_every=1))
    for _ in range(3):
        next(older)
    reached, newer_waits = threading.Event(), threading.Event()
    replace_file = writing.replace_file

    def slow(path: Path, text: str) -> None:
        if path.name == "last" and threading.current_thread() is thread:
            reached.set()
            newer_waits.wait(0.2)  # it cannot say that it waits: a little time for it to go wrong
        replace_file(path, text)

    monkeypatch.setattr(writing, "replace_file", slow)
    thread = threading.Thread(target=lambda: next(older))
    thread.start()
    assert reached.wait(60)
    newer = resume(run)
    next(newer)
    thread.join()
    assert checkpoint.load(run).state["step"] == newer.step
    with pytest.raises(CourseError, match="a newer trainer"):
        next(older)
    assert steps(run) == list(range(newer.step))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "weights": lambda run: os.truncate(run / "saves" / "60" / "model.safetensors", 100),
    "optimizer": lambda run: os.truncate(run / "saves" / "60" / "optimizer.safetensors", 100),
    "state": lambda run: (run / "saves" / "60" / "state.json").write_text("{"),
    "settings": lambda run: (run / "config.json").write_text("{"),
    "last": lambda run: (run / "last").unlink(),
    "a setting in the state": lambda run: damaged_state(run, '"dropout": 0.1', '"dropout": 5'),
}


def damaged_state(run: Path, old: str, new: str) -> None:
    path = run / "saves" / "60" / "state.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.slow
@pytest.mark.parametrize("what", DAMAGE)
def test_a_run_that_cannot_be_resumed_is_let_go(run: Path, hand, what: str) -> None:
    list(begin(run))
    copy = shutil.copytree(run, run.parent / "whole")
    DAMAGE[what](run)
    with pytest.raises(CourseError) as caught:
        resume(run, max_steps=61)
    shutil.rmtree(run / "saves")
    shutil.copytree(copy, run, dirs_exist_ok=True)
    other = hand()
    assert other.do("resume", dict(max_steps=61)) == "done"
    assert other.do("finish") == "done"
    assert "is being trained" not in str(caught.value)  # the error is still there, with all that it refers to


# Reading beside writing ------------------------------------------------------------------------------------


def train_until(run: Path, end: Path) -> None:
    """Save at every step; at every other one it is the best so far."""
    config = LONG.replace(max_steps=10**9, save_every=1, eval_every=1, eval_batches=1)
    trainer = begin(run, config, val=lambda step: 1 / step if step % 2 else 2.0)
    for _ in trainer:
        if end.exists():
            trainer.stop()


@pytest.mark.slow
def test_a_run_can_be_read_at_any_moment_while_it_is_saved_at_every_step(run: Path, hand) -> None:
    writer, end = hand(), run.parent / "end"
    writer.ask("train and save at every step, until the file is there", run, end)
    while not (run / "last").exists():
        assert not writer.orders.poll(0.01)
    failed, seen, turn = [], set(), 0
    while turn < 10_000 or len(seen) < 100:
        which = ("last", "best", "auto")[turn % 3]
        try:
            loaded = checkpoint.load(run, which)
            seen.add(loaded.path.name)
            assert str(loaded.state["step"]) == loaded.path.name
        except CourseError as error:
            failed.append(f"{which}: {error}")
        turn += 1
    end.touch()
    assert writer.answer() == "done"
    print(f"{turn} reads of {len(seen)} saves while {len(steps(run))} were made; {len(failed)} failed")
    assert failed == []


# Going back to an earlier save -----------------------------------------------------------------------------

BACK = LONG.replace(max_steps=8, save_every=2, eval_every=2, eval_batches=1)
CHANGES = dict(max_lr=1e-3, max_steps=10)  # what makes the second history another one, and longer
FIRST_VAL = {2: 4.0, 4: 2.0, 6: 6.0, 8: 5.0}.__getitem__  # best after 4 steps
SECOND_VAL = {4: 3.0, 6: 1.0, 8: 3.0, 10: 2.0}.__getitem__  # best after 6


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the library may catch it, and after it nothing reaches the disk."""


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[str]]:
    """``kill(n)``: die at the n-th of the library's calls into the operating system; ``kill(None)``: live on."""
    calls: list[str] = []
    at: int | None = None

    def watched(name: str, function: Callable) -> Callable:
        def call(*args, **kwargs):
            calls.append(name)
            if at is not None and len(calls) >= at:
                raise Killed
            return function(*args, **kwargs)

        return call

    for name in "mkdir chmod open fsync rename replace unlink rmdir".split():
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    monkeypatch.setattr(writing, "save_file", watched("save_file", writing.save_file))
    monkeypatch.setattr(Path, "write_text", watched("write_text", Path.write_text))

    def set_at(number: int | None) -> list[str]:
        nonlocal at
        at = number
        calls.clear()
        return calls

    return set_at


@pytest.fixture
def first(project: Path) -> Path:
    """A run of 8 steps that has the saves 2, best = 4 and last = 8."""
    run = project / "first"
    trainer = begin(run, BACK, FIRST_VAL)
    for record in trainer:
        if record.step == 1:
            shutil.copytree(run / "saves" / "2", project / "2")
    shutil.copytree(project / "2", run / "saves" / "2")
    assert ((run / "last").read_text(), (run / "best").read_text()) == ("8\n", "4\n")
    return run


def result(run: Path) -> dict[str, Any]:
    """All that a run leaves, but for the time it took."""
    left: dict[str, Any] = {"rows": rows(run)}
    for which in ("last", "best") if (run / "best").exists() else ("last",):
        folder = checkpoint.find_save(run, which)
        for name in ("model.safetensors", "optimizer.safetensors"):
            left[f"{which} {name}"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        left[f"{which} state"] = {k: v for k, v in checkpoint.read_state(folder).items() if k != "seconds"}
    return left


def go_on(run: Path, which: str | int, val: Callable[[int], float] = SECOND_VAL) -> dict[str, Any]:
    """The second history, from one of the saves to its end."""
    list(resume(run, which, val, **CHANGES))
    return result(run)


def assert_one_history(run: Path) -> str:
    """The log and the pointers agree. Returns which history it is that they tell: the first, or the second."""
    last = checkpoint.load(run, "last").state
    log = rows(run)
    assert [row["step"] for row in log] == list(range(len(log)))
    assert len(log) >= last["step"]
    if (run / "best").exists():
        best = checkpoint.load(run, "best").state
        assert best["step"] <= len(log)  # it may be ahead of last: of the two pointers it is the first to change
        assert best["best_val_loss"] == log[best["step"] - 1]["val_loss"]
        assert log[best["step"] - 1]["best"]
    return "second" if last["step"] < 8 or last["train"]["max_lr"] == 1e-3 else "first"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "val"), [("best", SECOND_VAL), (2, lambda step: 9.0)], ids=["a better one comes", "none is better"]
)
def test_a_run_that_goes_back_and_is_killed_tells_one_history_and_ends_as_if_never_killed(
    first: Path, which: str | int, val: Callable[[int], float], kill
) -> None:
    wanted = {
        "first": go_on(shutil.copytree(first, first.with_name("on")), "last", val),
        "second": go_on(shutil.copytree(first, first.with_name("back")), which, val),
    }
    assert ("best state" in wanted["second"]) == (which == "best")
    assert [row["step"] for row in wanted["second"]["rows"]] == list(range(10))
    assert wanted["first"]["rows"] != wanted["second"]["rows"]
    told: list[str] = []
    saved = 0
    while "second" not in told or saved <= 4:  # after the first save that follows it is a run like others
        copy = shutil.copytree(first, first.with_name(f"copy{len(told)}"))
        calls = kill(len(told) + 1)
        with pytest.raises(Killed):
            go_on(copy, which, val)
        seen = list(calls)
        kill(None)
        told.append(assert_one_history(copy))
        saved = checkpoint.load(copy).state["step"]
        assert go_on(copy, "last", val) == wanted[told[-1]], seen
    assert told == sorted(told)  # never back to the first
    print(f"{len(told)} kills, {told.count('first')} of them before the run had gone back")


@pytest.mark.parametrize("which", ["best", 2])
def test_a_run_that_went_back_is_the_run_that_had_never_gone_on(first: Path, which: str | int) -> None:
    """Compared with one that stopped at the save one goes back to."""
    step = 4 if which == "best" else which
    other = first.with_name("other")
    list(begin(other, BACK.replace(max_steps=step), FIRST_VAL))
    assert (other / "last").read_text() == f"{step}\n"
    ended = go_on(other, "last")
    went_back = go_on(first, which)
    assert went_back["rows"] == ended["rows"]
    for part in ended:
        assert went_back[part] == ended[part], part


def test_a_run_that_is_resumed_from_an_earlier_save_and_not_trained_on_stays_as_it_is(first: Path) -> None:
    before = files(first)
    names = sorted(path.name for path in first.iterdir())
    for which in ("best", 2):
        trainer = resume(first, which, SECOND_VAL, **CHANGES)
        assert trainer.step == (4 if which == "best" else 2)
        assert files(first) == before
        del trainer
        stopped = resume(first, which, SECOND_VAL, **CHANGES)
        stopped.stop()
        assert list(stopped) == []
        assert files(first) == before
    assert list(resume(first, "best", SECOND_VAL, max_steps=4)) == []  # there is nothing to train
    assert files(first) == before
    assert sorted(path.name for path in first.iterdir()) == names
    assert len(list(resume(first, "last", SECOND_VAL, **CHANGES))) == 2


def test_a_best_save_beyond_the_one_that_a_run_goes_back_to_is_given_up(first: Path) -> None:
    trainer = resume(first, 2, lambda step: 9.0, **CHANGES)
    next(trainer)
    assert ((first / "last").read_text(), (first / "best").exists()) == ("2\n", False)
    assert sorted(path.name for path in (first / "saves").iterdir()) == ["2"]
    assert checkpoint.load(first, "auto").state["step"] == 2
    assert steps(first) == [0, 1, 2]
    list(trainer)
    assert not (first / "best").exists()  # none of the second history was below what had been reached after 2 steps
    assert steps(first) == list(range(10))


def test_a_run_that_could_not_go_back_can_do_so_later(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = resume(first, 2, SECOND_VAL, **CHANGES)
    unlink = os.unlink

    def failing(path, *more, **options):
        if Path(path).name == "best":
            raise OSError(errno.EIO, "Input/output error")
        unlink(path, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", failing)
        with pytest.raises(CourseError, match=r"Cannot write .*first: Input/output error.*--resume"):
            next(trainer)
        assert steps(first) == list(range(8))
    list(trainer)
    assert steps(first) == list(range(10))
    assert (first / "best").read_text() == "6\n"


def test_a_best_save_before_the_one_that_a_run_goes_back_to_is_kept(first: Path) -> None:
    kept = shutil.copytree(first / "saves" / "8", first / "saves" / "6")
    state = kept / "state.json"
    state.write_text(state.read_text().replace('"step": 8', '"step": 6'))
    next(resume(first, 6, lambda step: 9.0, **CHANGES))
    assert ((first / "last").read_text(), (first / "best").read_text()) == ("6\n", "4\n")
    assert steps(first) == list(range(7))


def test_a_save_right_after_going_back_goes_back(first: Path) -> None:
    trainer = resume(first, "best", SECOND_VAL, **CHANGES)
    trainer.save()
    assert checkpoint.load(first, "last").state["step"] == 4
    assert steps(first) == list(range(4))
    assert go_on(first, "last")["rows"][4]["lr"] == 1e-3
