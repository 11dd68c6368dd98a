"""What a learner's tensors cost, without a clock: the numbers that are read, and those that are held at once."""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.exercises.judge.exercise import Wrong

aten = torch.ops.aten
PICKS = (
    aten.index, aten.index_select, aten.gather, aten.index_put_, aten.index_put, aten.index_copy_, aten.index_add_,
)  # fmt: skip
"""They touch a few numbers of a large tensor."""


class Meter(TorchDispatchMode):
    """Counts, for the operations within it, the numbers that they read and those that their results hold at once.

    A view reads nothing, and holds what another tensor holds already.

    Args:
        known: tensors that are there already.
        most: after so many operations it is `Wrong`.
        words: what is said then.
    """

    def __init__(self, known: Iterable[Tensor], most: int, words: str) -> None:
        super().__init__()
        self.read = self.operations = self.live = self.peak = 0
        self.largest: tuple[int, ...] = ()
        """The shape of the largest result."""
        self._most, self._words = most, words
        self._known = [tensor.untyped_storage() for tensor in known]  # held, so that no other takes their place
        self._held: dict[int, Any] = dict.fromkeys(storage._cdata for storage in self._known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        if self.operations > self._most:
            raise Wrong(self._words)
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            if func._overloadpacket not in PICKS:
                self.read += sum(t.numel() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor))
            for tensor in tree_leaves(result):
                if isinstance(tensor, Tensor):
                    self._hold(tensor)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes() // tensor.element_size()
        if key in self._held:
            return
        self.live += size
        self.peak = max(self.peak, self.live)
        if tensor.numel() > torch.Size(self.largest).numel() or not self.largest:
            self.largest = tuple(tensor.shape)

        def gone(_: object) -> None:
            self.live -= size
            del self._held[key]

        self._held[key] = weakref.ref(storage, gone)


def held(value: Any) -> int:
    """How many numbers ``value`` keeps alive: those of its tensors, of views the whole they are cut from, and others.

    Looked into are lists, tuples, sets, dicts, deques, and objects with attributes.
    """
    storages: dict[int, int] = {}
    seen: set[int] = set()
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen and not isinstance(one, (int, float)):
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            storage = one.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes() // one.element_size()
        elif hasattr(one, "nbytes") and hasattr(one, "itemsize"):  # numpy's
            count += one.nbytes // one.itemsize
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, (str, bytes, bytearray)):
            count += len(one)
        elif isinstance(one, Iterable) and hasattr(one, "__len__"):
            waiting += one
        else:
            count += 1
            waiting += getattr(one, "__dict__", {}).values() if not isinstance(one, type) else ()
    return count + sum(storages.values())
