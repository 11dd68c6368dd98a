"""The lab with a recipe that has embeddings of n-grams: forecast, run, and the words that repeat it elsewhere."""

import shlex

import pytest
import torch
from test_counting import USUAL, real_peak

from course_lib import checkpoint, cli
from course_lib.checkpoint.metrics import read_metrics
from course_lib.lab import Lab, forecast
from course_lib.lab import session as session_module
from course_lib.lab.counting import counted
from course_lib.lab.readout import what_differs
from course_lib.lab.run import command_for
from course_lib.recipes import load_recipe
from course_lib.row_adam import RowAdam

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE, V = "tinytales_cpu", 30
SMALL = load_recipe(RECIPE).replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, eval_batches=1,
    device="cpu", ngrams=(2, 3), ngram_rows=500,
)  # fmt: skip
TABLES = 2 * 500 * 16


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trials of this machine's speed, and short samples: neither is asked about here."""
    monkeypatch.setattr(forecast, "measured_speed", lambda recipe, vocab_size: forecast.Speed(1e-11, 1e-3, 2e-3))
    monkeypatch.setattr(session_module, "LENGTH", 12)
    monkeypatch.setattr(session_module, "SHORT_LENGTH", 12)


def test_a_run_of_the_lab_moves_tables_and_is_forecast_with_them(project, shown) -> None:
    lab = Lab(SMALL)
    run = lab.train()
    model = run.trainer.model
    assert run.is_complete
    assert run.forecast.weights == model.num_parameters() == weights_without() + TABLES
    assert f"The model has {model.num_parameters():,} weights." in lab.describe(SMALL)
    assert isinstance(run.trainer.optimizer.optimizers[-1], RowAdam)
    assert all(table.weight.any() for table in model.ngram_embedding.tables)
    assert len(run.sample(length=20)) == 20


def weights_without() -> int:
    """Of the same model with no n-grams, as it is made for TinyTales."""
    lab = Lab(SMALL.replace(ngrams=()))
    return lab.train(max_steps=1).trainer.model.num_parameters()


def test_the_command_repeats_the_run(project, shown) -> None:
    run = Lab(SMALL).train()
    program, *words = shlex.split(run.command())
    assert (program, words[:2]) == ("course", ["train", RECIPE])
    assert cli.main([*words, "--out-dir", "again"]) == 0
    assert [row["train_loss"] for row in read_metrics("again")] == [r.train_loss for r in run.records]
    assert checkpoint.load("again").model.config.ngrams == (2, 3)


def test_the_numbers_are_written_as_the_command_line_takes_them() -> None:
    plain, several = (load_recipe(RECIPE).replace(ngrams=ngrams, max_steps=7) for ngrams in ((), (2, 5)))
    usual = load_recipe(RECIPE).model(V).ngrams
    assert command_for(several) == f"course train {RECIPE} --ngrams 2 5 --max-steps 7"
    assert command_for(plain) == f"course train {RECIPE}{' --ngrams' if usual else ''} --max-steps 7"
    assert "ngrams 2 5" in what_differs(several, plain)
    assert "ngrams none" in what_differs(plain, several)


def test_rows_that_are_looked_up_alone_need_no_gradient_of_the_whole_table() -> None:
    """On a CPU a larger table costs itself and a number a row; on a card its gradient, and more, as well."""
    recipe = USUAL.replace(optimizer="adamw", ngrams=(4,), ngram_rows=50_000)
    larger = recipe.replace(ngram_rows=60_000)
    table = 10_000 * USUAL.model(V).n_embd * 4
    for on_card, least, most in ((False, table + 4 * 10_000, table + 4 * 10_000), (True, 3 * table, 5 * table)):
        before, after = (counted(r.model(V), r.train, on_card).memory for r in (recipe, larger))
        assert least <= after - before <= most


def test_a_table_in_full_is_counted_as_a_real_step_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a card, where gradients are dense."""
    recipe = USUAL.replace(optimizer="adamw", ngrams=(3, 4), ngram_rows=20_000)
    found = counted(recipe.model(V), recipe.train, on_card=True).memory
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)  # one way to have them dense
    assert found == pytest.approx(real_peak(recipe), rel=0.005)
