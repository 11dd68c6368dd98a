"""A step's operations and its memory, counted on a model of shapes that holds nothing (torch's meta device).

A step is taken there as the trainer takes it. Nothing is computed, but every operation says what it would multiply and
how large its results would be, so the count holds for any model. It is made in the thread that asks and touches no
other: torch's own `FlopCounterMode` (the tests hold the count against it) also hooks into every module of the process,
and a model may be training in another thread while a slider is moved.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.config import Config, GPTConfig, TrainConfig
from course_lib.lab.ledger import Kernels, Ledger
from course_lib.models import build_model
from course_lib.optim import OptimizerSet, build_optimizer, mark_tables
from course_lib.row_adam import RowAdam
from course_lib.training import next_token_loss


@dataclass(frozen=True)
class Count:
    """What one training step takes, besides time. Bytes are those of fp32."""

    weights: int
    """How many numbers the model has."""
    forward: float
    """Floating-point operations of a forward pass over one micro-batch."""
    both: float
    """Those of the forward and the backward pass."""
    update: float
    """Those of the optimizer's step."""
    kept: float
    """Bytes that the forward pass keeps for the backward pass."""
    memory: float
    """The most bytes that a step holds at once: weights, what the optimizer keeps, and all that is on its way."""


def counted(config: Config, train: TrainConfig, on_card: bool = False) -> Count:
    """The count of a step of a model with these settings, trained as ``train`` says; what is known comes at once.

    The layers of a GPT are equal. One is counted; each further one adds what the first one added to none.
    """
    form = {"dropout": 0.5} if getattr(config, "dropout", 0.0) else {}  # how much is dropped changes nothing
    by_rows = not on_card and bool(getattr(config, "ngrams", ()))  # then a micro-batch more is more to remember
    grad_accum = train.grad_accum if by_rows else min(2, train.grad_accum)
    usual = TrainConfig(optimizer=train.optimizer, batch_size=train.batch_size, grad_accum=grad_accum)
    if isinstance(config, GPTConfig):
        return _one_layer(config.replace(n_layer=1, **form), usual, on_card).grown(config.n_layer)
    return _counted(config.replace(**form), usual, on_card)


@functools.lru_cache(maxsize=256)
def _counted(config: Config, train: TrainConfig, on_card: bool) -> Count:
    return count(_sketch(config), config.block_size, train, on_card)


def count(model: nn.Module, block_size: int, train: TrainConfig, on_card: bool = False) -> Count:
    """The count of a step of any model on the meta device: idx (B, T) -> logits (B, T, V)."""
    step, update = _pass(model, block_size, train, on_card), _update(model, block_size, train, on_card)
    weights = sum(p.numel() for p in model.parameters())
    peak = max(step.peak, update.gradients + max(update.peak, update.rows_peak))
    return Count(
        weights, step.forward, step.both, update.flops, step.kept, 4.0 * weights + sum(update.state.values()) + peak
    )


def _sketch(config: Config) -> nn.Module:
    with torch.device("meta"):
        return build_model(config)


@dataclass(frozen=True)
class _Pass:
    """Forward and backward of one micro-batch. Bytes are above weights and optimizer state."""

    forward: float
    both: float
    kept: float
    peak: float


def _pass(model: nn.Module, block_size: int, train: TrainConfig, on_card: bool) -> _Pass:
    """Count a micro-batch; of several it is one to whose gradients others have been added before."""
    idx = torch.zeros((train.batch_size, block_size), dtype=torch.long, device="meta")
    by_rows = [t.weight for t in mark_tables(model, sparse=not on_card)] if not on_card else []
    in_full = set(model.parameters()) - set(by_rows)
    gradients = [torch.empty_like(p) if train.grad_accum > 1 and p in in_full else None for p in model.parameters()]
    before = sum(row_bytes(p) for p in by_rows) * idx.numel() * (train.grad_accum - 1)
    for p, gradient in zip(model.parameters(), gradients):
        p.grad = gradient
    there = [g for g in gradients if g is not None]
    with Kernels(on_card), Ledger([*model.parameters(), *model.buffers(), *there]) as ledger:
        loss = next_token_loss(model, idx, idx)
        forward, kept = ledger.flops, ledger.live
        loss.backward()
    return _Pass(forward, ledger.flops, kept, ledger.peak + sum(g.nbytes for g in there) + before)


def row_bytes(table: Tensor) -> float:
    """Of one row in a gradient that holds rows: its numbers and its place."""
    return 4.0 * table.shape[1] + 8.0


@dataclass(frozen=True)
class _Update:
    """The optimizer's step: what it multiplies, holds meanwhile, and keeps for each weight, in bytes."""

    flops: float
    peak: float
    rows_peak: float
    """What tables of rows need instead, when it is their turn; a further layer needs no more of that."""
    gradients: float
    state: dict[nn.Parameter, float]


def _update(model: nn.Module, block_size: int, train: TrainConfig, on_card: bool) -> _Update:
    """AdamW moves all weights in one kernel, which multiplies no matrices and needs nothing besides its two moments."""
    optimizer = build_optimizer(model, train)
    flops, peak, rows_peak, state = 0.0, 0.0, 0.0, dict[nn.Parameter, float]()
    gradients = {p: 4.0 * p.numel() for p in model.parameters()}
    lookups = train.batch_size * train.grad_accum * block_size
    for member in optimizer.optimizers if isinstance(optimizer, OptimizerSet) else [optimizer]:
        weights = [p for group in member.param_groups for p in group["params"]]
        if isinstance(member, torch.optim.AdamW):
            state |= {p: 2.0 * p.nbytes for p in weights}
            continue
        if isinstance(member, RowAdam):
            state |= {p: 4.0 * (len(p) + 1) for p in weights}
            # On a CPU it sees the rows that were looked up, at most one for each look-up, and adds up those it sees
            # twice; otherwise a table has them all.
            seen = [torch.empty_like(p if on_card else p[:lookups]).requires_grad_() for p in weights]
            rows_peak = _stepped(RowAdam(seen), seen)[1]
            if not on_card:
                rows_peak += max(len(p) * row_bytes(p) for p in seen)
                gradients |= {p: lookups * row_bytes(p) for p in weights}
            continue
        forms = ([tuple(p.shape) for p in group["params"]] for group in member.param_groups)
        key = type(member), str(list(forms)), str([group.get("splits") for group in member.param_groups])
        if key not in _STEPS:
            _STEPS[key] = _stepped(member, weights)
        more, needs, keeps = _STEPS[key]
        flops, peak = flops + more, max(peak, needs)
        state |= dict(zip(weights, keeps))
    return _Update(flops, peak, rows_peak, sum(gradients.values()), state)


_STEPS: dict[object, tuple[float, float, list[float]]] = {}
"""What steps of other optimizers take, by the shapes of the weights: a longer text or larger batches change nothing."""


def _stepped(member: torch.optim.Optimizer, weights: list[nn.Parameter]) -> tuple[float, float, list[float]]:
    """One step: operations, bytes that it needs for the moment, and bytes that it keeps for each weight."""
    for p in weights:
        p.grad = torch.empty_like(p)
    with Ledger([*weights, *(p.grad for p in weights if p.grad is not None)]) as ledger:
        member.step()
    keeps = [float(sum(t.nbytes for t in member.state[p].values() if isinstance(t, Tensor))) for p in weights]
    return ledger.flops, ledger.peak - sum(keeps), keeps


@dataclass(frozen=True)
class _OneLayer:
    """A GPT of one layer, and the same without it."""

    one: _Pass
    none: _Pass
    update: _Update
    weights: tuple[int, int]
    """How many: in all, and in the layer."""
    state: tuple[float, float]
    """Bytes: of all, and of the layer."""
    accumulates: bool

    def grown(self, n_layer: int) -> Count:
        """The count of ``n_layer`` such layers."""
        more = n_layer - 1
        forward, both, kept = (
            getattr(self.one, name) + more * (getattr(self.one, name) - getattr(self.none, name))
            for name in ("forward", "both", "kept")
        )
        weights, state = (part[0] + more * part[1] for part in (self.weights, self.state))
        # While one layer has its turn, another one holds what it keeps, or, when it has had its turn, its gradients;
        # those of an earlier micro-batch it holds all the time.
        waits, gradients = self.one.kept - self.none.kept, 4.0 * self.weights[1]
        waiting = waits + gradients if self.accumulates else max(waits, gradients)
        update = max(n_layer * self.update.peak, self.update.rows_peak)
        peak = max(self.one.peak + more * waiting, self.update.gradients + more * gradients + update)
        return Count(weights, forward, both, n_layer * self.update.flops, kept, 4.0 * weights + state + peak)


@functools.lru_cache(maxsize=256)
def _one_layer(config: GPTConfig, train: TrainConfig, on_card: bool) -> _OneLayer:
    model: Any = _sketch(config)
    layer = list(model.blocks.parameters())
    weights = sum(p.numel() for p in model.parameters()), sum(p.numel() for p in layer)
    one = _pass(model, config.block_size, train, on_card)
    update = _update(model, config.block_size, train, on_card)
    state = sum(update.state.values()), sum(update.state[p] for p in layer)
    model.blocks = nn.ModuleList()
    none = _pass(model, config.block_size, train, on_card)
    return _OneLayer(one, none, update, weights, state, train.grad_accum > 1)
