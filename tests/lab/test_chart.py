"""What the live chart sends to its page: rows, plans, lines, words."""

import itertools
import json
import math
import re

import comm
import pytest

from course_lib.lab.chart import TAIL, LossChart
from course_lib.lab.curves import LOSS, MOST_ROWS, STEP, VAL, Curve, bucket_size, plan_of, thinned
from course_lib.optim import scheduled_lr
from course_lib.plots import RUN_COLORS
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.training import StepRecord
from course_lib.widgets.style import DASHES, MARKERS, run_style

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "tinytales_cpu"
SMALL = load_recipe(RECIPE).replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1,
    warmup_steps=0, schedule="constant", device="cpu",
)  # fmt: skip


# Chart ----------------------------------------------------------------------------------------------------


def rows(*losses: float, val: float | None = None) -> list[StepRecord]:
    last = len(losses) - 1
    return [StepRecord(i, x, val if i == last else None, 0.1, i, 1.0, None, 0.0) for i, x in enumerate(losses)]


def drawn(chart: LossChart) -> list[list]:
    """The rows of the curve that grows, as the page puts them together."""
    return [*chart.past, *chart.tail]


@pytest.mark.parametrize("count", [1, MOST_ROWS, MOST_ROWS + 1, 5000, 12_345])
def test_a_long_curve_is_thinned_and_no_leap_is_lost(count):
    losses = [math.sin(i) for i in range(count)]
    losses[count // 3], losses[count // 2] = 50.0, -50.0
    rows = [[i, loss, 0.1, None, i, 1.0, 2.0 if i == count // 5 else None] for i, loss in enumerate(losses)]
    few = thinned(rows, bucket_size(count))
    assert len(few) <= MOST_ROWS + 3
    assert len(few) == count or count > MOST_ROWS
    assert [row[STEP] for row in few] == sorted({row[STEP] for row in few})
    assert {0, count // 5, count // 3, count // 2, count - 1} <= {row[STEP] for row in few}


def test_the_chart_holds_the_curve_the_lines_and_the_words(project):
    records = list(build_trainer(SMALL))
    chart = LossChart(max_steps=6, vocab_size=53, lines={"the floor": 0.3})
    assert chart.data["curve"] is None
    empty = chart.data
    chart.show(Curve(records), 6, {"the floor": 0.3}, state="finished", status="step 6 of 6")
    found = drawn(chart)
    assert [row[STEP] for row in found] == [0, 1, 2, 3, 4, 5]
    wanted = [[r.step, r.train_loss, r.lr, r.grad_norm, r.tokens, r.seconds, r.val_loss] for r in records]
    for row, record in zip(found, wanted, strict=True):
        assert [v for v in row if v is not None] == pytest.approx(
            [v for v in record if v is not None], abs=6e-3, rel=1e-4
        )
    assert [row[STEP] + 1 for row in found if row[VAL] is not None] == [3, 6]
    assert chart.data["lines"] == [
        {"label": "knowing nothing: ln 53 = 3.97", "value": math.log(53)},
        {"label": "the floor: 0.30", "value": 0.3},
    ]
    assert (chart.data["state"], chart.data["status"]) == ("finished", "step 6 of 6")
    assert "in 6 steps" in chart.data["alt"]
    for end in ("x_max", "y_max"):  # the axes do not move while a good run goes on
        assert chart.data[end] == empty[end]
    assert not re.search("0x[0-9a-f]+", repr(chart))


def test_what_the_page_gets_is_the_whole_run_however_often_it_is_told(monkeypatch):
    """Grown in uneven leaps across the length at which it is thinned: what was sent before still fits."""
    growing: list[StepRecord] = []
    chart = LossChart(max_steps=3 * MOST_ROWS, vocab_size=24)
    longest = 0
    for leap in itertools.cycle((1, 7, 40, 300)):
        growing += [
            StepRecord(i, 1 + i % 7, 1.0 if i % 500 == 499 else None, 0.1, i, 0.1, None, 0.0)
            for i in range(len(growing), len(growing) + leap)
        ]
        chart.show(Curve(growing), 3 * MOST_ROWS)
        found = drawn(chart)
        size = bucket_size(len(growing))
        assert [row[STEP] for row in found] == sorted({row[STEP] for row in found})
        assert found[-1][STEP] == len(growing) - 1
        assert [row[STEP] for row in found if row[VAL] is not None] == list(range(499, len(growing), 500))
        assert len(found) <= MOST_ROWS + TAIL
        assert size > 1 or len(found) == len(growing)
        longest = max(longest, len(json.dumps(chart.tail)))
        if len(growing) > 2.5 * MOST_ROWS:
            break
    assert longest < 20_000, "what each update sends stays small, however long the run"


def test_another_run_begins_anew():
    chart = LossChart(max_steps=4, vocab_size=24)
    chart.show(Curve(rows(3.0, 2.0)), 4)
    chart.show(Curve(rows(4.0)), 4)
    assert [row[LOSS] for row in drawn(chart)] == [4.0]
    chart.show(None, 4)
    assert drawn(chart) == []


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "trapezoid"])
def test_the_plan_is_the_schedule(schedule):
    """Between the steps that are drawn the line lies on the schedule, by the formula of `lr_at`."""
    config = SMALL.replace(schedule=schedule, warmup_steps=20, max_steps=1050, max_lr=0.02, min_lr=0.001).train
    plan = plan_of(config)
    assert [plan[0][0], plan[-1][0]] == [0, 1049]
    for (left, low), (right, high) in itertools.pairwise(plan):
        for step in range(left, right + 1):
            between = low + (high - low) * (step - left) / (right - left)
            assert between == pytest.approx(scheduled_lr(config, step), abs=0.02 * 0.005)
    assert plan_of(config, 1049)[0][0] == 1049
    assert plan_of(config, 1050) == []


def test_a_moved_peak_moves_what_lies_ahead():
    config = SMALL.replace(schedule="trapezoid", max_steps=100).train
    chart = LossChart(max_steps=100, vocab_size=24)
    chart.show(Curve(rows(3.0, 2.0), config=config), 100)
    assert chart.data["curve"]["plan"][0] == (2, 0.02)
    chart.show(Curve(rows(3.0, 2.0), config=config.replace(max_lr=0.5)), 100)
    assert chart.data["curve"]["plan"][0] == (2, 0.5)
    chart.show(None, 100, planned=config)
    assert chart.data["plan"][0] == (0, 0.02)


def test_lines_move_by_themselves_and_the_axis_holds_them():
    chart = LossChart(max_steps=6, vocab_size=24, lines={"floor": 0.3})
    chart.show(None, 6, {"floor": 5.0})
    assert chart.data["lines"][1]["value"] == 5.0
    assert chart.data["y_max"] > 5


def test_several_runs_are_named_and_no_two_look_alike():
    chart = LossChart(max_steps=3, vocab_size=24)
    finished = [Curve(rows(3.0, 2.0, 1.0 + i, val=1.0), f"run {i + 1}", run_style(i)) for i in range(6)]
    chart.show(Curve(rows(3.0), "run 7", run_style(6)), 3, {}, finished)
    assert len(chart.finished) == 6
    looks = [(c["dash"], c["marker"]) for c in [*chart.finished, chart.data["curve"]]]
    assert len(set(looks[:6])) == 6, "not by color alone"
    names = [entry["label"] for entry in [*chart.finished, chart.data["curve"]]]
    assert names == [f"run {i + 1}" for i in range(7)]
    for i in range(7):
        assert f"run {i + 1}: training loss goes from 3.0" in chart.data["alt"]


def test_the_axis_of_steps_holds_the_longest_run():
    chart = LossChart(max_steps=4, vocab_size=24)
    long = Curve(rows(*[2.0] * 9), "run 1")
    chart.show(Curve(rows(3.0), "run 2"), 4, {}, [long])
    assert chart.data["x_max"] == 9
    chart.show(Curve(rows(3.0), "run 2"), 20, {}, [long])
    assert chart.data["x_max"] == 20
    chart.show(None, 20, {}, [long])
    assert chart.data["x_max"] == 20, "the axis does not jump when a run stops"


def test_curves_that_do_not_grow_are_sent_once(monkeypatch):
    monkeypatch.setattr(comm, "create_comm", comm.DummyComm)  # whatever kernel another test has loaded
    sent: list[set[str]] = []
    chart = LossChart(max_steps=4, vocab_size=24)
    monkeypatch.setattr(chart, "send_state", lambda key=None: sent.append({key} if isinstance(key, str) else set(key)))
    finished = [Curve(rows(3.0, 2.0), "run 1")]
    growing = rows(3.0)
    chart.show(Curve(growing, "run 2"), 4, {}, finished)
    growing += rows(3.0, 2.9)[1:]
    chart.show(Curve(growing, "run 2"), 4, {}, list(finished))
    assert sent == [{"data", "finished", "past"}, {"data", "tail"}], "one message each time"


def test_a_rate_that_was_moved_is_noted_in_the_chart_and_in_words():
    chart = LossChart(max_steps=4, vocab_size=24)
    chart.show(Curve(rows(3.0, 2.0, 1.0), notes=[(2, "lr 0.005")]), 4)
    assert chart.data["curve"]["notes"] == [[2, "lr 0.005"]]
    assert "At step 2: lr 0.005." in chart.data["alt"]


def test_an_exploded_run_has_finite_numbers_and_an_axis_for_the_others():
    chart = LossChart(max_steps=4, vocab_size=24)
    chart.show(Curve(rows(3.0, 1e30, math.inf)), 4)
    assert [row[LOSS] for row in drawn(chart)] == [3.0, 1e30, None]
    json.dumps([chart.data, drawn(chart)], allow_nan=False)
    assert chart.data["y_max"] < 10


def test_losses_are_per_token_or_per_whatever_is_predicted():
    assert LossChart(max_steps=4, vocab_size=24).data["unit"] == "token"
    chart = LossChart(max_steps=4, vocab_size=24, unit="pixel")
    chart.show(Curve(rows(3.0, 2.0), kind="ghost"), 4)
    assert (chart.data["unit"], chart.data["curve"]["kind"]) == ("pixel", "ghost")
    assert "loss in nats per pixel against" in chart.data["alt"]


def test_styles_differ_by_more_than_color_and_come_again_changed():
    styles = [run_style(i) for i in range(12)]
    assert [style["color"] for style in styles] == RUN_COLORS * 2
    assert len({tuple(style.values()) for style in styles}) == 12
    assert len(set(DASHES)) == len(set(MARKERS)) == len(RUN_COLORS)
