"""What several parts share: the MLP, dropout in one byte per number, and less memory for more time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from course_lib.models.linear import sized_linear


def recomputed(part: Callable[..., Tensor], *given: Any) -> Tensor:
    """``part(*given)``, of which the backward pass keeps what went in, and computes the rest again."""
    return checkpoint(part, *given, use_reentrant=False) if torch.is_grad_enabled() else part(*given)


class Dropout(nn.Dropout):
    """nn.Dropout; on a CPU torch's own keeps its mask as floats until the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return torch.native_dropout(x, self.p, True)[0]


def mlp(n_embd: int, dropout: float) -> nn.Sequential:
    """For each patch by itself, four times as wide inside: (B, N, C) -> (B, N, C)."""
    wide = 4 * n_embd
    return nn.Sequential(sized_linear(n_embd, wide), nn.GELU(), sized_linear(wide, n_embd), Dropout(dropout))
