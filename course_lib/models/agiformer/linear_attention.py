"""Linear attention in linear time: chunks, and a running state between them.

Softmax attention weighs value j for query i by exp(q_i k_j). Linear attention (Katharopoulos et al. 2020) weighs it by
phi(q_i) phi(k_j), which is a plain product: the sum over j of phi(k_j) v_j^T can be kept as one E x E matrix per head,
and what came before costs the same however long it is.
"""

import contextlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.models.agiformer.parts import Dropout
from course_lib.models.agiformer.state import LayerState
from course_lib.models.linear import sized_linear

CHUNK = 64
"""Patches within which every pair is computed; between chunks only the sums are handed on."""
TINY = 1e-4
"""Added to every feature, so that none is 0, and to the denominator."""


def features(x: Tensor) -> Tensor:
    """elu(x) + 1, a little above: positive, so that the weights of a query are shares."""
    return F.elu(x) + (1.0 + TINY)


def linear_attention(q: Tensor, k: Tensor, v: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Causal linear attention, exactly: sum_{j<=i} (q_i k_j) v_j / (sum_{j<=i} q_i k_j + TINY sqrt(E)).

    The original divides q by sqrt(E) and adds TINY to the denominator; that is the same fraction.

    Args:
        q, k: (B, H, N, E), features.
        v: (B, H, N, E).
        sums: (B, H, E, E + 1): of all patches before these, the sum of k^T v, and in the last column that of k.

    Returns:
        (B, H, N, E), and the sums with these patches added.
    """
    N, E = q.shape[2:]
    v = F.pad(v, (0, 1), value=1.0)  # a column of ones: the denominator comes with the numerator
    if N == 1:
        product = k.mT @ v
        sums = product if sums is None else sums + product
        out = q @ sums
    else:
        size = min(CHUNK, N)
        # (B, H, N, E) -> (B, H, chunks, size, E); keys of zeros fill the last chunk and add nothing
        # Each is made contiguous once; every product would make, and keep, a copy of its own.
        q, k, v = (F.pad(x, (0, 0, 0, -N % size)).unflatten(2, (-1, size)).contiguous() for x in (q, k, v))
        products = k.mT @ v  # (B, H, chunks, E, E + 1)
        first = torch.zeros_like(products[:, :, 0]) if sums is None else sums
        totals = torch.cat((first[:, :, None], products), dim=2).cumsum(dim=2)
        out = q @ totals[:, :, :-1] + (q @ k.mT).tril() @ v
        out, sums = out.flatten(2, 3)[:, :, :N], totals[:, :, -1]
    return out[..., :E] / (out[..., E:] + TINY * math.sqrt(E)), sums


def _without_autocast(kind: str) -> contextlib.AbstractContextManager[object]:
    """As it is where a kind of device has no autocast: the meta device, on which steps are counted."""
    has_it = torch.amp.is_autocast_available(kind)
    return torch.autocast(kind, enabled=False) if has_it else contextlib.nullcontext()


class LinearAttention(nn.Module):
    """Looks at all patches so far, through sums of fixed size."""

    def __init__(self, n_embd: int, n_head: int, dropout: float) -> None:
        super().__init__()
        self.n_head = n_head
        self.qkv = sized_linear(n_embd, 3 * n_embd)
        self.out_proj = sized_linear(n_embd, n_embd)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(n_embd)

    def forward(self, x: Tensor, state: LayerState | None) -> Tensor:
        """(B, N, C) -> (B, N, C); ``state`` holds the sums of what came before, and gets the new ones."""
        B, N, C = x.shape
        qkv = self.qkv(x)
        with _without_autocast(x.device.type):  # sums over a whole text: 8 bits would lose the small ones
            qk, v = qkv.to(torch.promote_types(qkv.dtype, torch.float32)).split((2 * C, C), dim=-1)
            # (B, N, 2C) -> (B, N, 2, H, E) -> two of (B, H, N, E)
            q, k = features(qk).view(B, N, 2, self.n_head, -1).permute(2, 0, 3, 1, 4)
            v = v.reshape(B, N, self.n_head, -1).transpose(1, 2)
            out, sums = linear_attention(q, k, v, None if state is None else state.sums)
        if state is not None:
            state.sums = sums
        out = out.transpose(1, 2).reshape(B, N, C)  # the heads side by side again
        return self.dropout(self.norm(self.out_proj(out.to(qkv.dtype))))
