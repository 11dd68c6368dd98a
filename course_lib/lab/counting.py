"""A step's operations and its memory, counted on a model of shapes that holds nothing (torch's meta device).

A step is taken there as the trainer takes it. Nothing is computed, but every operation says what it would multiply and
how large its results would be, so the count holds for any model. It is made in the thread that asks and touches no
other: torch's own `FlopCounterMode` (the tests hold the count against it) also hooks into every module of the process,
and a model may be training in another thread while a slider is moved.
"""

import functools
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from course_lib.config import Config, GPTConfig, TrainConfig
from course_lib.models import build_model
from course_lib.optim import OptimizerSet, build_optimizer
from course_lib.training import next_token_loss

aten = torch.ops.aten
FUSED, FUSED_BACKWARD = (
    aten._scaled_dot_product_flash_attention_for_cpu, aten._scaled_dot_product_flash_attention_for_cpu_backward,
)  # fmt: skip
ELEMENTWISE = (
    aten.mul.Tensor, aten.mul.Scalar, aten.add.Tensor, aten.sub.Tensor, aten.neg.default, aten.pow.Tensor_Scalar,
    aten.relu.default, aten.threshold_backward.default, aten.gelu.default, aten.gelu_backward.default,
)  # fmt: skip
"""Their results are as their operands are, if those are all alike: torch takes ten times as long to find that out."""
IN_PLACE = (aten._foreach_lerp_.Scalar, aten._foreach_mul_.Scalar, aten._foreach_add_.List)
"""They make nothing, and change nothing that has a size."""


def _attention_flops(query: Tensor, key: Tensor) -> int:
    """Of the two products of attention, whatever the mask: (B, H, T, D) x (B, H, S, D) -> (B, H, T, S), and back."""
    return 4 * query.numel() * key.shape[-2]


FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    FUSED: lambda query, key, *_, **__: _attention_flops(query, key),
    FUSED_BACKWARD: lambda _, query, key, *__, **___: 2 * _attention_flops(query, key),  # without what it does twice
}


def _alike(operands: Any) -> Tensor | None:
    """A tensor like all of ``operands`` that are tensors; None where they are not alike, or not on the meta device."""
    first = operands[0]
    for other in operands:
        if isinstance(other, Tensor):
            if other.shape != first.shape or other.dtype != first.dtype or not other.is_floating_point():
                return None
            if not (other.is_contiguous() and other.is_meta):
                return None
    return torch.empty(first.shape, dtype=first.dtype, device="meta")


class Ledger(TorchDispatchMode):
    """Books what the operations within it multiply, and the bytes of what they make, as long as somebody holds it.

    For the meta device alone: what changes no size is left out.

    Args:
        known: tensors that are there already; views of them are nothing new.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.flops, self.live, self.peak = 0, 0, 0
        self._known = [tensor.untyped_storage() for tensor in known]  # held, so that no other takes their place
        self._held: dict[int, Any] = dict.fromkeys(storage._cdata for storage in self._known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in IN_PLACE:
            return None
        out = _alike(args) if func in ELEMENTWISE else None
        out = func(*args, **kwargs) if out is None else out
        if formula := FORMULAS.get(func._overloadpacket):
            self.flops += formula(*args, **kwargs, out_val=out)
        for tensor in (out,) if isinstance(out, Tensor) else tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._held:
            return
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)

        def gone(_: object) -> None:
            self.live -= size
            del self._held[key]

        self._held[key] = weakref.ref(storage, gone)


class Kernels(TorchFunctionMode):
    """Takes the attention kernel that the device would take: the meta device knows only the one that keeps T x T.

    On a CPU the fused kernel has no dropout; a card's has.
    """

    def __init__(self, on_card: bool) -> None:
        super().__init__()
        self._on_card = on_card

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _attention(
        self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, scale: float | None = None, **more: Any,
    ) -> Tensor:  # fmt: skip
        alike = q.ndim == 4 and q.shape[:2] == k.shape[:2] == v.shape[:2] and q.shape[3] == k.shape[3] == v.shape[3]
        if alike and (self._on_card or not dropout_p):
            return FUSED(q, k, v, 0.0, is_causal, attn_mask=attn_mask, scale=scale)[0]
        return F.scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal, scale=scale, **more)


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
    usual = TrainConfig(optimizer=train.optimizer, batch_size=train.batch_size, grad_accum=min(2, train.grad_accum))
    if isinstance(config, GPTConfig):
        return _one_layer(config.replace(n_layer=1, **form), usual, on_card).grown(config.n_layer)
    return _counted(config.replace(**form), usual, on_card)


@functools.lru_cache(maxsize=256)
def _counted(config: Config, train: TrainConfig, on_card: bool) -> Count:
    return count(_sketch(config), config.block_size, train, on_card)


def count(model: nn.Module, block_size: int, train: TrainConfig, on_card: bool = False) -> Count:
    """The count of a step of any model on the meta device: idx (B, T) -> logits (B, T, V)."""
    step, update = _pass(model, block_size, train, on_card), _update(model, train)
    weights = sum(p.numel() for p in model.parameters())
    peak = max(step.peak, 4.0 * weights + update.peak)
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
    gradients = [torch.empty_like(p) if train.grad_accum > 1 else None for p in model.parameters()]
    for p, gradient in zip(model.parameters(), gradients):
        p.grad = gradient
    there = [g for g in gradients if g is not None]
    with Kernels(on_card), Ledger([*model.parameters(), *model.buffers(), *there]) as ledger:
        loss = next_token_loss(model, idx, idx)
        forward, kept = ledger.flops, ledger.live
        loss.backward()
    return _Pass(forward, ledger.flops, kept, ledger.peak + sum(g.nbytes for g in there))


@dataclass(frozen=True)
class _Update:
    """The optimizer's step: what it multiplies, holds meanwhile, and keeps for each weight, in bytes."""

    flops: float
    peak: float
    state: dict[nn.Parameter, float]


def _update(model: nn.Module, train: TrainConfig) -> _Update:
    """AdamW moves all weights in one kernel, which multiplies no matrices and needs nothing besides its two moments."""
    optimizer = build_optimizer(model, train)
    flops, peak, state = 0.0, 0.0, dict[nn.Parameter, float]()
    for member in optimizer.optimizers if isinstance(optimizer, OptimizerSet) else [optimizer]:
        weights = [p for group in member.param_groups for p in group["params"]]
        if isinstance(member, torch.optim.AdamW):
            state |= {p: 2.0 * p.nbytes for p in weights}
            continue
        forms = ([tuple(p.shape) for p in group["params"]] for group in member.param_groups)
        key = type(member), str(list(forms)), str([group.get("splits") for group in member.param_groups])
        if key not in _STEPS:
            _STEPS[key] = _stepped(member, weights)
        more, needs, keeps = _STEPS[key]
        flops, peak = flops + more, max(peak, needs)
        state |= dict(zip(weights, keeps))
    return _Update(flops, peak, state)


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
        peak = max(self.one.peak + more * waiting, 4.0 * weights + n_layer * self.update.peak)
        return Count(weights, forward, both, n_layer * self.update.flops, kept, 4.0 * weights + state + peak)


@functools.lru_cache(maxsize=256)
def _one_layer(config: GPTConfig, train: TrainConfig, on_card: bool) -> _OneLayer:
    model: Any = _sketch(config)
    layer = list(model.blocks.parameters())
    weights = sum(p.numel() for p in model.parameters()), sum(p.numel() for p in layer)
    one, update = _pass(model, config.block_size, train, on_card), _update(model, train)
    state = sum(update.state.values()), sum(update.state[p] for p in layer)
    model.blocks = nn.ModuleList()
    none = _pass(model, config.block_size, train, on_card)
    return _OneLayer(one, none, update, weights, state, train.grad_accum > 1)
