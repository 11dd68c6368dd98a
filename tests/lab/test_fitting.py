"""What is refused before a run begins, and how forecast and guess are scored after it."""

import math
from pathlib import Path

import numpy as np
import pytest

from course_lib.config import MODEL_KINDS
from course_lib.errors import CourseError
from course_lib.lab import Lab, fitting, forecast, memory
from course_lib.lab import session as session_module
from course_lib.lab.fitting import too_large
from course_lib.lab.forecast import Forecast, Forecaster, in_bytes, in_seconds, memory_for
from course_lib.lab.memory import available, measured_peak
from course_lib.lab.run import Trial
from course_lib.models import build_model
from course_lib.recipes import load_recipe, names
from course_lib.recipes.build import build_trainer
from course_lib.training import StepRecord

pytestmark = pytest.mark.usefixtures("one_thread")

USUAL = load_recipe("tinytales_cpu").replace(device="cpu")
SMALL = USUAL.replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1
)
V = 53


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "kind" not in request.fixturenames:  # the forecast's own test measures
        monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: forecast.Speed(1e-11, 1e-3, 2e-3))
    monkeypatch.setattr(session_module, "LENGTH", 12)


# Memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.05])
def test_what_is_advised_fits_and_is_the_largest_that_does(monkeypatch, share):
    recipe, needs = USUAL.replace(batch_size=64, block_size=256), lambda r: memory_for(r, V)
    free = share * needs(recipe)
    monkeypatch.setattr(fitting, "available", lambda device: free)
    words = too_large(recipe, needs)
    assert words.startswith(f"This run needs about {in_bytes(needs(recipe))} of memory, and {in_bytes(free)} are free.")
    labels = {"batch size": "batch_size", "block_size": "block_size", "width": "n_embd", "depth": "n_layer"}
    moves = dict(move.rsplit(" to ", 1) for move in words.split("Move ")[1].rstrip(".").split(" or "))
    assert "batch size" in moves
    for label, value in moves.items():
        name = labels[label]
        assert needs(recipe.replace(**{name: int(value)})) <= free
        usual = sorted(v for v in fitting.CHOICES[name].values if int(value) < v < recipe.all_settings()[name])
        assert all(needs(recipe.replace(**{name: v})) > free for v in usual[:1])


def test_what_fits_is_not_refused(monkeypatch):
    needs = memory_for(USUAL, V)
    for free in (needs, 10 * needs, None):
        monkeypatch.setattr(fitting, "available", lambda device, free=free: free)
        assert too_large(USUAL, lambda recipe: memory_for(recipe, V)) is None
    monkeypatch.setattr(fitting, "available", lambda device: 10.0)
    assert "move several down" in too_large(USUAL, lambda recipe: memory_for(recipe, V))


def test_a_run_that_does_not_fit_is_refused_before_it_begins(project, monkeypatch):
    lab = Lab(SMALL)
    monkeypatch.setattr(fitting, "available", lambda device: 45e6)
    lab.controls.sliders["n_embd"].value = 256
    assert "This run needs about" in lab.controls.readout.value, "before anything is pressed"
    lab.panel.buttons.buttons["start"].click()
    lab.panel.buttons.buttons["step"].click()
    data = lab.panel.view.chart.data
    assert (data["state"], lab.runs, lab.thread) == ("not started", [], None)
    assert "Move width to" in data["status"]
    for begin in (lab.start, lab.train):
        with pytest.raises(CourseError, match="Move width to") as caught:
            begin()
        assert len(caught.value._render_traceback_()) == 1
    lab.controls.sliders["n_embd"].value = 16
    monkeypatch.setattr(fitting, "available", lambda device: 1e12)
    lab.start()
    assert lab.wait(60)
    assert [run.number for run in lab.runs] == [1], "a refusal takes no number"


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    assert available("cpu") == 400_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available("cpu") > 1e6
    old = tmp_path / "old" / "memory"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("2000")
    (old / "memory.usage_in_bytes").write_text("1500")
    (old / "memory.stat").write_text("total_inactive_file 100\n")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path / "old")
    assert available("cpu") == 600


def test_what_is_free_is_what_psutil_says():
    psutil = pytest.importorskip("psutil", reason="psutil comes with Jupyter's kernel")
    assert available("cpu") <= 1.05 * psutil.virtual_memory().available + 1e8


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_the_peak_is_what_was_held_at_once():
    with measured_peak("cpu") as peak:
        for _ in range(3):
            held = np.ones(20_000_000)  # 160 MB, written to
            del held
        assert peak() == pytest.approx(160e6, rel=0.1)
    with measured_peak("cpu") as peak:
        assert peak() < 20e6, "each begins anew"


# A text that is too short ---------------------------------------------------------------------------------


def test_too_short_a_text_is_refused_when_the_lab_is_made(project):
    (project / "short.txt").write_text("one two three four " * 40)
    with pytest.raises(CourseError, match=r"split of .* is too short.* with block_size 256") as caught:
        Lab(SMALL.replace(dataset="text:short.txt", block_size=256))
    (line,) = caught.value._render_traceback_()
    assert "of at most 75" in line
    assert Lab(SMALL.replace(dataset="text:short.txt", block_size=75)).recipe.all_settings()["block_size"] == 75


# Forecasts of every kind of model --------------------------------------------------------------------------

KINDS = sorted({load_recipe(name).kind for name in names()})


@pytest.mark.parametrize("kind", KINDS)
def test_a_forecast_serves_every_kind_of_model(kind):
    assert set(KINDS) == set(MODEL_KINDS)
    recipe = next(load_recipe(name) for name in names() if load_recipe(name).kind == kind).replace(
        device="cpu", precision="fp32", compile=False, n_layer=1, n_embd=64, n_head=2, batch_size=2, block_size=64
    )
    forecaster = Forecaster(recipe, 256, 10_000)
    found = forecaster.forecast(recipe)
    model = build_model(recipe.model(256))
    assert found.weights == sum(p.numel() for p in model.parameters())
    assert found.tokens == recipe.train.max_steps * 2 * recipe.train.grad_accum * 64
    assert math.isfinite(found.seconds)
    assert found.seconds > 0
    assert found.memory > 12 * found.weights, "weights, gradients and AdamW's or Muon's state"
    for name, more in {"batch_size": 8, "block_size": 256, "n_layer": 2, "n_embd": 128}.items():
        larger = forecaster.forecast(recipe.replace(**{name: more}))
        assert larger.seconds > found.seconds, name
        assert larger.memory > found.memory, name
    assert forecaster.forecast(recipe.replace(max_steps=2 * recipe.train.max_steps)).tokens == 2 * found.tokens


# Scores ---------------------------------------------------------------------------------------------------


def trial(seconds: float, steps: int = 10, **more) -> Trial:
    recipe = SMALL.replace(max_steps=10)
    run = Trial(recipe, build_trainer(recipe), is_over=True, **more)
    run.trainer.step = steps
    at = lambda i: seconds * (i + 1) / steps  # noqa: E731
    run.records += [StepRecord(i, 2.0, 1.5 if i + 1 == steps else None, 0.1, i, at(i), None, 0.0) for i in range(steps)]
    return run


def test_forecast_and_guess_are_scored(project):
    run = trial(44.0, forecast=Forecast(40.0, 300e6, 1, 1), memory=330e6, guess=1.2)
    assert run.score_words() == (
        "Time: forecast 40 s, measured 44 s (10% more). Memory: forecast 300 MB, measured 330 MB (10% more). "
        "Validation loss: you guessed 1.20, it ended at 1.50."
    )
    tiny = trial(44.0, forecast=Forecast(44.0, 1.2e6, 1, 1), memory=10e6)
    assert "Memory: forecast 1 MB, measured 10 MB (too little to compare)" in tiny.score_words(), "not 733% more"
    small = trial(44.0, forecast=Forecast(44.0, 18e6, 1, 1), memory=71e6)
    assert "measured 71 MB (too little to compare)" in small.score_words(), "not 294% more"


def test_what_was_not_forecast_guessed_or_measured_is_not_scored(project):
    assert trial(44.0).score_words() == ""
    assert trial(39.9, forecast=Forecast(40.0, 30e6, 1, 1)).score_words() == (
        "Time: forecast 40 s, measured 40 s (as forecast)."
    )
    run = trial(44.0, guess=1.2)
    run.is_over = False
    assert run.score_words() == ""


def test_a_run_that_was_stopped_is_scored_by_the_steps_it_took(project):
    run = trial(5.0, steps=4, forecast=Forecast(25.0, 30e6, 1, 1), guess=1.2)
    assert run.score_words() == (
        "Time for 4 steps: forecast 10 s, measured 5 s (50% less). "
        "Validation loss: you guessed 1.20, it was stopped at 1.50."
    )


def test_a_run_of_the_lab_has_its_forecast_and_its_guess(project):
    lab = Lab(SMALL)
    lab.panel.view.chart.guess = 3.5
    promised = lab._forecaster.forecast(SMALL)
    lab.start()
    assert lab.wait(60)
    (run,) = lab.runs
    assert (run.forecast, run.guess) == (promised, 3.5)
    assert run.forecast.weights == sum(p.numel() for p in run.model.parameters())
    assert run.forecast.tokens == run.records[-1].tokens
    assert run.score_words() in lab.panel.tray.rows[0]["note"]
    assert run.score_words().startswith("Time: forecast ")
    assert f"you guessed 3.50, it ended at {run.val_loss:.2f}" in run.score_words()
    assert lab.panel.view.chart.guess is None, "the next run is to be guessed anew"
    lab.start()
    assert lab.wait(60)
    assert "guessed" not in lab.runs[-1].score_words()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_the_memory_of_a_run_is_near_its_forecast(project):
    recipe = USUAL.replace(max_steps=3, batch_size=32, eval_batches=1)
    lab = Lab(recipe)
    lab.start()
    assert lab.wait(60)
    (run,) = lab.runs
    assert 0.5 * run.forecast.memory < run.memory < 3 * run.forecast.memory + 100e6


# True words -----------------------------------------------------------------------------------------------


def test_the_status_says_the_rate_in_force_and_the_peak(project):
    trainer = build_trainer(SMALL.replace(max_steps=40, warmup_steps=10, max_lr=0.02))
    run = Trial(SMALL, trainer)
    for record in trainer:
        run.records.append(record)
        assert f"learning rate {record.lr:.3g} (peak 0.02)" in run.status()
    assert len({record.lr for record in run.records}) > 10, "or this test shows nothing"
    constant = SMALL.replace(schedule="constant", warmup_steps=0)
    run = Trial(constant, trainer, run.records[:1])
    assert f"learning rate {run.records[0].lr:.3g}," in run.status()
    assert "peak" not in run.status()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.24, "0.24 s"), (4.44, "4.4 s"), (41.2, "41 s"), (125, "2.1 minutes"), (7200, "2 hours")]
)
def test_a_time_is_said_to_two_digits(seconds, words):
    assert in_seconds(seconds) == words
