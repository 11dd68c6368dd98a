"""The driver: word from outside is heeded between two steps, and beside the training little is done."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.lab import driver as driver_module
from course_lib.lab.driver import DRAG_SECONDS, SHARE, Change, Driver, drive_here, let_helpers_go, training_thread
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


def test_steps_asked_for_at_once_are_all_taken(project):
    """Two presses of a button, before the first was heard and while the run pauses, are two steps."""
    records: list = []
    driver, watcher = driver_with_watcher(records)
    driver.step()
    driver.step(2)
    thread = start(driver, build_trainer(SMALL))
    watcher.wait_for("paused")
    assert len(records) == 3
    driver._words.put(lambda: [driver.step(), driver.step()])  # both are there before either is heard
    watcher.wait_for("paused", times=2)
    assert len(records) == 5
    driver.stop()
    thread.join(PATIENCE)


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
    assert driver.changes == [Change(2, "max_lr", 0.02, 0.005, 2, 0.005)]
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


@pytest.mark.parametrize("picture", [0.002, 0.05, 0.3])
def test_pictures_keep_to_their_share(clock, picture):
    """30 s of training. However long a picture takes, all of them keep to the share, give or take one."""
    pictures = []
    driver = Driver([], lambda: (pictures.append(1), clock(picture)))
    driver.drive(SlowTrainer(3000, clock))
    spent = picture * (len(pictures) - 1)  # the last picture comes when all is over
    assert SHARE * 30 / 2 < spent <= SHARE * 30 + picture
    assert driver.seconds == pytest.approx(30 + spent)
    assert driver.trained == pytest.approx(30)


def test_other_work_is_told_how_many_steps_took_how_long(clock):
    told = []
    between = lambda step, seconds: (told.append((step, round(seconds, 6))), clock(1.0))  # noqa: E731
    driver = Driver([], lambda: None, between)
    driver.drive(SlowTrainer(3, clock))
    assert told == [(0, 0.0), (1, 0.01), (2, 0.02), (3, 0.03)]
    assert driver.seconds == pytest.approx(4.03)


def test_no_picture_comes_sooner_than_the_eye_needs_it(clock):
    pictures = []
    Driver([], lambda: pictures.append(1), update_seconds=0.25).drive(SlowTrainer(1000, clock))
    assert 35 <= len(pictures) <= 42


def test_five_pictures_a_second_where_they_cost_little(clock):
    """The picture of a learner's eye: less is seen as jumps."""
    pictures = []
    Driver([], lambda: (pictures.append(1), clock(0.003))).drive(SlowTrainer(1000, clock))
    assert len(pictures) >= 5 * 10


# Settings that move -----------------------------------------------------------------------------------------


@pytest.fixture
def paused(project):
    """A driver that pauses after two steps, and a function that takes further steps and waits."""
    records: list = []
    trainer = build_trainer(SMALL.replace(max_steps=60, schedule="trapezoid", warmup_steps=10, cooldown_steps=20))
    driver, watcher = driver_with_watcher(records, settings={"max_lr": 0.02, "dropout": 0.0})
    driver.step(2)
    thread = start(driver, trainer)
    watcher.wait_for("paused")
    times = [1]

    def take(steps: int) -> None:
        times[0] += 1
        driver.step(steps)
        watcher.wait_for("paused", times[0])

    yield driver, take
    driver.stop()
    thread.join(PATIENCE)


def test_a_change_says_the_rate_that_is_in_force(paused):
    """The slider moves the peak: in the fall of a schedule the steps are far smaller than that."""
    driver, take = paused
    take(53)
    driver.change(max_lr=0.5)
    take(1)
    (change,) = driver.changes
    assert (change.step, change.before, change.value) == (55, 0.02, 0.5)
    assert change.in_force == driver.records[55].lr
    assert change.in_force < 0.5 * 0.3, "or this test shows nothing"


def test_one_drag_is_one_change(paused, monkeypatch):
    """A drag while it trains: three values, a step or two with each, within a second; then, later, another one."""
    driver, take = paused
    now = [0.0]
    monkeypatch.setattr(driver_module.time, "perf_counter", lambda: now[0])
    for value in (0.05, 0.1, 0.2):
        driver.change(max_lr=value)
        take(2)
        now[0] += 0.3
    now[0] += DRAG_SECONDS
    driver.change(max_lr=0.01)
    take(1)
    first, second = driver.changes
    assert (first.step, first.before, first.value, first.settled) == (2, 0.02, 0.2, 6)
    assert (second.step, second.before, second.value, second.settled) == (8, 0.2, 0.01, 8)
    assert first.in_force == driver.records[6].lr


def test_two_settings_are_two_changes(paused):
    driver, take = paused
    driver.change(max_lr=0.05)
    take(1)
    driver.change(dropout=0.1)
    take(1)
    driver.change(max_lr=0.1)
    take(1)
    assert [(c.name, c.step, c.value) for c in driver.changes] == [
        ("max_lr", 2, 0.05), ("dropout", 3, 0.1), ("max_lr", 4, 0.1),
    ]  # fmt: skip
    assert [c.in_force is None for c in driver.changes] == [False, True, False]


def test_a_drag_that_steps_felt_is_told_even_where_it_comes_back(paused):
    driver, take = paused
    driver.change(max_lr=0.05)
    take(1)
    driver.change(max_lr=0.02)
    take(1)
    (change,) = driver.changes
    assert (change.step, change.before, change.value, change.settled) == (2, 0.02, 0.02, 3)


@pytest.mark.parametrize("seed", range(20))
def test_the_changes_tell_what_the_steps_did(paused, monkeypatch, seed):
    """Whatever is moved, and whenever: steps outside of all changes have the value that the change before has left."""
    driver, take = paused
    draw, now = random.Random(seed), [0.0]
    monkeypatch.setattr(driver_module.time, "perf_counter", lambda: now[0])
    peaks = [0.02, 0.02]
    for _ in range(12):
        value = draw.choice([0.01, 0.02, 0.05])
        driver.change(max_lr=value)
        steps = draw.randint(1, 3)
        take(steps)
        peaks += [value] * steps
        now[0] += draw.choice([0.1, 2 * DRAG_SECONDS])
    value, moving = 0.02, set[int]()
    told = {}
    for change in driver.changes:
        assert change.before == peaks[change.step - 1]
        assert change.value == peaks[change.settled]
        moving |= set(range(change.step, change.settled))
        told[change.settled] = change.value
    for step, peak in enumerate(peaks):
        value = told.get(step, value)
        assert step in moving or peak == value


# Held -----------------------------------------------------------------------------------------------------


def test_a_run_that_is_held_takes_no_step_and_goes_on_as_it_was(project):
    records: list = []
    driver, watcher = driver_with_watcher(records)
    trainer = build_trainer(SMALL)
    batch = trainer.batches.batch
    trainer.batches.batch = lambda step, micro: (driver.hold() if step == 2 else None, batch(step, micro))[1]
    thread = start(driver, trainer)
    end = time.monotonic() + PATIENCE
    while (driver.is_at_work or len(records) < 3) and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(0.1)
    assert len(records) == 3
    assert "paused" not in watcher.states
    driver.release()
    thread.join(PATIENCE)
    assert [r.train_loss for r in records] == [r.train_loss for r in build_trainer(SMALL)]


def test_a_run_that_is_held_hears_a_stop(project):
    records: list = []
    driver, _ = driver_with_watcher(records)
    driver.hold()
    thread = start(driver, build_trainer(SMALL))
    driver.stop()
    thread.join(PATIENCE)
    assert (records, driver.state) == ([], "over")


def test_a_run_of_so_many_steps_pauses_after_them_though_it_was_held(project):
    records: list = []
    driver, watcher = driver_with_watcher(records)
    driver.hold()
    driver.step(2)
    thread = start(driver, build_trainer(SMALL))
    driver.release()
    watcher.wait_for("paused")
    assert len(records) == 2
    assert not driver.is_at_work
    driver.stop()
    thread.join(PATIENCE)
