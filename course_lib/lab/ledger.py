"""What operations on torch's meta device would multiply, and how much memory their results would take."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

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
            if isinstance(tensor, Tensor) and not tensor.is_sparse:  # that has no memory of its own
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
