"""The driver: word from outside is heeded between two steps, and beside the training little is done."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.lab.driver import SHARE, Change, Driver, drive_here, let_helpers_go, training_thread
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "tinytales_cpu"
SMALL = load_recipe(RECIPE).replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1,
    warmup_steps=0, schedule="constant", device="cpu",
)  # fmt: skip
PATIENCE = 60
"""Seconds after which a test that waits gives up; a test that passes waits for no more than the work itself."""


def start(driver: Driver, trainer: Trainer) -> threading.Thread:
    thread = training_thread(lambda: driver.drive(trainer), torch.get_num_threads())
    thread.start()
    return thread


class Watcher:
    """Notes each state it is told of, and lets a test wait for one."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.driver: Driver | None = None
        self._told = threading.Condition()

    def __call__(self) -> None:
        with self._told:
            self.states.append(self.driver.state)
            self._told.notify_all()

    def wait_for(self, state: str, times: int = 1) -> None:
        with self._told:
            assert self._told.wait_for(lambda: self.states.count(state) >= times, PATIENCE), self.states


def driver_with_watcher(records: list, **settings) -> tuple[Driver, Watcher]:
    watcher = Watcher()
    watcher.driver = Driver(records, watcher, update_seconds=1000, **settings)
    return watcher.driver, watcher


def test_it_drives_from_the_first_step_to_the_last(project):
    records: list = []
    driver = Driver(records, lambda: None)
    assert driver.state == "ready"
    drive_here(driver, build_trainer(SMALL))
    assert driver.state == "over"
    assert [r.train_loss for r in records] == [r.train_loss for r in build_trainer(SMALL)]


def test_watchers_are_told_seldom_and_at_the_end(project, clock):
    """The clock stands still: a watcher that takes long, be it for want of a free processor, is told more seldom."""
    records, told = [], []
    drive_here(Driver(records, lambda: told.append(len(records)), update_seconds=1000), build_trainer(SMALL))
    assert told == [1, 6]
    told.clear()
    drive_here(Driver([], lambda: told.append(1), update_seconds=0), build_trainer(SMALL))
    assert len(told) == 7


def test_a_pause_comes_between_two_steps_and_changes_nothing(project):
    records: list = []
    driver, watcher = driver_with_watcher(records)
    driver.step(2)
    thread = start(driver, build_trainer(SMALL))
    watcher.wait_for("paused")
    assert len(records) == 2
    driver.step()
    watcher.wait_for("paused", times=2)
    assert len(records) == 3
    assert driver.state == "paused"
    driver.resume()
    thread.join(PATIENCE)
    assert [r.train_loss for r in records] == [r.train_loss for r in build_trainer(SMALL)]
    assert [r.val_loss for r in records] == [r.val_loss for r in build_trainer(SMALL)]


def test_pause_stops_the_stepping_of_a_run_that_goes_on(project):
    """The step at which word comes is the last one: the third step itself leaves word."""
    records: list = []
    driver, watcher = driver_with_watcher(records)
    trainer = build_trainer(SMALL)
    batch = trainer.batches.batch
    trainer.batches.batch = lambda step, micro: (driver.pause() if step == 2 else None, batch(step, micro))[1]
    thread = start(driver, trainer)
    watcher.wait_for("paused")
    assert len(records) == 3
    driver.stop()
    thread.join(PATIENCE)
    assert (len(records), driver.state, watcher.states[-1]) == (3, "over", "over")


def test_a_pause_costs_no_processor_time(project):
    driver, watcher = driver_with_watcher([])
    driver.step(2)
    thread = start(driver, build_trainer(SMALL))
    watcher.wait_for("paused")
    before = time.process_time()
    assert not threading.Event().wait(0.5)
    assert time.process_time() - before < 0.1
    driver.stop()
    thread.join(PATIENCE)


def test_a_run_that_has_no_step_left_does_not_pause(project):
    records: list = []
    driver, watcher = driver_with_watcher(records)
    driver.step(6)
    start(driver, build_trainer(SMALL)).join(PATIENCE)
    assert len(records) == 6
    assert "paused" not in watcher.states


def test_a_stop_before_the_first_step(project):
    records: list = []
    driver, watcher = driver_with_watcher(records)
    driver.stop()
    driver.drive(build_trainer(SMALL))
    assert (records, watcher.states) == ([], ["over"])


def test_a_rate_moved_on_the_way_holds_from_the_next_step(project):
    """The moved run's steps before are those of the one rate, and its next loss that of a trainer told the same."""
    records: list = []
    driver, watcher = driver_with_watcher(records, settings={"max_lr": 0.02, "dropout": 0.0})
    driver.step(2)
    thread = start(driver, build_trainer(SMALL))
    watcher.wait_for("paused")
    for rate in (0.5, 0.1, 0.005):
        driver.change(max_lr=rate)
    driver.change(dropout=0.0)  # as it is
    driver.resume()
    thread.join(PATIENCE)
    assert [r.lr for r in records] == [0.02] * 2 + [0.005] * 4
    assert driver.changes == [Change(2, "max_lr", 0.005)]
    plain = build_trainer(SMALL)
    expected = [next(plain).train_loss for _ in range(2)]
    plain.change(max_lr=0.005)
    assert [r.train_loss for r in records] == expected + [r.train_loss for r in plain]


def test_a_rate_moved_and_moved_back_in_a_pause_is_no_change(project):
    driver, watcher = driver_with_watcher([], settings={"max_lr": 0.02})
    driver.step()
    thread = start(driver, build_trainer(SMALL))
    watcher.wait_for("paused")
    driver.change(max_lr=0.5)
    driver.change(max_lr=0.02)
    driver.resume()
    thread.join(PATIENCE)
    assert driver.changes == []


def test_what_the_trainer_raises_arrives_and_the_watcher_is_told(project):
    driver, watcher = driver_with_watcher([])
    wild = {"optimizer": "adamw", "zero_init": False, "max_lr": 1e30}
    with pytest.raises(CourseError, match="diverged"):
        driver.drive(build_trainer(SMALL.replace(**wild)))
    assert (driver.state, watcher.states[-1]) == ("over", "over")


def test_a_thread_counts_torchs_threads_as_its_caller_does():
    """torch's number belongs to each thread; a sum in another number of parts has other last digits."""
    found: list[int] = []
    before = torch.get_num_threads()
    thread = training_thread(lambda: found.append(torch.get_num_threads()), before + 1)
    thread.start()
    thread.join(PATIENCE)
    torch.set_num_threads(before)
    assert found == [before + 1]
    assert thread.daemon


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_idle_helpers_of_the_main_thread_are_let_go():
    """They would make the training thread's own sleep between two tasks, where there are few cores."""
    if "libgomp" not in Path("/proc/self/maps").read_text():
        pytest.skip("this torch computes with another OpenMP")
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    matrix = torch.ones(2000, 2000)
    total = (matrix + 1).sum()
    with_helpers = len(list(Path("/proc/self/task").iterdir()))
    let_helpers_go()
    assert len(list(Path("/proc/self/task").iterdir())) <= with_helpers - 3
    assert (matrix + 1).sum() == total
    torch.set_num_threads(before)


# Beside the training ---------------------------------------------------------------------------------------


class SlowTrainer:
    """Steps that take a hundredth of a second by a clock of its own; see `clock`."""

    def __init__(self, steps: int, spend: Callable[[float], None]) -> None:
        self.config, self.step, self._spend = load_recipe(RECIPE).train.replace(max_steps=steps), 0, spend

    def __next__(self) -> object:
        if self.step >= self.config.max_steps:
            raise StopIteration
        self.step += 1
        self._spend(0.01)
        return object()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The driver's clock stands still, except when something says that it took some time."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


@pytest.mark.parametrize(("picture", "piece"), [(0.002, 0.001), (0.3, 0.001), (0.002, 0.03), (0.05, 0.02)])
def test_pictures_and_samples_together_keep_to_their_share(clock, picture, piece):
    """30 s of training. However long a picture or a piece takes, all of them keep to the share, give or take one."""
    pictures, pieces = [], []
    watch = lambda: (pictures.append(1), clock(picture))  # noqa: E731
    aside = lambda: (pieces.append(1), clock(piece))[0] is None  # noqa: E731
    driver = Driver([], watch, aside)
    driver.drive(SlowTrainer(3000, clock))
    spent = picture * (len(pictures) - 1) + piece * len(pieces)  # the last picture comes when all is over
    assert spent <= SHARE * 30 + picture + piece
    assert spent > SHARE * 30 / 2, "and it is made use of"
    assert len(pictures) >= 2
    assert pieces
    assert driver.seconds == pytest.approx(30 + spent)


def test_no_picture_comes_sooner_than_the_eye_needs_it(clock):
    pictures = []
    Driver([], lambda: pictures.append(1), update_seconds=0.25).drive(SlowTrainer(1000, clock))
    assert 35 <= len(pictures) <= 42


def test_time_that_nobody_wants_is_not_saved_up(clock):
    """A sample that begins late does not get all the time that nothing was written before."""
    pieces, wanted = [], [False]
    driver = Driver([], lambda: None, lambda: wanted[0] and (pieces.append(1), clock(0.001))[0] is None)
    trainer = SlowTrainer(500, clock)
    driver.drive(trainer)
    wanted[0], trainer.config = True, trainer.config.replace(max_steps=501)
    driver.drive(trainer)
    assert len(pieces) <= 1
