"""fp16 that overflows: what is skipped is counted and told, and a run in which nothing else happens ends."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.training import Trainer, next_token_loss
from course_lib.training.overflow import HOPELESS

V, T = 11, 8
SHAPE = GPTConfig(block_size=T, vocab_size=V, n_layer=1, n_head=2, n_embd=8, tie_weights=False, norm="rmsnorm")
TOKENS = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
BASE = TrainConfig(max_steps=12, batch_size=4, max_lr=3e-3, eval_every=0, device="cpu", precision="fp16")
FORMS = {"adamw": {}, "muon": dict(optimizer="muon", max_lr=0.02), "not clipped": dict(grad_clip=0.0)}
HOW = {"the loss": math.inf, "no number": math.nan, "the gradient": 1e37}  # times the loss; the last stays finite

pytestmark = pytest.mark.usefixtures("one_thread")


def batches(config: TrainConfig) -> Batcher:
    return Batcher(TOKENS, config.batch_size, T, config.seed, grad_accum=config.grad_accum)


def overflowing(steps: dict[int, float]):
    """A loss that is multiplied at some steps; whose trainer it is it learns later."""

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return next_token_loss(model, x, y) * steps.get(loss.trainer.step, 1.0)

    return loss


def make(config: TrainConfig, steps: dict[int, float], run: Path | None = None) -> Trainer:
    torch.manual_seed(7)
    loss = overflowing(steps)
    loss.trainer = Trainer(GPT(SHAPE), batches(config), config, loss, run_dir=run)
    return loss.trainer


def resumed(run: Path, steps: dict[int, float], **changes) -> Trainer:
    loss = overflowing(steps)
    config = checkpoint.read_config(run)[0].train.replace(**changes)
    loss.trainer = Trainer.resume(run, batches(config), loss=loss, **changes)
    return loss.trainer


def weights(trainer: Trainer) -> list[Tensor]:
    return [p.detach().clone() for p in trainer.model.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("log_every", [1, 5])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("form", FORMS)
def test_a_step_is_told_as_skipped_where_and_only_where_no_weight_moved(form: str, how: str, log_every: int) -> None:
    """One overflow, and several: they end nothing, and each halves the scale."""
    planted = {2: HOW[how], 6: HOW[how], 7: HOW[how]}
    trainer = make(BASE.replace(**FORMS[form], log_every=log_every, grad_accum=2), planted)
    skipped, before, scale = [], weights(trainer), trainer.scaler.get_scale()
    for record in trainer:
        assert record.skipped == same(weights(trainer), before) == (trainer.scaler.get_scale() == scale / 2)
        assert record.train_loss is None or math.isfinite(record.train_loss)
        skipped.append(record.step) if record.skipped else None
        before, scale = weights(trainer), trainer.scaler.get_scale()
    assert set(planted) <= set(skipped)
    assert (trainer.step, trainer.overflows.total) == (12, len(skipped))
    assert all(p.isfinite().all() for p in trainer.model.parameters())


@pytest.mark.parametrize("how", HOW)
def test_overflows_without_end_end_the_run_and_say_what_to_do(project: Path, how: str) -> None:
    config, run = BASE.replace(max_steps=1000, save_every=4), project / "run"
    trainer = make(config, dict.fromkeys(range(5, 1000), HOW[how]), run)
    with pytest.raises(CourseError, match=r"fp16 has overflowed at 30 steps in a row, up to step 34.*bf16") as told:
        list(trainer)
    assert f"last good save is {run}/saves/32" in str(told.value)
    rows = checkpoint.read_metrics(run)
    assert [row["step"] for row in rows] == list(range(5 + HOPELESS))
    assert [row["step"] for row in rows if row["skipped"]][-HOPELESS:] == list(range(5, 35))
    again = resumed(run, {}, precision="fp32", max_steps=40)  # and so the remedy works
    assert [record.skipped for record in again] == [False] * 8
    assert again.overflows.total >= HOPELESS - 3  # of the run, not of this program


def test_one_good_step_in_between_and_the_run_goes_on() -> None:
    planted = {step: math.inf for step in range(100) if step % HOPELESS != HOPELESS - 1}
    trainer = make(BASE.replace(max_steps=100, grad_clip=0.0), planted)
    assert len(list(trainer)) == 100


def test_a_resumed_run_gives_up_where_the_whole_one_does(project: Path) -> None:
    config = BASE.replace(max_steps=1000, save_every=9)
    planted = dict.fromkeys(range(5, 1000), math.inf)
    whole = make(config, planted, project / "whole")
    with pytest.raises(CourseError, match="up to step 34"):
        list(whole)
    cut = make(config, planted, project / "cut")
    for _ in range(20):
        next(cut)
    del cut
    with pytest.raises(CourseError, match="up to step 34"):
        list(resumed(project / "cut", planted))
    rows = [[row | {"seconds": 0} for row in checkpoint.read_metrics(project / name)] for name in ("whole", "cut")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_without_a_scaler_the_first_loss_that_is_not_finite_ends_the_run(precision: str, value: float) -> None:
    trainer = make(BASE.replace(precision=precision), {3: value})
    with pytest.raises(CourseError, match=rf"The training loss is {value} at step 3: training has diverged"):
        list(trainer)


def test_runs_from_before_skips_were_counted_go_on(project: Path) -> None:
    run = project / "run"
    list(make(BASE.replace(max_steps=4), {}, run))
    state = run / "saves" / "4" / "state.json"
    old = {k: v for k, v in json.loads(state.read_text()).items() if k not in ("overflows", "own_loss")}
    old["train"] = {k: v for k, v in old["train"].items() if k != "save_minutes"}
    state.write_text(json.dumps(old | {"evaluation_owed": True}))
    rows = [{k: v for k, v in row.items() if k != "skipped"} for row in checkpoint.read_metrics(run)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = resumed(run, {4: math.inf}, max_steps=8)
    assert [record.skipped for record in again] == [True, False, False, False]
