"""The forecast: how it moves with the settings; how it is said. Nothing here is timed."""

import math

import pytest
import torch

from course_lib.lab import forecast
from course_lib.lab.forecast import (
    ALWAYS_TAKEN,
    FEW_BYTES,
    Forecaster,
    Speed,
    about_bytes,
    about_seconds,
    measured_speed,
    memory_for,
    seconds_for,
    step_seconds,
)
from course_lib.recipes import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "tinytales_cpu"
USUAL = load_recipe(RECIPE).replace(
    n_layer=2, n_head=4, n_embd=64, batch_size=8, block_size=32, device="cpu",
    eval_batches=None,
)  # fmt: skip
SPEED = Speed(per_flop=1e-11, per_layer=1e-3, per_step=2e-3)
V = 30


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n_layer", (1, 2, 4, 8)), ("n_embd", (32, 64, 128, 256)), ("batch_size", (1, 4, 16, 64)),
        ("block_size", (8, 32, 128, 512)),
    ],
)  # fmt: skip
def test_more_takes_longer_and_needs_more_memory(name, values, optimizer):
    recipes = [USUAL.replace(optimizer=optimizer, **{name: value}) for value in values]
    for of in (lambda r: seconds_for(r, V, 10_000, SPEED), lambda r: memory_for(r, V)):
        found = [of(recipe) for recipe in recipes]
        assert found == sorted(found)
        assert len(set(found)) == len(found)


def test_time_grows_with_the_steps_and_the_evaluations():
    once = seconds_for(USUAL.replace(max_steps=100, eval_every=0), V, 10_000, SPEED)
    twice = seconds_for(USUAL.replace(max_steps=200, eval_every=0), V, 10_000, SPEED)
    evaluation = 2 * once - twice
    assert twice - once == pytest.approx(100 * step_seconds(USUAL, V, SPEED))
    often = seconds_for(USUAL.replace(max_steps=100, eval_every=10), V, 10_000, SPEED)
    assert often == pytest.approx(once + 9 * evaluation), "after steps 10 to 90, and the last one is counted already"
    few = seconds_for(USUAL.replace(max_steps=100, eval_every=0, eval_batches=1), V, 10_000, SPEED)
    assert few - 100 * step_seconds(USUAL, V, SPEED) == pytest.approx(evaluation * 8 * 32 / 10_000)
    assert step_seconds(USUAL.replace(grad_accum=3), V, SPEED) < 3 * step_seconds(USUAL, V, SPEED)


def test_the_trials_give_usable_speeds_and_draw_no_random_numbers():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    speed = measured_speed(USUAL, V)
    assert torch.get_rng_state().equal(before)
    for value in (speed.per_flop, speed.per_layer):
        assert math.isfinite(value)
        assert value > 0
    assert speed.per_step >= 0


def test_a_run_that_was_measured_corrects_the_next_forecast():
    forecaster = Forecaster(USUAL, V, 10_000)
    recipe = USUAL.replace(max_steps=100)
    at_first = forecaster.seconds(recipe)
    forecaster.learn(recipe, 3, 1000.0)
    assert forecaster.seconds(recipe) == at_first, "three steps teach nothing"
    forecaster.learn(recipe, 50, 3 * forecaster.seconds(recipe.replace(max_steps=50)))
    assert forecaster.seconds(recipe) == pytest.approx(3 * at_first)
    assert forecaster.seconds(USUAL.replace(n_layer=8, max_steps=100)) > 3 * at_first
    forecaster.learn(recipe, 100, 12.5)
    assert forecaster.seconds(recipe) == pytest.approx(12.5)


def test_the_memory_that_the_system_really_took_corrects_the_next_forecast(monkeypatch):
    large = USUAL.replace(n_embd=256, batch_size=64)
    monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: SPEED)
    forecaster = Forecaster(large, V, 10_000)
    own = memory_for(large, V)
    assert forecaster.memory(large) == own + ALWAYS_TAKEN
    forecaster.learn(large, 3, 1.0, 5 * own)
    assert forecaster.memory(large) == own + ALWAYS_TAKEN, "three steps teach nothing"
    forecaster.learn(large, 20, 1.0, 1.5 * own + ALWAYS_TAKEN)
    assert forecaster.memory(large) == pytest.approx(1.5 * own + ALWAYS_TAKEN)
    forecaster.learn(large, 20, 1.0, 0.2 * own)
    forecaster.learn(large, 20, 1.0, None)
    assert forecaster.memory(large) == pytest.approx(1.5 * own + ALWAYS_TAKEN), "memory of a run before was free again"
    deep = large.replace(n_layer=8)
    assert forecaster.memory(deep) == pytest.approx(1.5 * memory_for(deep, V) + ALWAYS_TAKEN)


def test_what_any_run_takes_is_added_and_not_learned_as_a_factor(monkeypatch):
    """A run of 44 MB took 93 of them: the next one, four times as large, is not forecast twice as large again."""
    monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: SPEED)
    lab_s_own = load_recipe(RECIPE).replace(device="cpu")
    forecaster, own = Forecaster(lab_s_own, V, 10_000), memory_for(lab_s_own, V)
    assert FEW_BYTES < own < 60e6
    forecaster.learn(lab_s_own, 50, 1.0, own + ALWAYS_TAKEN)
    long = lab_s_own.replace(block_size=256)
    assert forecaster.memory(long) == pytest.approx(memory_for(long, V) + ALWAYS_TAKEN)


@pytest.mark.parametrize("taken", [1e6, 10e6, 60e6])
def test_what_the_system_took_for_a_tiny_model_is_not_held_against_a_large_one(monkeypatch, taken):
    """A few megabytes are ten times what it needs; a model of a gigabyte would be refused for want of ten."""
    monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: SPEED)
    forecaster = Forecaster(USUAL, V, 10_000)
    forecaster.learn(USUAL.replace(n_embd=32, n_layer=1, batch_size=4), 60, 1.0, taken)
    large = USUAL.replace(n_layer=8, n_embd=512)
    assert forecaster.memory(large) == memory_for(large, V) + ALWAYS_TAKEN


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about a second"), (4.4, "about 4 s"), (12.4, "about 10 s"), (41, "about 40 s"), (88, "about 90 s"),
        (125, "about 2.1 minutes"), (1000, "about 17 minutes"), (7200, "about 2 hours"), (10 * 86400, "about 10 days"),
    ],
)  # fmt: skip
def test_time_is_said_as_roughly_as_it_is_known(seconds, words):
    assert about_seconds(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(2e5, "less than 1 MB"), (31.7e6, "about 32 MB"), (347e6, "about 350 MB"), (2.34e9, "about 2.3 GB")],
)
def test_memory_is_said_to_two_digits(count, words):
    assert about_bytes(count) == words
