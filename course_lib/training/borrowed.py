"""What belongs to the whole process and a trainer borrows while it works: torch's generators and TF32 switches."""

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from course_lib.device import Compute, generators
from course_lib.graphs import keep_captures_off, let_captures_in

Result = TypeVar("Result")
PutBack = Callable[[], Any]

_AT_WORK: dict[int, dict[str, PutBack]] = {}
"""By thread: what puts back what a trainer at work there has borrowed."""


class Borrowed:
    """torch's own random generators, and the arithmetic of its fp32 products, as one trainer wants them.

    `during` gives them back: a cell that draws before and after a step draws as if there had been none, and
    multiplies as precisely as before.

    torch has one of each for all threads. So another thread draws from the step's numbers while a step is under way
    (and takes them from its dropout), and what it seeds or draws is undone when the step ends. A thread that draws at
    the same time needs a generator of its own: ``torch.rand(3, generator=torch.Generator().manual_seed(0))``.
    """

    def __init__(self, compute: Compute) -> None:
        self._generators, self._compute = generators(compute.device), compute

    def seed(self, seed: int) -> None:
        """What `torch.manual_seed` does, for the generators that this trainer draws from."""
        for generator in self._generators:
            generator.manual_seed(seed)

    def during(self, work: Callable[[], Result]) -> Result:
        """``work()``; afterwards, however it ended, all is as it was.

        This is no context manager: an interruption while Python opens or closes one can leave it open.
        """
        before = self._as_it_is()
        thread, owed = threading.get_ident(), before.copy()
        is_outermost = thread not in _AT_WORK
        try:
            try:
                if is_outermost:
                    _AT_WORK[thread] = before
                    keep_captures_off(thread)
                _switch(self._compute)
                return work()
            finally:
                _give_back(owed, thread if is_outermost else None)
        finally:  # the rest, where an interruption came within the first
            _give_back(owed, thread if is_outermost else None)

    def _as_it_is(self) -> dict[str, PutBack]:
        """What puts everything back, the last one first. Where a trainer of another thread is at work, to before it."""
        now: dict[str, PutBack] = {
            f"generator {generator.device}": functools.partial(generator.set_state, generator.get_state())
            for generator in self._generators
        }
        now |= _switches(self._compute.kind)
        for thread, others in list(_AT_WORK.items()):
            if thread != threading.get_ident():
                now |= {name: others[name] for name in now.keys() & others.keys()}
        return now


def _give_back(owed: dict[str, PutBack], thread: int | None) -> None:
    while owed:
        name = next(reversed(owed))
        owed[name]()  # twice does no harm: it is crossed out when it is done
        owed.pop(name)
    _AT_WORK.pop(thread, None)  # type: ignore[call-overload]
    let_captures_in(thread)


def _switch(compute: Compute) -> None:
    """Products of fp32 numbers in TF32, or in fp32, as was chosen."""
    torch.set_float32_matmul_precision("high" if compute.tf32 else "highest")
    if compute.kind == "cuda":
        cudnn = torch.backends.cudnn  # convolutions and recurrent layers have switches of their own
        cudnn.allow_tf32 = compute.tf32
        cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "tf32" if compute.tf32 else "ieee"


def _switches(kind: str) -> dict[str, PutBack]:
    """What puts `_switch` back, the last one first.

    torch has older and newer names for the same. Setting an older one moves the newer ones, so it comes first. An older
    one that cannot be read has its default: torch refuses where somebody has set the newer ones.
    """
    backends, cuda = torch.backends, kind == "cuda"
    newer = {"matmul on cards": backends.cuda.matmul, "matmul on the CPU": backends.mkldnn.matmul}
    newer |= {"convolutions": backends.cudnn.conv, "recurrent layers": backends.cudnn.rnn} if cuda else {}
    back = {n: functools.partial(setattr, place, "fp32_precision", place.fp32_precision) for n, place in newer.items()}
    matmul = _read(torch.get_float32_matmul_precision, "highest")
    back["matmul"] = functools.partial(torch.set_float32_matmul_precision, matmul)
    if cuda:
        cudnn = _read(lambda: backends.cudnn.allow_tf32, True)
        back["cudnn"] = functools.partial(setattr, backends.cudnn, "allow_tf32", cudnn)
    return back


def _read(switch: Callable[[], Any], default: Any) -> Any:
    try:
        return switch()
    except RuntimeError:
        return default
