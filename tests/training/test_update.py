"""The end of a step: what is told of it is read at once, when all is launched; a loss that is no number moves nothing.

A host that reads a value waits for the card. So here each reading is counted: torch's own (`item`, `float`, `bool`) as
the operation that it is, and `course_lib.device.read`, which takes several values together.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib import device
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.optim import OptimizerSet, can_skip, step_unless
from course_lib.training import Trainer, next_token_loss, overflow

V, T = 11, 8
SHAPE = GPTConfig(block_size=T, vocab_size=V, n_layer=1, n_head=2, n_embd=8, tie_weights=False, norm="rmsnorm")
TOKENS = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
BASE = TrainConfig(max_steps=40, batch_size=4, max_lr=3e-3, eval_every=0, device="cpu", precision="fp32")
FORMS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "muon": dict(optimizer="muon", max_lr=0.02),
    "not clipped": dict(grad_clip=0.0),
    "accumulated": dict(grad_accum=3),
    "muon, not clipped": dict(optimizer="muon", max_lr=0.02, grad_clip=0.0),
}

pytestmark = pytest.mark.usefixtures("one_thread", "as_on_a_card")


@pytest.fixture
def as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """This CPU is taken for a device that one must wait for."""
    for module in ("update", "overflow"):
        monkeypatch.setattr(f"course_lib.training.{module}.reading_is_free", lambda device: False)


def make(config: TrainConfig, loss: Callable | None = None) -> Trainer:
    torch.manual_seed(7)
    batches = Batcher(TOKENS, config.batch_size, T, config.seed, grad_accum=config.grad_accum)
    return Trainer(GPT(SHAPE), batches, config, loss)


def remembered(trainer: Trainer) -> list[Tensor]:
    """Weights, moments and counts of steps, copied."""
    optimizer = trainer.optimizer
    members = optimizer.optimizers if isinstance(optimizer, OptimizerSet) else [optimizer]
    states = [value for m in members for state in m.state.values() for value in state.values()]
    return [t.detach().clone() for t in [*trainer.model.parameters(), *states]]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other))


class Readings(TorchDispatchMode):
    """Counts what is read within it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.count = 0

        def counted(values: list[Tensor]) -> list[float]:
            self.count += bool(values)
            return device.read(values)

        monkeypatch.setattr(overflow, "read", counted, raising=False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.name() == "aten::_local_scalar_dense"
        return func(*args, **(kwargs or {}))


def test_readings_are_counted_however_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    one = torch.ones(())
    with Readings(monkeypatch) as readings:
        one.item(), float(one), bool(one > 0), int(one)
    assert readings.count == 4


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("form", FORMS)
def test_a_step_reads_once_where_it_logs_and_else_not_at_all(
    form: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(BASE.replace(**FORMS[form], precision=precision, log_every=4, max_steps=11))
    seen, told = [], []
    for _ in range(11):
        with Readings(monkeypatch) as readings:
            record = next(trainer)
        seen.append(readings.count)
        told.append([value is not None for value in (record.train_loss, record.skipped)])
    logs = [step % 4 == 0 or step == 10 for step in range(11)]
    assert seen == [int(log) for log in logs]
    assert told == [[log, log or precision != "fp16"] for log in logs]


@pytest.mark.parametrize("form", FORMS)
def test_the_loss_is_read_when_the_weights_have_moved(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(BASE.replace(**FORMS[form]))
    before, found = remembered(trainer), []

    def noted(values: list[Tensor]) -> list[float]:
        found.append(not same(remembered(trainer)[: len(before)], before))
        return device.read(values)

    monkeypatch.setattr(overflow, "read", noted)
    next(trainer)
    assert found == [True]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("form", FORMS)
def test_a_loss_that_is_read_and_not_finite_moves_nothing(form: str, value: float, precision: str) -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return next_token_loss(model, x, y) * (value if trainer.step == 4 else 1.0)

    trainer = make(BASE.replace(**FORMS[form], precision=precision, log_every=2), loss)
    for _ in range(4):
        next(trainer)
    before = remembered(trainer)
    for _ in range(2):  # and once more, where somebody runs the loop again
        with pytest.raises(CourseError, match=rf"The training loss is (nan|{value}) at step 4: training has diverged"):
            next(trainer)
        assert same(remembered(trainer), before)
        assert trainer.step == 4


@pytest.mark.parametrize("where", ["can_skip", "reading_is_free"])
@pytest.mark.parametrize("form", ["adamw", "muon"])
def test_where_it_is_free_or_an_optimizer_cannot_skip_the_loss_is_read_first(
    form: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a CPU, and on Apple's GPU: the same records, and nothing moves either."""
    usual = [r.train_loss for r in make(BASE.replace(**FORMS[form], max_steps=5))]
    monkeypatch.setattr(f"course_lib.training.update.{where}", lambda given: where == "reading_is_free")
    monkeypatch.setattr("course_lib.training.update.step_unless", None)
    assert [r.train_loss for r in make(BASE.replace(**FORMS[form], max_steps=5))] == usual
    trainer = make(BASE.replace(**FORMS[form]), lambda m, x, y: next_token_loss(m, x, y) * math.nan)
    before = remembered(trainer)
    with pytest.raises(CourseError, match="The training loss is nan at step 0"):
        next(trainer)
    assert same(remembered(trainer), before)


# fp16 -----------------------------------------------------------------------------------------------------


class OneByOne:
    """An `OptimizerSet` that hides that its members can skip by themselves: GradScaler then reads and decides."""

    def __init__(self, inner: OptimizerSet) -> None:
        self.inner, self.optimizers = inner, inner.optimizers

    param_groups = property(lambda self: self.inner.param_groups)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.inner.zero_grad(set_to_none)

    def step(self) -> None:
        self.inner.step()


@pytest.mark.parametrize("form", ["muon", "muon, not clipped"])
def test_what_the_device_skips_is_what_the_host_would_skip(form: str) -> None:
    """Bit for bit, with overflows on the way, and none of the two may be moved when only the other has overflowed."""

    def run(wrapped: bool) -> tuple[list[Tensor], list[bool | None], float]:
        def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            usual = next_token_loss(model, x, y)
            # + 0, of slope infinity: of a vector, which AdamW has, and of a matrix of Muon's
            vector, matrix = model.norm.weight, model.blocks[0].mlp.up.weight
            usual = usual + (0 * vector).sqrt().sum() if trainer.step in (3, 9) else usual
            return usual + (0 * matrix).abs().sqrt().sum() if trainer.step in (5, 9) else usual

        trainer = make(BASE.replace(**FORMS[form], precision="fp16", max_steps=14), loss)
        if wrapped:
            trainer.optimizer = OneByOne(trainer.optimizer)
        skipped = [record.skipped for record in trainer]
        weights = [p.detach() for p in trainer.model.parameters()]
        states = [v for m in trainer.optimizer.optimizers for s in m.state.values() for v in s.values()]
        return weights + states, skipped, trainer.scaler.get_scale()

    one, other = run(False), run(True)
    assert one[1:] == other[1:]
    assert [step for step, skipped in enumerate(one[1]) if skipped][-3:] == [3, 5, 9]
    assert same(one[0], other[0])


def test_a_card_tells_of_skips_when_it_is_read_and_forgets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(free: bool, **changes: Any) -> Trainer:
        def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            return next_token_loss(model, x, y) * (math.inf if trainer.step >= 6 else 1.0)

        trainer = make(BASE.replace(precision="fp16", max_steps=200, log_every=8), loss)
        trainer.overflows.is_free_to_look = free
        return trainer

    here, card = run(True), run(False)
    for _ in range(20):
        one, other = next(here), next(card)
        assert other.skipped == (one.skipped if one.step % 8 == 0 else None)
    assert card.overflows.to_dict() == here.overflows.to_dict()
    with pytest.raises(CourseError, match="30 steps in a row, up to step 35"):
        list(here)
    with pytest.raises(CourseError, match="35 steps in a row, up to step 40"):  # the first log after that
        list(card)


@pytest.mark.parametrize("unscaled", [True, False])
def test_a_scaler_hands_its_scale_to_each_member(unscaled: bool) -> None:
    """GradScaler's two ways to use it, with `unscale_` before and without, are one."""
    trainer = make(BASE.replace(**FORMS["muon"]))
    scaler = torch.amp.GradScaler("cpu")
    for step in range(3):
        trainer.optimizer.zero_grad()
        scaler.scale(next_token_loss(trainer.model, *trainer.batches.batch(step))).backward()
        if unscaled:
            scaler.unscale_(trainer.optimizer)
        scaler.step(trainer.optimizer)
        scaler.update()
    plain = make(BASE.replace(**FORMS["muon"]))
    for step in range(3):
        plain.optimizer.zero_grad()
        next_token_loss(plain.model, *plain.batches.batch(step)).backward()
        plain.optimizer.step()
    assert same(remembered(trainer), remembered(plain))  # the scale is a power of 2


# step_unless ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0.0, 1.0, math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("form", ["adamw", "muon"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_step_that_is_skipped_changes_nothing_and_one_that_is_not_changes_all(
    form: str, begun: bool, bad: float
) -> None:
    one, other = (make(BASE.replace(**FORMS[form], weight_decay=0.5)) for _ in range(2))
    for trainer in (one, other):
        assert can_skip(trainer.optimizer)
        if begun:
            list(zip(range(3), trainer))
        for p in trainer.model.parameters():
            p.grad = torch.full_like(p, bad)
    before = remembered(one)
    step_unless(one.optimizer, torch.ones(()))
    after = remembered(one)
    if begun:
        assert same(after, before)
    assert same(after[: len(list(one.model.parameters()))], before[: len(list(one.model.parameters()))])
    assert all(t.isfinite().all() for t in after)
    step_unless(one.optimizer, torch.zeros(()))
    other.optimizer.step()
    for mine, plain in zip(remembered(one), remembered(other), strict=True):
        assert torch.equal(mine.nan_to_num(7.0), plain.nan_to_num(7.0))
