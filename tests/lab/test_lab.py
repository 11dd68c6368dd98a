"""The lab as a whole, without a browser: it drives the same trainer as everyone, from buttons and from cells."""

import itertools
import math
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from course_lib import cli
from course_lib.checkpoint.metrics import read_metrics
from course_lib.data import load_prepared, prepare
from course_lib.data.datasets import find_corpus
from course_lib.errors import CourseError
from course_lib.lab import Lab, LossChart, SampleWriter, forecast, moments
from course_lib.lab import driver as driver_module
from course_lib.lab import session as session_module
from course_lib.lab.run import Trial, command_for
from course_lib.lab.sample import LENGTH, SHORTEST
from course_lib.lab.sample_view import in_words, tells
from course_lib.lab.view import LiveView
from course_lib.recipes import Recipe, load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = "tinytales_cpu"
SMALL = load_recipe(RECIPE).replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1, device="cpu"
)
ENDLESS = SMALL.replace(max_steps=100_000, eval_every=0)
PATIENCE = 60
"""Seconds after which a test that waits gives up; a test that passes waits for no more than the work itself."""


@pytest.fixture(autouse=True)
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab times two small models when it is made; the tests of the forecast do that often enough."""
    monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: forecast.Speed(1e-11, 1e-3, 2e-3))


@pytest.fixture(autouse=True)
def short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run closes with a sample, and most tests ask no more of it than that it is there."""
    monkeypatch.setattr(session_module, "LENGTH", 12)
    monkeypatch.setattr(session_module, "SHORT_LENGTH", 12)


@pytest.fixture
def whole_samples(monkeypatch: pytest.MonkeyPatch, short_samples: None) -> None:
    """Samples as long as the lab's own, for tests that read them."""
    monkeypatch.setattr(session_module, "LENGTH", LENGTH)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A program that a shell started in the background ignores SIGINT; a notebook's kernel does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_until(condition, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE} s for: {what}"
        time.sleep(0.005)


def steps_done(lab: Lab) -> int:
    return len(lab.runs[-1].records) if lab.runs else 0


def begin(lab: Lab, steps: int = 3) -> None:
    """Press Start, and wait until so many steps are done."""
    before = len(lab.runs)
    lab.panel.buttons.buttons["start"].click()
    wait_until(lambda: len(lab.runs) > before and steps_done(lab) >= steps, f"{steps} steps")


def press(lab: Lab, name: str) -> None:
    lab.panel.buttons.buttons[name].click()


def pressable(lab: Lab) -> set[str]:
    return {name for name, button in lab.panel.buttons.buttons.items() if not button.disabled}


def chart(lab: Lab) -> dict:
    return lab.panel.view.chart.data


def end(lab: Lab) -> None:
    press(lab, "stop")
    assert lab.wait(PATIENCE)


# Settings -------------------------------------------------------------------------------------------------


def test_the_lab_says_what_the_settings_mean(project):
    lab = Lab(RECIPE)
    recipe = load_recipe(RECIPE)
    B, T, steps = recipe.train.batch_size, recipe.all_settings()["block_size"], recipe.train.max_steps
    words = lab.controls.readout.value
    assert f"{build_trainer(recipe).model.num_parameters():,} weights" in words
    assert f"{B} × {T} = {B * T:,} tokens; {steps:,} steps read {steps * B * T:,}" in words
    assert f"<code>course train {RECIPE}</code>" in words
    assert re.search(r"Forecast:</b> about .* on this machine, (about|less than) \d+ MB of memory", words)
    lab.controls.sliders["block_size"].value = 128
    assert f"{B} × 128 = {B * 128:,} tokens" in lab.controls.readout.value


def test_a_cell_shows_the_lab_or_a_text_in_its_place(project):
    lab = Lab(SMALL)
    bundle = lab._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == lab.panel.widget.model_id
    assert bundle["text/plain"] == f"Lab({RECIPE!r}): run this cell to see its sliders."


def test_block_size_ends_where_the_text_does(project):
    (project / "short.txt").write_text("one two three four " * 40)
    lab = Lab(SMALL.replace(dataset="text:short.txt"))
    assert max(value for _, value in lab.controls.sliders["block_size"].options) == 64


def test_making_a_lab_draws_no_random_numbers(project):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    Lab(SMALL).controls.sliders["block_size"].value = 8
    assert torch.get_rng_state().equal(before)


def test_cells_draw_around_a_run_and_in_its_pauses_what_they_would_draw_without_it(project, shown):
    def pausing(done: int) -> None:
        wait_until(lambda: lab.session.driver.state == "paused" and steps_done(lab) == done, f"step {done}")

    lab = Lab(SMALL.replace(dropout=0.2))
    torch.manual_seed(7)
    wanted = torch.rand(6).tolist()
    torch.manual_seed(7)
    lab.start(steps=2)
    pausing(2)
    found = [torch.rand(()).item()]
    for done in (3, 4):
        lab.step()
        pausing(done)
        found.append(torch.rand(()).item())
    end(lab)
    found.append(torch.rand(()).item())
    lab.train()
    found.append(torch.rand(()).item())
    assert lab.runs[-1].sample(length=5)
    assert [*found, torch.rand(()).item()] == wanted
    assert_same_run(lab.runs[-1], SMALL.replace(dropout=0.2))


def test_the_floor_moves_with_the_block_size(project, known_text):
    lab = Lab(SMALL.replace(dataset=known_text, max_steps=2))

    def floors() -> list[tuple[str, float]]:
        return [(line["label"], line["value"]) for line in chart(lab)["lines"]]

    rate = ("entropy rate (the floor of a reader of everything): 0.10", 0.1)
    assert floors()[1:] == [("floor at block_size 16: 0.50", 0.5), rate]
    V = load_prepared(prepare(known_text)).tokenizer.vocab_size
    assert floors()[0] == (f"knowing nothing: ln {V} = {math.log(V):.2f}", pytest.approx(math.log(V)))
    lab.controls.sliders["block_size"].value = 64
    assert floors()[1:] == [("floor at block_size 64: 0.12", 0.125), rate]
    lab.start()  # and while a run trains, its own block_size counts
    lab.controls.sliders["block_size"].value = 32
    lab.wait(PATIENCE)
    assert [value for _, value in floors()[1:3]] == [0.25, 0.125], "the slider's again, and the run's own"
    begin_paused(lab)
    assert [value for _, value in floors()[1:-1]] == [0.25, 0.125]
    lab.controls.sliders["block_size"].value = 8
    assert [value for _, value in floors()[1:-1]] == [0.25, 0.125]
    end(lab)
    assert [value for _, value in floors()[1:-1]] == [1.0, 0.25, 0.125], "each block_size that is shown has its floor"
    lab.panel.tray.set_state({"checked": []})  # as the page sends it
    assert [value for _, value in floors()[1:-1]] == [1.0]


def begin_paused(lab: Lab) -> None:
    """Press Step, and wait for the pause after the first step."""
    press(lab, "step")
    wait_until(lambda: chart(lab)["state"] == "paused", "a pause")


def test_a_text_without_truths_has_ln_v_alone(project):
    (project / "own.txt").write_text("one two three four " * 40)
    lab = Lab(SMALL.replace(dataset="text:own.txt"))
    assert [line["label"][:15] for line in chart(lab)["lines"]] == ["knowing nothing"]
    lab.start()
    assert lab.wait(PATIENCE)
    assert "after 6 steps" in lab.panel.view.sample.widget.value
    assert "grammar" not in lab.panel.view.sample.widget.value


# A run in a cell ------------------------------------------------------------------------------------------


def assert_same_run(run: Trial, recipe: Recipe) -> None:
    plain = build_trainer(recipe)
    assert [(r.train_loss, r.val_loss, r.lr) for r in run.records] == [(r.train_loss, r.val_loss, r.lr) for r in plain]
    assert all(a.equal(b) for a, b in zip(run.model.parameters(), plain.model.parameters(), strict=True))


def test_the_lab_trains_what_a_plain_loop_trains(project, shown):
    lab = Lab(SMALL)
    lab.controls.sliders["dropout"].value = 0.1
    run = lab.train(max_steps=4)
    assert_same_run(run, SMALL.replace(dropout=0.1, max_steps=4))
    assert [r.val_loss is not None for r in run.records] == [False, False, True, True]
    assert run.val_loss == run.records[-1].val_loss
    assert lab.runs == [run]
    (view,) = shown
    assert len([*view.chart.past, *view.chart.tail]) == 4
    assert view.chart.data["state"] == "finished"
    assert view.chart.data["status"].startswith("step 4 of 4, training ")
    assert "What the model writes after 4 steps" in view.sample.widget.value
    assert view._repr_mimebundle_()["text/plain"] == "A live chart of the loss: run this cell to see it grow."


def test_settings_are_read_when_training_begins_and_each_run_is_new(project, shown):
    lab = Lab(SMALL)
    lab.controls.sliders["block_size"].value = 8
    first = lab.train()
    lab.controls.sliders["block_size"].value = 32
    second = lab.train()
    assert [run.model.config.block_size for run in lab.runs] == [8, 32]
    assert first.records != second.records
    assert len(shown) == 2


def test_a_cell_that_trains_reads_the_sliders_once(project, shown, monkeypatch):
    """While it is busy, the kernel hears some of what happens on the page and some not: so it heeds none."""
    lab, seen = Lab(SMALL), []

    def look_and_move(chart, *args, **kwargs):
        if lab.is_training and len(lab.runs) == 1 and lab.runs[0].records:
            seen.append((pressable(lab), lab.controls.readout.value))
            lab.controls.sliders["max_lr"].value = 0.5

    monkeypatch.setattr(LossChart, "show", look_and_move)
    run = lab.train()
    assert_same_run(run, SMALL)
    assert run.changes == []
    assert seen[0][0] == set()
    assert "The sliders are for the next run" in seen[0][1]
    assert "The sliders are for the next run" not in lab.controls.readout.value


def test_the_last_sample_is_240_tokens_by_the_trained_model(project, shown, known_text, whole_samples):
    lab = Lab(SMALL.replace(dataset=known_text))
    run = lab.train()
    text = run.sample(length=240)
    grade = find_corpus(known_text).grade(text)
    assert len(text) == 240
    assert lab.session.sample() == (text, grade, "What the model writes after 6 steps", False)
    assert grade.sentences, "or the judge had nothing to say"
    assert run.judgment == in_words(grade)
    assert in_words(grade) in shown[0].sample.widget.value


def test_the_command_repeats_the_run(project, shown):
    lab = Lab(SMALL)
    lab.controls.sliders["max_lr"].value = 0.05
    lab.controls.sliders["n_layer"].value = 2
    run = lab.train(max_steps=3)
    program, *words = shlex.split(run.command())
    assert (program, words[:2]) == ("course", ["train", RECIPE])
    assert cli.main([*words, "--out-dir", "again"]) == 0
    assert [row["train_loss"] for row in read_metrics("again")] == [r.train_loss for r in run.records]


def test_the_command_names_only_what_differs():
    assert command_for(load_recipe(RECIPE)) == f"course train {RECIPE}"
    changed = load_recipe(RECIPE).replace(dropout=0.1, block_size=32)
    assert command_for(changed) == f"course train {RECIPE} --block-size 32 --dropout 0.1"
    assert command_for(Recipe("mine", {"dropout": 0.1})) == "course train mine.toml"


def test_a_run_writes_the_same_text_for_the_same_seed(project, shown):
    run = Lab(SMALL).train()
    text = run.sample(length=50)
    assert len(text) == 50
    assert text == run.sample(length=50)
    assert text != run.sample(length=50, seed=1)
    assert run.sample(length=5, start="nine") != "nine"
    assert repr(run).startswith("Trial(6 of 6 steps, validation loss ")
    with pytest.raises(CourseError, match="'Q'"):
        run.sample(start="Q")


def test_the_stop_button_of_the_notebook_ends_a_run_and_keeps_it(project, shown, monkeypatch, capsys):
    """JupyterLab's stop button is a SIGINT, as is Ctrl-C."""
    lab, show, presses = Lab(SMALL), LossChart.show, []

    def show_and_press_stop(chart, current, *args, **kwargs):
        show(chart, current, *args, **kwargs)
        if current and current.records and not presses:
            presses.append(len(current.records))
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(LossChart, "show", show_and_press_stop)
    before = signal.getsignal(signal.SIGINT)
    run = lab.train()
    assert signal.getsignal(signal.SIGINT) is before
    assert [r.step for r in run.records] == [0]
    assert run.trainer.step == 1
    assert (shown[0].chart.data["state"], shown[0].chart.data["status"][:11]) == ("stopped", "step 1 of 6")
    assert capsys.readouterr().out == "Stopped after 1 of 6 steps. What was learned is kept.\n"
    assert not lab.is_training


def test_a_second_press_stops_at_once_and_keeps_it_too(project, shown, monkeypatch):
    lab, build = Lab(SMALL), session_module.build_trainer

    def build_with_two_presses(recipe):
        trainer = build(recipe)

        def press_twice():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(trainer, "evaluate", press_twice)
        return trainer

    monkeypatch.setattr(session_module, "build_trainer", build_with_two_presses)
    with pytest.raises(KeyboardInterrupt):
        lab.train()
    assert [r.step for r in lab.runs[-1].records] == [0, 1]
    assert shown[0].chart.data["status"].startswith("step 2 of 6")
    assert not lab.is_training
    assert pressable(lab) == {"start", "step"}


def test_the_notebooks_stop_button_wakes_a_run_that_pauses_in_a_cell(project, shown, capsys):
    lab = Lab(SMALL)

    def press_later() -> None:
        wait_until(lambda: steps_done(lab) >= 1, "a step")
        lab.pause()
        wait_until(lambda: shown[0].chart.data["state"] == "paused", "a pause")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    lab.controls.sliders["max_steps"].value = 5000
    helper = threading.Thread(target=press_later)
    helper.start()
    run = lab.train()
    helper.join(PATIENCE)
    assert 1 <= len(run.records) < 5000
    assert "What was learned is kept" in capsys.readouterr().out


def test_a_run_that_diverges_says_so_and_keeps_its_steps(project, shown):
    wild = SMALL.replace(optimizer="adamw", zero_init=False, max_lr=1e30, warmup_steps=0, schedule="constant")
    lab = Lab(wild)
    with pytest.raises(CourseError, match="lower max_lr"):
        lab.train()
    records = lab.runs[-1].records
    assert 0 < len(records) < 6
    assert shown[0].chart.data["state"] == "ended by an error"
    assert shown[0].chart.data["status"].startswith(f"step {len(records)} of 6")
    assert "lower max_lr" in shown[0].chart.data["status"]
    # and the same in the background, where no cell would show it
    lab.start()
    assert lab.wait(PATIENCE)
    assert (chart(lab)["state"], "lower max_lr" in chart(lab)["status"]) == ("ended by an error", True)
    assert isinstance(lab.runs[-1].error, CourseError)
    assert "lower max_lr" in lab.panel.tray.rows[-1]["note"]
    assert pressable(lab) == {"start", "step"}


def test_a_run_without_steps_has_a_status(project):
    run = Trial(SMALL, build_trainer(SMALL))
    assert run.status() == "step 0 of 6"
    assert run.val_loss is None
    assert repr(run).startswith(f"Trial(0 of 6 steps; course train {RECIPE} --block-size 16 ")


# Byte pairs -----------------------------------------------------------------------------------------------

BY_PAIRS = load_recipe("shakespeare_bpe_cpu").replace(
    dataset="tinytales", bpe_vocab_size=400, n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6,
    cooldown_steps=3, warmup_steps=0, eval_every=3,
)  # fmt: skip


def test_a_lab_of_byte_pairs_trains_judges_and_tells_bits_per_byte(project, shown, whole_samples):
    """On TinyTales, whose text needs no network; its floors are known by letters, and so are not drawn."""
    lab = Lab(BY_PAIRS)
    assert list(lab.controls.sliders)[:3] == ["block_size", "dropout", "max_lr"]
    assert [line["label"] for line in chart(lab)["lines"]] == [f"knowing nothing: ln 400 = {math.log(400):.2f}"]
    assert f"{build_trainer(BY_PAIRS).model.num_parameters():,} weights" in lab.controls.readout.value
    lab.controls.sliders["block_size"].value = 32
    lab.controls.sliders["dropout"].value = 0.1
    lab.controls.sliders["max_lr"].value = 0.01
    run = lab.train()
    assert_same_run(run, BY_PAIRS.replace(block_size=32, dropout=0.1, max_lr=0.01))
    assert run.records[0].train_loss == pytest.approx(math.log(400), abs=0.01)
    # By hand: so many nats for the tokens of the held-out part, in bits, over its bytes.
    text = find_corpus("tinytales").read().decode()
    held_out = text[int(len(text) * 0.9) :]
    in_bits = run.val_loss / math.log(2) * len(run.tokenizer.encode(held_out)) / len(held_out.encode())
    assert run.bits_per_byte == pytest.approx(in_bits, rel=1e-9)
    assert f"validation {run.val_loss:.2f} ({in_bits:.2f} bits per byte), " in shown[0].chart.data["status"]
    assert f"validation {run.val_loss:.3f} ({in_bits:.2f} bits per byte), " in lab.panel.tray.rows[0]["numbers"]
    # The last sample has 240 tokens, which are more letters; the judge reads them as a text.
    written, grade, _, is_growing = lab.session.sample()
    assert written == run.sample(length=240)
    assert len(written) > 300
    assert grade == find_corpus("tinytales").grade(written)
    assert run.judgment == (in_words(grade) if tells(grade) else "")
    assert not is_growing
    assert shlex.split(run.command())[:3] == ["course", "train", "shakespeare_bpe_cpu"]
    assert "--dataset tinytales --bpe-vocab-size 400" in run.command()


def test_of_letters_and_bytes_bits_are_not_told_twice(project, shown):
    """There nats per token say the same."""
    run = Lab(SMALL).train()
    assert run.bits_per_byte == pytest.approx(run.val_loss / math.log(2))
    assert "bits" not in run.status()
    untrained = Trial(SMALL, build_trainer(SMALL))
    assert untrained.bits_per_byte is None
    assert untrained.in_bits() == ""


def test_a_sample_of_byte_pairs_grows_by_whole_characters(project, shown):
    """A token may end within a character: what is shown grows, and takes nothing back."""
    (project / "own.txt").write_text("żółw, łąka, 中文, 😀 and ½; " * 60)
    few = dict(dataset="text:own.txt", bpe_vocab_size=280, max_steps=1, eval_batches=1)
    trainer = build_trainer(BY_PAIRS.replace(**few))
    writer, seen = SampleWriter(trainer.model, trainer.tokenizer), []
    whole = writer.write(0, 200, stopped=lambda: seen.append(writer.text))
    seen.append(whole.text)
    assert all(after.startswith(before) for before, after in itertools.pairwise(seen))
    prompt = torch.tensor([trainer.tokenizer.encode("\n")])
    ids = generate(trainer.model, prompt, 200, seed=0)[0, prompt.shape[1] :].tolist()
    assert seen[-1] == trainer.tokenizer.decode(ids)
    assert len(set(seen)) < 200, "some tokens end no character"


@pytest.mark.slow
def test_the_lab_of_the_recipe_as_it_is(project, shown, whole_samples):
    mirror = os.environ.get("COURSE_DATA")
    if not mirror or not (Path(mirror) / "tinyshakespeare" / "input.txt").is_file():
        pytest.skip("real text: set COURSE_DATA to a folder that holds tinyshakespeare/input.txt")
    lab = Lab("shakespeare_bpe_cpu")
    assert [line["value"] for line in chart(lab)["lines"]] == [pytest.approx(math.log(2048))]
    lab.controls.sliders["dropout"].value = 0.05
    run = lab.train()
    assert run.is_complete
    assert 2.3 < run.bits_per_byte < 2.5
    assert run.judgment == "", "nobody judges Shakespeare"


# A run in the background ----------------------------------------------------------------------------------


def test_start_trains_what_a_plain_loop_trains(project, capsys):
    lab = Lab(SMALL)
    lab.controls.sliders["dropout"].value = 0.1
    begin(lab, 1)
    assert lab.wait(PATIENCE)
    (run,) = lab.runs
    assert_same_run(run, SMALL.replace(dropout=0.1))
    assert not lab.is_training
    assert pressable(lab) == {"start", "step"}
    assert chart(lab)["state"] == "finished"
    assert len(lab.panel.view.chart.finished[0]["rows"]) == 6
    assert chart(lab)["curve"] is None, "it is over, and shown as a finished one"
    assert "What the model writes after 6 steps" in lab.panel.view.sample.widget.value
    assert run.command().endswith("--dropout 0.1 --n-layer 1 --n-head 2 --n-embd 16") or "#" not in run.command()
    assert capsys.readouterr() == ("", "")


def test_start_trains_with_as_many_threads_as_the_cell_would(project):
    """Two threads sum in another order than one: a run of this size then has other last digits."""
    recipe = SMALL.replace(n_embd=128, n_head=4, batch_size=16, block_size=64, max_steps=2)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            lab = Lab(recipe)
            lab.start()
            assert lab.wait(PATIENCE)
            assert_same_run(lab.runs[-1], recipe)
    finally:
        torch.set_num_threads(before)


def test_step_pause_and_resume_do_not_change_the_run(project):
    recipe = SMALL.replace(dropout=0.2, max_steps=40)
    lab = Lab(recipe)
    begin_paused(lab)
    assert steps_done(lab) == 1
    assert pressable(lab) == {"pause", "step", "stop"}
    assert lab.panel.buttons.buttons["pause"].description == "Resume"
    for n in (2, 3):
        press(lab, "step")
        wait_until(lambda n=n: steps_done(lab) == n and chart(lab)["state"] == "paused", f"step {n}")
    press(lab, "pause")
    assert lab.wait(PATIENCE)
    assert_same_run(lab.runs[0], recipe)


def test_a_rate_moved_on_the_way_is_applied_and_remembered(project):
    lab = Lab(SMALL.replace(warmup_steps=0, schedule="constant"))
    begin_paused(lab)
    lab.controls.sliders["max_lr"].value = 0.005
    lab.controls.sliders["n_layer"].value = 4  # for the next run
    assert "the other settings are for the next run" in lab.controls.readout.value
    press(lab, "pause")
    assert lab.wait(PATIENCE)
    (run,) = lab.runs
    assert [r.lr for r in run.records] == [0.02] + [0.005] * 5
    assert len(run.model.blocks) == 1
    assert "settings moved on the way" in run.status()
    assert "# not the whole story: max_lr moved from 0.02 to 0.005 before step 1" in run.command()
    assert "max_lr moved" in repr(run)
    assert "then learning rate from 0.02 to 0.005 before step 1" in lab.panel.tray.rows[0]["about"]
    assert lab.panel.view.chart.finished[0]["notes"] == [[1, "lr 0.005"]]
    assert "the other settings" not in lab.controls.readout.value


def test_dropout_can_be_moved_too(project):
    lab = Lab(SMALL)
    begin_paused(lab)
    lab.controls.sliders["dropout"].value = 0.3
    press(lab, "pause")
    assert lab.wait(PATIENCE)
    assert [r.dropout for r in lab.runs[0].records] == [0.0] + [0.3] * 5


def test_pressing_what_makes_no_sense_is_harmless(project):
    lab = Lab(ENDLESS)
    for name in ("stop", "pause", "stop"):
        press(lab, name)
    assert chart(lab)["state"] == ""
    begin(lab)
    press(lab, "start")
    press(lab, "start")
    assert len(lab.runs) == 1
    with pytest.raises(CourseError, match="Press Stop"):
        lab.train()
    end(lab)
    press(lab, "stop")
    press(lab, "pause")
    assert chart(lab)["state"] == "stopped"
    begin(lab, 1)
    end(lab)
    assert [run.number for run in lab.runs] == [1, 2]


def test_start_right_after_stop_is_heard(project):
    lab = Lab(ENDLESS)
    begin(lab)
    press(lab, "stop")
    wait_until(lambda: "start" in pressable(lab), "buttons")
    begin(lab, 1)
    end(lab)
    assert len(lab.runs) == 2


def test_a_run_that_cannot_be_built_says_why(project, monkeypatch):
    def refuse(recipe):
        raise CourseError("no such thing")

    lab = Lab(SMALL)
    monkeypatch.setattr(session_module, "build_trainer", refuse)
    lab.start()
    assert lab.wait(PATIENCE)
    assert (chart(lab)["state"], chart(lab)["status"]) == ("not started", "no such thing")
    assert lab.runs == []
    assert pressable(lab) == {"start", "step"}


def test_an_interrupt_of_the_notebook_leaves_a_run_in_the_background_whole(project):
    lab = Lab(ENDLESS)
    begin(lab)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    steps = steps_done(lab)
    wait_until(lambda: steps_done(lab) > steps, "the run going on")
    end(lab)
    assert pressable(lab) == {"start", "step"}


def test_an_interrupt_between_the_press_and_the_thread_leaves_no_broken_state(project, monkeypatch):
    lab = Lab(SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            lab.start()
    assert not lab.is_training
    lab.start()
    assert lab.wait(PATIENCE)
    assert lab.runs[-1].is_complete


@pytest.mark.parametrize("place", ["_build", "_end"])
def test_an_interrupt_before_the_first_step_or_after_the_last_one_is_a_stop(project, monkeypatch, place):
    """What a cell shows is no traceback, and the run is in the tray."""
    lab, usual = Lab(SMALL), getattr(session_module.Session, place)

    def pressed(session):
        signal.raise_signal(signal.SIGINT)
        return usual(session)

    with monkeypatch.context() as patch:
        patch.setattr(session_module.Session, place, pressed)
        run = lab.train()
    assert run.is_complete is (place == "_end")
    assert [row["label"] for row in lab.panel.tray.rows] == ["run 1"]
    assert lab.train().is_complete


def test_another_labs_run_is_stopped_and_kept(project):
    """torch has one row of random numbers for all: two runs at once would draw each other's."""
    first, second = Lab(ENDLESS), Lab(SMALL.replace(dropout=0.2))
    begin(first)
    second.start()
    assert second.wait(PATIENCE)
    assert first.wait(PATIENCE)
    assert chart(first)["state"] == "stopped"
    assert_same_run(second.runs[0], SMALL.replace(dropout=0.2))


# How soon -------------------------------------------------------------------------------------------------
#
# Soon means: before any further piece of work. Seconds would measure what else the machine does.


class Work:
    """Counts the pieces of work of a run, and can hold the run in the middle of one while a button is pressed.

    A piece is a batch to learn from, a window to score, a token between two steps (aside), a last token. Tokens of the
    sample that follows a stop are left out: that sample has its own clock.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.state = ""
        """What the chart said of the run when the button was pressed."""
        self._place: tuple[str, int] | None = None
        self._reached, self._let_go = threading.Event(), threading.Event()

    def note(self, kind: str) -> None:
        """A piece begins: called by the thread that trains."""
        self.done.append(kind)
        if (kind, self.done.count(kind)) == self._place:
            self._reached.set()
            assert self._let_go.wait(PATIENCE), f"nobody let go of {self._place}"

    def noting(self, kind: str, do: Callable) -> Callable:
        """``do``, with a note of each call."""

        def noted(*args, **kwargs):
            self.note(kind)
            return do(*args, **kwargs)

        return noted

    def press_within(self, place: tuple[str, int], lab: Lab, button: str, until: Callable[[], bool]) -> list[str]:
        """Start a run, press ``button`` while it is at ``place``; returns what it still begins ``until`` it heeds."""
        self._place = place
        lab.start()
        assert self._reached.wait(PATIENCE), f"waited {PATIENCE} s for: {place}"
        before, self.state = len(self.done), chart(lab)["state"]
        press(lab, button)
        self._let_go.set()
        wait_until(until, f"{button} to be heeded")
        return self.done[before:]

    def stop_within(self, place: tuple[str, int], lab: Lab) -> list[str]:
        """What a run still begins after Stop, until its thread is over and the buttons are back."""
        begun = self.press_within(place, lab, "stop", lambda: lab.wait(PATIENCE))
        assert pressable(lab) == {"start", "step"}
        return begun


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """All that the runs of this test do; beside the training they write as much as there is to write."""
    work, build, write = Work(), session_module.build_trainer, SampleWriter.write

    def build_noted(recipe):
        trainer = build(recipe)
        windows = trainer.val_batches.windows
        trainer.batches.batch = work.noting("batch", trainer.batches.batch)
        trainer.val_batches.windows = lambda most=None: map(work.noting("window", lambda w: w), windows(most))
        return trainer

    def write_noted(writer, step, length, seconds=math.inf, stopped=lambda: False):
        if seconds == session_module.STOP_SECONDS:
            return write(writer, step, SHORTEST, seconds, stopped)
        stopped = work.noting("last token" if seconds == math.inf else "aside", stopped)
        return write(writer, step, length, seconds, stopped)

    for name in ("FREE_SECONDS", "AHEAD_SECONDS", "BURST_SECONDS"):  # however slow the machine is
        monkeypatch.setattr(moments, name, 1e9)
    monkeypatch.setattr(session_module, "STOP_SECONDS", 1e8)
    monkeypatch.setattr(session_module, "build_trainer", build_noted)
    monkeypatch.setattr(SampleWriter, "write", write_noted)
    return work


def test_all_work_is_counted(project, work):
    """Or what comes too late in the tests below would not be seen."""
    lab = Lab(SMALL.replace(grad_accum=2))
    lab.start()
    assert lab.wait(PATIENCE)
    counts = {kind: work.done.count(kind) for kind in ("batch", "window", "aside", "last token")}
    assert counts == {"batch": 12, "window": 2, "aside": 12, "last token": 12}


@pytest.mark.parametrize(("micro_steps", "batch", "steps"), [(1, 3, 3), (3, 8, 2)])
def test_stop_in_the_middle_of_a_step(project, work, micro_steps, batch, steps):
    """The batch at hand is the last one. A step that it completes is taken, and one that wants more is given up."""
    lab = Lab(ENDLESS.replace(grad_accum=micro_steps, eval_every=3))  # and an evaluation would follow
    assert work.stop_within(("batch", batch), lab) == []
    assert steps_done(lab) == lab.runs[-1].trainer.step == steps


def test_stop_in_an_evaluation_of_the_whole_split(project, work, monkeypatch):
    """The split is endless here: who waits for the evaluation waits forever."""
    lab, build = Lab(ENDLESS.replace(eval_every=1, eval_batches=None)), session_module.build_trainer

    def build_with_an_endless_split(recipe):
        trainer = build(recipe)
        batch = trainer.val_batches.batch(0)

        def windows(max_batches=None):
            while True:
                work.note("window")
                yield batch

        trainer.val_batches.windows = windows
        return trainer

    monkeypatch.setattr(session_module, "build_trainer", build_with_an_endless_split)
    assert work.stop_within(("window", 3), lab) == []
    assert lab.runs[-1].trainer.step == 1


def test_stop_while_the_last_sample_is_written(project, work, monkeypatch):
    lab = Lab(SMALL.replace(max_steps=1))
    monkeypatch.setattr(session_module, "LENGTH", 100_000)
    assert work.stop_within(("last token", 3), lab) == []
    assert work.state == "writing a last sample"
    assert lab.runs[-1].is_complete
    assert len(lab.runs[-1].samples[-1].text) == 3, "what it wrote until then is kept"


def test_stop_in_the_middle_of_a_sample_on_the_way(project, work, monkeypatch):
    """It is given up: no text of fewer tokens is kept beside whole ones. The one that follows the stop is there."""
    monkeypatch.setattr(session_module, "SHORT_LENGTH", 100_000)
    lab = Lab(ENDLESS)
    assert work.stop_within(("aside", 30), lab) == []
    assert steps_done(lab) == 0
    (sample,) = lab.runs[-1].samples
    assert (sample.step, len(sample.text)) == (0, SHORTEST)


class PatientQueue(queue.SimpleQueue):
    """Ends no wait without a word: who pauses has to be woken, or pauses forever."""

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        return super().get(block)


def test_stop_while_paused(project, work, monkeypatch):
    monkeypatch.setattr(driver_module, "queue", types.SimpleNamespace(SimpleQueue=PatientQueue, Empty=queue.Empty))
    lab = Lab(ENDLESS)
    begin_paused(lab)
    before = len(work.done)
    end(lab)
    assert work.done[before:] == []
    assert pressable(lab) == {"start", "step"}
    assert steps_done(lab) == 1


@pytest.mark.parametrize(("micro_steps", "batch", "still"), [(1, 3, []), (3, 8, ["batch"])])
def test_pause_is_soon_too(project, work, micro_steps, batch, still):
    """The step at hand is taken, with what it still wants, and nothing else is begun."""
    lab = Lab(ENDLESS.replace(grad_accum=micro_steps))
    assert work.press_within(("batch", batch), lab, "pause", lambda: chart(lab)["state"] == "paused") == still
    assert steps_done(lab) == 3
    end(lab)


# The tray -------------------------------------------------------------------------------------------------


def test_finished_runs_lie_in_the_tray_and_over_one_another(project, shown, known_text, whole_samples):
    lab = Lab(SMALL.replace(dataset=known_text))
    lab.train()
    lab.controls.sliders["max_lr"].value = 0.05
    begin(lab, 1)
    assert lab.wait(PATIENCE)
    rows = lab.panel.tray.rows
    assert [row["label"] for row in rows] == ["run 1", "run 2"]
    assert [row["about"] for row in rows] == ["as the recipe says", "peak learning rate 0.05"]
    for row, run in zip(rows, lab.runs, strict=True):
        assert row["numbers"].startswith(f"6 steps, validation {run.val_loss:.3f}, ")
        assert run.judgment in row["numbers"]
        assert re.fullmatch(r"(\d+ of \d+ sentences fit the stories' grammar)?", run.judgment)
    assert lab.panel.tray.checked == [1, 2]
    assert len(lab.panel.view.chart.finished) == 2
    lab.panel.tray.set_state({"checked": [2]})  # as the page sends it
    (only,) = lab.panel.view.chart.finished
    assert only["color"] == rows[1]["style"]["color"] != rows[0]["style"]["color"]
    lab.panel.tray._handle_custom_msg({"remove": 2}, [])
    assert [run.number for run in lab.runs] == [1]
    assert lab.panel.view.chart.finished == []


def test_the_look_of_a_removed_run_is_free_for_another_and_numbers_go_on(project, shown):
    lab = Lab(SMALL)
    for _ in range(3):
        lab.train(max_steps=1)
    looks = [tuple(row["style"].values()) for row in lab.panel.tray.rows]
    lab.remove(2)
    lab.train(max_steps=1)
    assert [row["label"] for row in lab.panel.tray.rows] == ["run 1", "run 3", "run 4"]
    assert [tuple(row["style"].values()) for row in lab.panel.tray.rows] == [looks[0], looks[2], looks[1]]


def test_the_seventh_run_takes_the_place_of_the_first_in_the_chart(project, shown):
    lab = Lab(SMALL.replace(eval_every=0))
    for _ in range(7):
        lab.train(max_steps=1)
    assert lab.panel.tray.checked == [2, 3, 4, 5, 6, 7]
    assert len(lab.panel.tray.rows) == 7


def test_a_run_that_goes_on_is_not_in_the_tray_and_cannot_be_removed(project):
    lab = Lab(SMALL)
    begin_paused(lab)
    lab.remove(1)
    assert [run.number for run in lab.runs] == [1]
    assert lab.panel.tray.rows == []
    end(lab)
    assert lab.panel.tray.rows[0]["numbers"].startswith("stopped after 1 of 6 steps")


def test_a_finished_run_teaches_the_forecast(project, monkeypatch):
    lab = Lab(SMALL.replace(max_steps=20))
    taught = []
    monkeypatch.setattr(lab._forecaster, "learn", lambda *what: taught.append(what))
    lab.start()
    assert lab.wait(PATIENCE)
    (run,) = lab.runs
    assert taught == [(run.recipe, 20, run.records[-1].seconds, run.memory)]


# Where widgets hear nothing -------------------------------------------------------------------------------


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list["Place"]:
    found: list[Place] = []

    def display(thing: object, display_id: bool = False) -> "Place":
        assert display_id
        found.append(Place(thing))
        return found[-1]

    monkeypatch.setattr("course_lib.lab.view.display", display)
    return found


class Place:
    """A place in a cell's output that can be painted anew."""

    def __init__(self, thing: object) -> None:
        self.things = [thing]

    def update(self, thing: object) -> None:
        self.things.append(thing)


def test_on_colab_a_cell_trains_and_paints_pictures_in_place(project, places, known_text, capsys):
    lab = Lab(SMALL.replace(dataset=known_text), live=False)
    assert lab.panel is None
    assert lab.widget is lab.controls.widget
    assert "run lab.train() in the next cell" in lab.controls.readout.value
    assert "floor at block_size 16: 0.50 nats" in lab.controls.readout.value
    run = lab.train()
    assert_same_run(run, SMALL.replace(dataset=known_text))
    pictures, words = places
    assert len(pictures.things) == len(words.things) >= 2
    assert "6 steps" in pictures.things[-1].alt
    assert "finished: step 6 of 6" in words.things[-1].data
    assert "What the model writes after 6 steps" in words.things[-1].data
    assert capsys.readouterr().out == ""


def test_on_colab_the_stop_button_ends_the_cell(project, places, monkeypatch, capsys):
    lab, build = Lab(ENDLESS, live=False), session_module.build_trainer

    def build_with_a_press(recipe):
        trainer = build(recipe)
        batch = trainer.batches.batch
        trainer.batches.batch = lambda step, micro: (
            signal.raise_signal(signal.SIGINT) if step == 3 else None,
            batch(step, micro),
        )[1]
        return trainer

    monkeypatch.setattr(session_module, "build_trainer", build_with_a_press)
    run = lab.train()
    assert len(run.records) == 4
    assert "Stopped after 4 of 100000 steps" in capsys.readouterr().out
    assert lab.runs == [run]


def test_colab_is_known_by_its_own_module(project, monkeypatch):
    assert Lab(SMALL).is_live
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert not Lab(SMALL).is_live
    assert Lab(SMALL, live=True).is_live


def test_without_widgets_the_lab_says_what_to_install():
    code = "import sys; sys.modules['anywidget'] = None; import course_lib.lab"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install ipywidgets anywidget" in done.stderr


def test_a_view_shows_itself(project, shown):
    Lab(SMALL).train(max_steps=1)
    assert isinstance(shown[0], LiveView)
