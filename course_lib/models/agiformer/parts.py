"""What several parts share: the MLP, dropout in one byte per number, and less memory for more time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from course_lib.models.linear import sized_linear

MOST_NUMBERS = 2**20
"""How many numbers of one result a CPU computes at once, 4 MiB of them."""


def recomputed(part: Callable[..., Tensor], *given: Any) -> Tensor:
    """``part(*given)``, of which the backward pass keeps what went in, and computes the rest again."""
    return checkpoint(part, *given, use_reentrant=False) if torch.is_grad_enabled() else part(*given)


def rows_at_once(x: Tensor, times: int = 1) -> int:
    """Into how many rows of ``x`` (rows, numbers) a long text is cut, where a row's results have ``times`` its numbers.

    On a CPU results should stay small. Beyond 32 MiB Linux hands out memory anew for each one, and clears it first:
    that takes longer than to compute what goes in. A card takes all at once.
    """
    return max(1, MOST_NUMBERS // (times * x.shape[-1])) if x.device.type == "cpu" else len(x)


def in_parts(part: Callable[..., Tensor], rows: int, *given: Tensor) -> Tensor:
    """``part(*given)``, computed for so many rows at a time; each row by itself."""
    if len(given[0]) <= rows:
        return part(*given)
    return torch.cat([part(*some) for some in zip(*(x.split(rows) for x in given))])


class Dropout(nn.Dropout):
    """nn.Dropout; on a CPU torch's own keeps its mask as floats until the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return torch.native_dropout(x, self.p, True)[0]


class MLP(nn.Sequential):
    """For each patch by itself, four times as wide inside: (B, N, C) -> (B, N, C)."""

    def __init__(self, n_embd: int, dropout: float) -> None:
        wide = 4 * n_embd
        super().__init__(sized_linear(n_embd, wide), nn.GELU(), sized_linear(wide, n_embd), Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        return in_parts(super().forward, rows_at_once(rows, 4), rows).view_as(x)
