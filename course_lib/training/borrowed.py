"""What belongs to the whole process and a trainer borrows while it works: torch's generators and TF32 switches."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from course_lib.device import Compute, generators

Result = TypeVar("Result")


class Borrowed:
    """torch's own random generators, and the arithmetic of its fp32 products, as one trainer wants them.

    `during` gives them back: a cell that draws before and after a step draws as if there had been none, and
    multiplies as precisely as before.

    torch has one of each for all threads. So while a step is under way, another thread draws from the step's
    numbers (and takes them from its dropout), and what it seeds or draws is undone when the step ends. Who draws
    at the same time takes a generator of their own: ``torch.rand(3, generator=torch.Generator().manual_seed(0))``.
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
        owed = [functools.partial(generator.set_state, generator.get_state()) for generator in self._generators]
        owed += _switches_put_back(self._compute.kind)
        try:
            try:
                _switch(self._compute)
                return work()
            finally:
                _give_back(owed)
        finally:
            _give_back(owed)  # the rest, where an interruption came within the first


def _give_back(owed: list[Callable[[], Any]]) -> None:
    while owed:
        owed[-1]()  # twice does no harm: it is crossed out when it is done
        owed.pop()


def _switch(compute: Compute) -> None:
    """Products of fp32 numbers in TF32, or in fp32, as was chosen."""
    torch.set_float32_matmul_precision("high" if compute.tf32 else "highest")
    if compute.kind == "cuda":
        cudnn = torch.backends.cudnn  # convolutions and recurrent layers have switches of their own
        cudnn.allow_tf32 = compute.tf32
        cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "tf32" if compute.tf32 else "ieee"


def _switches_put_back(kind: str) -> list[Callable[[], Any]]:
    """What puts the switches back to how they are now, to be called from the last one to the first.

    torch has older and newer names for them. Setting an older one moves the newer ones, so it comes first. One that
    cannot be read, as somebody has used both, has its default: that somebody has used the newer ones.
    """
    backends = torch.backends
    newer = [backends.cuda.matmul, backends.mkldnn.matmul]
    newer += [backends.cudnn.conv, backends.cudnn.rnn] if kind == "cuda" else []
    owed = [functools.partial(setattr, place, "fp32_precision", place.fp32_precision) for place in newer]
    matmul = _read(torch.get_float32_matmul_precision, "highest")
    owed.append(functools.partial(torch.set_float32_matmul_precision, matmul))
    if kind == "cuda":
        cudnn = _read(lambda: backends.cudnn.allow_tf32, True)
        owed.append(functools.partial(setattr, backends.cudnn, "allow_tf32", cudnn))
    return owed


def _read(switch: Callable[[], Any], default: Any) -> Any:
    try:
        return switch()
    except RuntimeError:
        return default
