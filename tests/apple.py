"""An Apple GPU that is not there: what it refuses is refused, what it computes the CPU computes.

`apple_gpu` plays torch's ``mps`` device. A tensor is on it or on the CPU by its storage: what comes from
``.to("mps")``, from ``device="mps"`` or from computing with a tensor that is there. As on the real one,

- nothing there is float64,
- tensors here and there do not go into one computation (a single number from the CPU does),
- numpy does not see what is there.

This is two modes of torch: one sees every computation, those of a backward pass too; the other sees calls by
name, and so ``.to``, ``.cpu()``, ``.device``.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NO_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."


class Memory:
    """Which storages are on the card. They are kept, so that no new one has the number of an old one."""

    def __init__(self) -> None:
        self.storages: dict[int, Any] = {}
        self.computed = 0
        """How many computations there were on the card."""
        self.calls = 0
        """Calls under way that were given a tensor on the card: what torch makes by itself in one is there too."""

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.storages

    def take(self, tensor: Tensor) -> None:
        if tensor.dtype == torch.float64:
            raise TypeError(NO_FLOAT64)
        storage = tensor.untyped_storage()
        self.storages[storage._cdata] = storage


def tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


class Computations(TorchDispatchMode):
    """What is computed from tensors on the card is on the card."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tensors((args, kwargs))
        there = [tensor for tensor in given if tensor in self.memory]
        # A copy may go from one to the other, and an index may be on the CPU, as on the real one.
        moving = "copy" in func.__name__ or "index" in func.__name__
        if there and not moving and any(t.dim() and t not in self.memory for t in given):
            raise RuntimeError(f"Expected all tensors to be on the same device, mps:0 and cpu ({func}).")
        results = func(*args, **(kwargs or {}))
        if there or (self.memory.calls and not given):
            self.memory.computed += 1
            for tensor in tensors(results):
                self.memory.take(tensor)
        return results


class Calls(TorchFunctionMode):
    """``.to("mps")`` and ``device="mps"`` bring a tensor to the card, ``.cpu()`` fetches a copy."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensor = args[0] if args and isinstance(args[0], Tensor) else None
        if func == Tensor.device.__get__:
            return torch.device("mps:0") if tensor in self.memory else func(*args)
        if func in (Tensor.numpy, Tensor.__array__) and tensor in self.memory:
            raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if func is Tensor.cpu:
            return self.moved(tensor, False)
        if func is Tensor.to:
            return self.to(tensor, args[1:], kwargs)
        if str(kwargs.get("device", "")).startswith("mps"):
            result = func(*args, **kwargs | {"device": "cpu"})
            self.memory.take(result)
            return result
        there = any(t in self.memory for t in tensors((args, kwargs)))
        self.memory.calls += there
        try:
            return func(*args, **kwargs)
        finally:
            self.memory.calls -= there

    def to(self, tensor: Tensor, args: tuple, kwargs: dict[str, Any]) -> Tensor:
        """`Tensor.to`: a type, a device, or both, or what another tensor has. The type changes before the way."""
        if args and isinstance(args[0], Tensor):
            return self.moved(tensor.to(args[0].dtype), args[0] in self.memory)
        asked = [*args, kwargs.get("device"), kwargs.get("dtype")]
        for dtype in (each for each in asked if isinstance(each, torch.dtype)):
            tensor = tensor.to(dtype)
        for place in (each for each in asked if isinstance(each, (str, torch.device))):
            tensor = self.moved(tensor, torch.device(place).type == "mps")
        return tensor

    def moved(self, tensor: Tensor, there: bool) -> Tensor:
        if (tensor in self.memory) == there:
            return tensor
        if there:
            copy = tensor.clone()
            self.memory.take(copy)
            return copy
        copy = torch.empty(tensor.shape, dtype=tensor.dtype)
        with torch._C._DisableTorchDispatch(), torch.no_grad():
            copy.copy_(tensor)
        return copy


class AnywhereGenerator(torch.Generator):
    """A generator of any device."""

    def __new__(cls, device: Any = "cpu") -> "AnywhereGenerator":
        return super().__new__(cls, "cpu")


@contextlib.contextmanager
def apple_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    """Within it torch sees an Apple GPU. Its memory says what is on it, and how much was computed there."""
    own = torch.Generator()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "_get_default_mps_generator", lambda: own)
    monkeypatch.setattr(torch, "Generator", AnywhereGenerator)
    memory = Memory()
    with Computations(memory), Calls(memory):
        yield memory
