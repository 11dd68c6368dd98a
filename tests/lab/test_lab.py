"""The lab, without a browser: what the sliders say, and that it drives the same trainer as everyone."""

import itertools
import math
import re
import shlex
import signal
import subprocess
import sys

import pytest
import torch

from course_lib import cli
from course_lib.checkpoint.metrics import read_metrics
from course_lib.errors import CourseError
from course_lib.lab import Controls, Lab, LossChart
from course_lib.lab import lab as lab_module
from course_lib.lab.chart import MOST_POINTS, thinned
from course_lib.lab.controls import offered
from course_lib.lab.driver import drive_here
from course_lib.lab.run import LabRun, command_for
from course_lib.recipes import Recipe, load_recipe
from course_lib.recipes.build import build_trainer

SMALL = load_recipe("numbers_cpu").replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1, device="cpu"
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the lab displays."""
    found: list[object] = []
    monkeypatch.setattr(lab_module, "display", found.append)
    return found


# Controls -------------------------------------------------------------------------------------------------


def test_a_slider_offers_the_usual_values_and_the_recipes_own():
    assert offered("block_size", 64) == [8, 16, 32, 64, 128, 256]
    assert offered("block_size", 48, largest=100) == [8, 16, 32, 48, 64]
    assert offered("max_lr", 0.02).count(0.02) == 1
    assert offered("dropout", 0.0)[0] == 0


def test_moving_a_slider_changes_the_recipe_and_the_words():
    controls = Controls(SMALL, lambda recipe: f"T = {recipe.all_settings()['block_size']}")
    assert controls.recipe.all_settings() == SMALL.all_settings()
    assert controls._readout.value == "T = 16"
    controls.sliders["block_size"].value = 32
    controls.sliders["dropout"].value = 0.1
    assert controls.values == {"block_size": 32, "dropout": 0.1, "max_lr": 0.02}
    assert controls.recipe == SMALL.replace(block_size=32, dropout=0.1, max_lr=0.02)
    assert controls._readout.value == "T = 32"


def test_controls_can_be_built_for_other_settings():
    controls = Controls(SMALL, lambda recipe: "", names=("max_lr",))
    assert controls.values == {"max_lr": 0.02}


# Chart ----------------------------------------------------------------------------------------------------


def test_a_curve_is_thinned_only_when_it_is_long():
    points = [(i, float(i)) for i in range(5000)]
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]
    few = thinned(points)
    assert len(few) == MOST_POINTS
    assert (few[0], few[-1]) == (points[0], points[-1])
    assert {b[0] - a[0] for a, b in itertools.pairwise(few)} <= {8, 9}


def test_the_chart_holds_the_curve_the_line_and_the_words(project):
    records = list(build_trainer(SMALL))
    chart = LossChart(max_steps=6, vocab_size=24, lines={"the floor": 0.3})
    assert [mark["points"] for mark in chart.data["marks"]] == [[], []]
    empty = chart.data
    chart.show(records, "step 6 of 6")
    train, val = chart.data["marks"]
    assert train["points"] == [(r.step, r.train_loss) for r in records]
    assert val["points"] == [(r.step + 1, r.val_loss) for r in records if r.val_loss is not None]
    assert [point[0] for point in val["points"]] == [3, 6]
    assert chart.data["lines"] == [
        {"label": "knowing nothing: ln 24 = 3.18", "value": math.log(24)},
        {"label": "the floor", "value": 0.3},
    ]
    assert chart.data["status"] == "step 6 of 6"
    assert "in 6 steps" in chart.data["alt"]
    for end in ("x_max", "y_max"):  # the axes do not move while a good run goes on
        assert chart.data[end] == empty[end]
    assert not re.search("0x[0-9a-f]+", repr(chart))


# The whole ------------------------------------------------------------------------------------------------


def test_the_lab_says_what_the_settings_mean(project):
    lab = Lab("numbers_cpu")
    words = lab.controls._readout.value
    weights = build_trainer(load_recipe("numbers_cpu")).model.num_parameters()
    assert f"{weights:,} weights" in words
    assert "12 × 64 = 768 tokens; 300 steps read 230,400" in words
    assert "<code>course train numbers_cpu</code>" in words
    lab.controls.sliders["block_size"].value = 128
    assert "12 × 128 = 1,536 tokens" in lab.controls._readout.value


def test_a_cell_shows_the_sliders_or_a_text_in_their_place(project):
    lab = Lab(SMALL)
    bundle = lab._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == lab.controls.widget.model_id
    assert bundle["text/plain"] == "Lab('numbers_cpu'): run this cell to see its sliders."


def test_block_size_ends_where_the_text_does(project):
    (project / "short.txt").write_text("one two three four " * 40)
    lab = Lab(SMALL.replace(dataset="text:short.txt"))
    assert max(value for _, value in lab.controls.sliders["block_size"].options) == 64


def test_making_a_lab_draws_no_random_numbers(project):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    Lab(SMALL).controls.sliders["block_size"].value = 8
    assert torch.get_rng_state().equal(before)


def test_the_lab_trains_what_a_plain_loop_trains(project, shown):
    lab = Lab(SMALL)
    lab.controls.sliders["dropout"].value = 0.1
    run = lab.train(max_steps=4)
    plain = build_trainer(SMALL.replace(dropout=0.1, max_steps=4))
    assert [r.train_loss for r in run.records] == [r.train_loss for r in plain]
    assert all(a.equal(b) for a, b in zip(run.model.parameters(), plain.model.parameters()))
    assert [r.val_loss is not None for r in run.records] == [False, False, True, True]
    assert run.val_loss == run.records[-1].val_loss
    assert lab.runs == [run]
    (chart,) = shown
    assert len(chart.data["marks"][0]["points"]) == 4
    assert chart.data["status"].startswith("step 4 of 4, training ")


def test_settings_are_read_when_training_begins_and_each_run_is_new(project, shown):
    lab = Lab(SMALL)
    lab.controls.sliders["block_size"].value = 8
    first = lab.train()
    lab.controls.sliders["block_size"].value = 32
    second = lab.train()
    assert [run.model.config.block_size for run in lab.runs] == [8, 32]
    assert first.records != second.records
    assert len(shown) == 2


def test_the_command_repeats_the_run(project, shown):
    lab = Lab(SMALL)
    lab.controls.sliders["max_lr"].value = 0.05
    run = lab.train(max_steps=3)
    program, *words = shlex.split(run.command())
    assert (program, words[:2]) == ("course", ["train", "numbers_cpu"])
    assert cli.run([*words, "--out-dir", "again"]) == 0
    assert [row["train_loss"] for row in read_metrics("again")] == [r.train_loss for r in run.records]


def test_the_command_names_only_what_differs():
    assert command_for(load_recipe("numbers_cpu")) == "course train numbers_cpu"
    changed = load_recipe("numbers_cpu").replace(dropout=0.1, block_size=32)
    assert command_for(changed) == "course train numbers_cpu --block-size 32 --dropout 0.1"
    assert command_for(Recipe("mine", {"dropout": 0.1})) == "course train mine.toml"


def test_a_run_writes_the_same_text_for_the_same_seed(project, shown):
    run = Lab(SMALL).train()
    text = run.sample(length=50)
    assert len(text) == 50
    assert text == run.sample(length=50)
    assert text != run.sample(length=50, seed=1)
    assert run.sample(length=5, start="nine") != "nine"
    assert repr(run).startswith("LabRun(6 of 6 steps, validation loss ")
    with pytest.raises(CourseError, match="'Q'"):
        run.sample(start="Q")


# Stops and falls ------------------------------------------------------------------------------------------


def test_watchers_are_told_seldom_and_at_the_end(project):
    records, told = [], []
    drive_here(build_trainer(SMALL), records, lambda: told.append(len(records)), update_seconds=1000)
    assert told == [1, 6]
    told.clear()
    drive_here(build_trainer(SMALL), [], lambda: told.append(1), update_seconds=0)
    assert len(told) == 7


def test_the_stop_button_ends_a_run_and_keeps_it(project, shown, monkeypatch, capsys):
    """JupyterLab's stop button is a SIGINT, as is Ctrl-C."""
    lab, show, presses = Lab(SMALL), LossChart.show, []

    def show_and_press_stop(chart, records, status):
        show(chart, records, status)
        if records and not presses:
            presses.append(len(records))
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(LossChart, "show", show_and_press_stop)
    before = signal.getsignal(signal.SIGINT)
    run = lab.train()
    assert signal.getsignal(signal.SIGINT) is before
    assert [r.step for r in run.records] == [0]
    assert run.trainer.step == 1
    assert shown[0].data["status"].startswith("step 1 of 6")
    assert capsys.readouterr().out == "Stopped after 1 of 6 steps. What was learned is kept.\n"


def test_a_second_press_stops_at_once_and_keeps_it_too(project, shown, monkeypatch):
    lab = Lab(SMALL)
    build = lab_module.build_trainer

    def build_with_two_presses(recipe):
        trainer = build(recipe)

        def press_twice():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(trainer, "evaluate", press_twice)
        return trainer

    monkeypatch.setattr(lab_module, "build_trainer", build_with_two_presses)
    with pytest.raises(KeyboardInterrupt):
        lab.train()
    assert [r.step for r in lab.runs[-1].records] == [0, 1]
    assert shown[0].data["status"].startswith("step 2 of 6")


def test_a_run_that_diverges_says_so_and_keeps_its_steps(project, shown):
    lab = Lab(SMALL.replace(optimizer="adamw", zero_init=False, max_lr=1e30, warmup_steps=0, schedule="constant"))
    with pytest.raises(CourseError, match="lower max_lr"):
        lab.train()
    records = lab.runs[-1].records
    assert 0 < len(records) < 6
    assert shown[0].data["status"].startswith(f"step {len(records)} of 6")


def test_a_run_without_steps_has_a_status(project):
    run = LabRun(SMALL, build_trainer(SMALL))
    assert run.status() == "step 0 of 6"
    assert run.val_loss is None
    assert repr(run).startswith("LabRun(0 of 6 steps; course train numbers_cpu --block-size 16 ")


def test_without_widgets_the_lab_says_what_to_install():
    code = "import sys; sys.modules['anywidget'] = None; import course_lib.lab"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install ipywidgets anywidget" in done.stderr
