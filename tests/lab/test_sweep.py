"""Sweeps: which values are tried, which one is called good, and that the runs are the recipe's own."""

import json
import math
import signal
import threading
from collections.abc import Iterator

import pytest

from course_lib import reference
from course_lib.cli import main as course
from course_lib.errors import CourseError
from course_lib.lab import Lab, Sweep, forecast
from course_lib.lab import sweep as sweep_module
from course_lib.lab.sweep_runs import BUILDING
from course_lib.lab.sweep_view import in_words, lessons, picture, seen
from course_lib.measurements import sweep as recording
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.recipes.sweeping import FACTORS, Point, Valley, lasting, shortened, values_of, with_value
from course_lib.training import StepRecord

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = load_recipe("tinytales_cpu").replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=8, eval_every=3, eval_batches=1, device="cpu"
)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: forecast.Speed(1e-11, 1e-3, 2e-3))


def plain(recipe, setting: str, value: float) -> float:
    """The last validation loss, by a plain loop over the trainer."""
    return list(build_trainer(recipe.replace(**{setting: value})))[-1].val_loss


# ---- what is tried -----------------------------------------------------------------------------------


def test_the_recipe_s_own_value_is_in_the_middle_and_all_can_be_trained():
    for name in ("tinytales_cpu", "shakespeare_char", "agiformer_cpu"):
        recipe = load_recipe(name)
        for setting in FACTORS:
            values = values_of(recipe, setting)
            assert values == sorted(set(values))
            assert values[len(values) // 2] == recipe.all_settings()[setting]
            for value in values:
                assert with_value(recipe, setting, value).all_settings()[setting] == value
    assert values_of(load_recipe("tinytales_cpu"), "max_lr") == [0.002, 0.006, 0.02, 0.06, 0.2]
    assert values_of(load_recipe("tinytales_cpu"), "block_size", longest=100) == [16, 32, 64]


def test_a_lowest_rate_follows_its_highest():
    recipe = load_recipe("nanogpt_shakespeare_char")
    assert (recipe.train.max_lr, recipe.train.min_lr) == (1e-3, 1e-4)
    for value in values_of(recipe, "max_lr"):
        assert with_value(recipe, "max_lr", value).train.min_lr == pytest.approx(value / 10)


def test_a_run_of_a_sweep_is_a_tenth_with_the_schedule_s_shares():
    train = shortened(load_recipe("tinytales_cpu")).train
    assert (train.max_steps, train.warmup_steps, train.eval_every) == (105, 2, 0)
    assert shortened(SMALL.replace(max_steps=100)).train.max_steps == 20, "a handful of steps says nothing"
    assert shortened(SMALL).train.max_steps == 8, "and no longer than the recipe"
    assert lasting(SMALL.replace(max_steps=100, decay_steps=50), 10).train.decay_steps == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"setting": "dropout"}, "A sweep is over max_lr or block_size"),
        ({"values": []}, "at least one value"),
        ({"values": [0.01, -1.0]}, "max_lr"),
        ({"share": 0}, "share should be above 0"),
        ({"share": 1.5}, "share should be above 0"),
    ],
)
def test_what_cannot_be_swept_is_told(project, arguments, words):
    with pytest.raises(CourseError, match=words):
        Sweep(SMALL, **arguments)


# ---- which value is good -----------------------------------------------------------------------------


def valley(*losses: float | None, setting: str = "max_lr", floors: tuple = (None, None)) -> Valley:
    def point(i: int, loss: float | None) -> Point:
        tokens = 100 * 2**i if setting == "block_size" else 100
        return Point(2.0**i, (loss,), (3 if loss is None else 9,), tokens, floors[i > 0])

    points = [point(i, loss) for i, loss in enumerate(losses)]
    return Valley(setting, tuple(points), knowing_nothing=3.0)


def test_the_good_value_is_the_lowest_that_did_not_diverge():
    found = valley(2.0, 1.0, 1.03, 1.08, None)
    assert found.good == found.points[1]
    assert found.as_good == [found.points[2]], "3% above it, while 8% are more than one seed can hide"
    assert found.chosen == found.good, "the lower of the two"
    assert found.open_end == ""
    assert [found.diverged(point) for point in found.points] == [False] * 4 + [True]
    words = " ".join(lessons(found))
    assert "Good here: learning rate 2," in words
    assert "so as good as one seed can tell: 4." in words
    assert "further" not in words
    assert "Among equals" not in words
    assert "often lower" in words
    assert "diverged: the loss ceased to be finite after 3 steps" in in_words(found, 9)


def of_seeds(*losses: tuple[float, ...]) -> Valley:
    return Valley("max_lr", tuple(Point(2.0**i, each, (9,) * len(each), 100) for i, each in enumerate(losses)), 3.0)


def test_where_there_are_several_seeds_their_spread_says_what_is_equal():
    found = of_seeds((2.0, 2.1), (1.03, 1.05), (0.98, 1.06), (1.5, 1.6))
    assert found.good == found.points[2]
    assert found.limit == 1.06
    assert found.as_good == [found.points[1]]
    assert found.chosen == found.points[1], "of equal rates the lower one is handed on"
    words = " ".join(lessons(found))
    assert "Its 2 seeds span 0.980 to 1.060. Within that, and so as good as these seeds can tell: 2." in words
    assert "Among equals take the lower rate, 2:" in words
    assert "%" not in words
    assert of_seeds((2.0, 2.1), (1.03, 1.05), (0.98, 1.02)).as_good == [], "4% above it, but the seeds agree"
    data = seen(found, [1.0, 2.0, 4.0, 8.0], 9, "heading", "status")
    assert data["limit"] == 1.06
    assert "2 seeds cannot tell" in data["hint"]
    assert "one seed cannot tell" in seen(valley(1.0, 2.0), [1.0, 2.0], 9, "heading", "status")["hint"]


def test_a_lowest_loss_at_an_edge_says_try_further():
    assert valley(1.0, 2.0, 2.5).open_end == "low"
    assert "the lowest value tried" in " ".join(lessons(valley(1.0, 2.0, 2.5)))
    assert valley(2.5, 2.0, 1.0).open_end == "high"
    assert "with higher values" in " ".join(lessons(valley(2.5, 2.0, 1.0)))
    assert valley(2.5, 2.0, 1.0, None).open_end == "", "above it training diverges: that end was seen"


def test_worse_than_knowing_nothing_has_diverged_and_is_no_good_value():
    found = valley(4.0, 3.5)
    assert found.good is None
    assert "All of them diverged" in " ".join(lessons(found))
    assert "worse than knowing nothing (3.00)" in in_words(found, 9)
    assert lessons(valley(1.0)) == [], "one run is no valley"


def test_block_sizes_are_compared_per_token_and_the_reading_is_told():
    words = " ".join(lessons(valley(2.0, 1.5, 1.0, setting="block_size", floors=(0.5, 0.2))))
    assert "Losses are per token" in words
    assert "a longer block reads more tokens per step: at 4 each run read 4 times as many as at 1" in words
    assert "0.500 at 1, 0.200 at 4" in words
    assert "in brackets, the runs ended: 1.50 at 1, 1.30 at 2, 0.80 at 4" in words
    assert "further" not in words, "there is no valley to look for"
    found = valley(2.0, 1.5, 1.0, setting="block_size", floors=(0.5, 0.2))
    data = seen(found, [1.0, 2.0, 4.0], 9, "heading", "status")
    assert [point["loss_label"] for point in data["points"]] == ["2.00 (+1.50)", "1.50 (+1.30)", "1.00 (+0.80)"]
    assert "1.500 above the floor of 0.500" in data["points"][0]["words"]
    assert data["floor_label"].startswith("floor: a reader who sees only block_size letters")
    first = picture(seen(valley(2.0, floors=(0.5, 0.5)), [1.0, 2.0], 9, "heading", "status")).axes[0]
    (floor,) = [line for line in first.get_lines() if line.get_label() == "floor"]
    assert len(floor.get_xdata()) == 2, "after the first run, too, the floor is a line"
    rates = valley(2.0, 1.5, floors=(0.5, 0.5))
    assert seen(rates, [1.0, 2.0], 9, "heading", "status")["floor_label"].startswith("floor 0.50: a reader")


def test_the_picture_holds_every_sound_point_and_no_number_that_json_lacks():
    for losses in [(2.0, 1.0, None), (None, None), (9.0, 1.0), (1.0, 1.0), ()]:
        found = valley(*losses)
        values = [1.0, 2.0, 4.0]
        data = seen(found, values, 9, "heading", "status")
        json.dumps(data, allow_nan=False)
        assert [point["value"] for point in data["points"]] == values
        for point in found.points:
            if not found.diverged(point):
                assert data["y_min"] < point.loss < data["y_max"]
        assert all(data["y_min"] <= tick <= data["y_max"] for tick in data["y_ticks"])
        assert 3 <= len(data["y_ticks"]) <= 11


# ---- the runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["background", "cell", "still"])
def test_each_point_is_a_plain_run_of_the_recipe(project, monkeypatch, how):
    shown = []

    def display(thing, display_id=False):
        shown.append(thing)
        return type("Place", (), {"update": lambda self, new: shown.append(new)})()

    monkeypatch.setattr(sweep_module, "display", display)
    sweep = Sweep(SMALL, values=[0.3, 0.01], live=how != "still")
    if how == "background":
        sweep.start()
        assert sweep.wait(60)
        found = sweep.valley
    else:
        found = sweep.run()
        assert shown
    short = shortened(SMALL)
    assert [point.value for point in found.points] == [0.01, 0.3]
    for point in found.points:
        assert point.losses == (round(plain(short, "max_lr", point.value), 4),)
        assert (point.steps, point.tokens_per_step) == ((8,), 32)
    assert sweep.error is None
    assert not sweep.is_training
    assert sweep.recipe == SMALL.replace(max_lr=found.chosen.value, min_lr=0.0), "whole, not a tenth"
    assert "finished" in sweep.chart.data["status"]
    assert not sweep.run_button.disabled
    assert sweep.stop_button.disabled


def test_a_run_that_diverges_is_a_point_and_the_sweep_goes_on(project):
    sweep = Sweep(SMALL.replace(optimizer="adamw", grad_clip=0.0, qk_norm=False), values=[0.01, 1e30])
    sweep.start()
    assert sweep.wait(60)
    assert sweep.error is None
    good, diverged = sweep.valley.points
    assert diverged.loss is None
    assert diverged.steps[0] < 8
    assert sweep.valley.good == good


def test_block_sizes_have_their_floors(project, known_text):
    sweep = Sweep(SMALL.replace(dataset=known_text), "block_size")
    sweep.start()
    assert sweep.wait(60)
    assert [point.value for point in sweep.valley.points] == [4, 8, 16, 32, 64]
    assert [point.floor for point in sweep.valley.points] == [2.0, 1.0, 0.5, 0.25, 0.125], "8 / T"
    assert [point.tokens_per_step for point in sweep.valley.points] == [8, 16, 32, 64, 128]


def test_the_time_left_counts_scoring_and_building_and_is_told_before_the_press(project):
    """Two steps and a long scoring: by the steps alone almost nothing would be left."""
    short = SMALL.replace(max_steps=20, eval_batches=None)
    sweep = Sweep(short, values=[0.01, 0.02, 0.03])
    runs = sweep._new_runs()
    each = runs.seconds() / 3
    assert each > BUILDING + sweep._forecaster.for_steps(shortened(short), 20)
    assert f"It takes {forecast.about_seconds(3 * each)} on this machine" in sweep.chart.data["status"]
    # As fast as forecast: what is left is the forecast.
    half = sweep._forecaster.for_steps(shortened(short), 10)
    records = [StepRecord(i, 2.0, None, 0.1, 32 * (i + 1), half * (i + 1) / 10, None, 0.0) for i in range(10)]
    left = runs._seconds_left(shortened(short), records)
    assert left == pytest.approx(3 * each - BUILDING - half, rel=0.01)
    # The first run took three times as long as forecast, whatever its steps took: so will the others.
    runs.points.append(Point(0.01, (2.0,), (20,), 32))
    runs._begun, runs._ended = 100.0, 100.0 + 3 * each
    assert runs._seconds_left(shortened(short), records) == pytest.approx(3 * (2 * each - BUILDING - half), rel=0.01)


def wait_for_steps(sweep: Sweep, seconds: float = 60) -> None:
    ready = threading.Event()
    sweep.chart.observe(lambda change: ready.set() if ", step " in change["new"]["status"] else None, names="data")
    assert ready.wait(seconds), "the sweep did not begin"


def test_one_trains_at_a_time(project):
    """A sweep stops a lab that trains, and a lab that starts stops the sweep."""
    endless = SMALL.replace(max_steps=1_000_000, eval_every=0)
    lab = Lab(endless)
    sweep = lab.sweep()
    assert sweep.setting == "max_lr"
    lab.start()
    sweep.start()
    wait_for_steps(sweep)
    assert not lab.is_training
    assert "A sweep of this notebook began" in lab.panel.view.chart.data["status"]
    with pytest.raises(CourseError, match="This sweep is going on"):
        sweep.run()
    lab.start(steps=1)
    assert sweep.wait(60)
    assert "stopped: 0 of 5 runs are kept. Another lab of this notebook began" in sweep.chart.data["status"]
    lab.stop()
    assert lab.wait(60)


def test_a_stop_keeps_what_is_over(project):
    sweep = Sweep(SMALL.replace(max_steps=20), "max_lr", values=[0.01, 0.02, 0.03])
    sweep.chart.observe(lambda change: sweep.stop() if change["new"]["points"][0]["loss"] else None, names="data")
    sweep.start()
    assert sweep.wait(60)
    assert [point.value for point in sweep.valley.points] == [0.01]
    assert "stopped: 1 of 3 runs are kept" in sweep.chart.data["status"]
    assert not sweep.run_button.disabled


def test_an_error_in_the_background_is_told(project, monkeypatch):
    def fail(recipe):
        raise CourseError("No memory for this.")

    sweep = Sweep(SMALL)
    monkeypatch.setattr("course_lib.lab.sweep_runs.build_trainer", fail)
    sweep.start()
    assert sweep.wait(60)
    assert "No memory for this." in sweep.chart.data["status"]
    assert not sweep.run_button.disabled


# ---- the recording -----------------------------------------------------------------------------------


@pytest.fixture
def record(project, monkeypatch) -> dict:
    """A recorded sweep of `SMALL`, made by the command, from two seeds."""
    monkeypatch.setattr(reference, "BUNDLED", project / "nowhere" / "course_lib" / "reference")
    monkeypatch.setattr(recording, "FACTORS", {"max_lr": (), "block_size": ()})
    monkeypatch.setattr("course_lib.measurements.load_recipe", lambda name: SMALL)
    assert course(["record", "lab_sweep", "--seeds", "2"]) == 0
    return reference.recorded("lab_sweep").content["details"]


def test_what_was_recorded_stands_there_until_the_learner_runs_a_sweep(record):
    assert record["seeds"] == [1, 2]
    assert record["knowing_nothing"] == round(math.log(build_trainer(SMALL).tokenizer.vocab_size), 4)
    assert list(record["sweeps"]) == list(FACTORS)
    first = record["sweeps"]["max_lr"][0]
    short = shortened(SMALL)
    assert first["losses"] == [round(plain(short.replace(seed=seed), "max_lr", 0.002), 4) for seed in (1, 2)]
    sweep = Sweep(SMALL)
    assert len(sweep.valley.points) == 5
    assert "Recorded" in sweep.chart.data["heading"]
    assert "mean of 2 seeds" in sweep.chart.data["heading"]
    assert "over 2 seeds" in sweep.recorded("block_size").alt
    assert Sweep(SMALL.replace(dropout=0.1)).valley.points == (), "of other settings nothing was recorded"
    with pytest.raises(CourseError, match="No sweep of"):
        Sweep(SMALL.replace(dropout=0.1)).recorded()
    sweep.start()
    assert sweep.wait(60)
    assert "Recorded" not in sweep.chart.data["heading"]
    assert all(len(point.losses) == 1 for point in sweep.valley.points)
