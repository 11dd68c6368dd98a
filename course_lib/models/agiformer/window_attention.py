"""Window attention that costs the window: each patch looks at the last W patches, itself among them."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.models.agiformer.state import LayerState
from course_lib.models.attention import rotate
from course_lib.models.linear import Linear


def window_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Softmax attention of N queries over the last ``window`` keys each: (B, H, N, E).

    Blocks of ``window`` queries look at the 2 x ``window`` keys that end with them, under a mask in the shape of a
    band. So time and memory grow with N x W, never with N x N. The kernel keeps no table of weights either.

    Args:
        q: (B, H, N, E).
        k, v: (B, H, M + N, E): those of M patches before these come first.
        window: W. Of the M earlier patches only the last W - 1 are looked at.
    """
    B, H, N, E = q.shape
    earlier = k.shape[2] - N
    if N == 1:
        return F.scaled_dot_product_attention(q, k[:, :, -window:], v[:, :, -window:])
    if not earlier and N <= window:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    size = min(window, N)  # of a block of queries; it looks at ``reach`` keys
    reach, blocks = size + window, -(-N // size)
    before, after = window - earlier, blocks * size - N
    # (B, H, M + N, E) -> (B, H, blocks, reach, E): overlapping, block b begins at b x size. A negative ``before`` cuts.
    k, v = (F.pad(x, (0, 0, before, after)).unfold(2, reach, size).mT for x in (k, v))
    q = F.pad(q, (0, 0, 0, after)).unflatten(2, (blocks, size))
    # A kernel for (rows, H, queries, E): a row is one block of one text
    q, k, v = (x.transpose(1, 2).reshape(B * blocks, H, -1, E) for x in (q, k, v))
    mask = _band(blocks, size, window, before, q).repeat(B, 1, 1, 1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # (B x blocks, H, size, E) -> (B, blocks, H, size, E) -> (B, H, blocks x size, E)
    return out.unflatten(0, (B, blocks)).transpose(1, 2).flatten(2, 3)[:, :, :N]


def _band(blocks: int, size: int, window: int, missing: int, like: Tensor) -> Tensor:
    """What is added to the scores, (blocks, 1, size, size + window): 0 where a query may look, -inf elsewhere.

    The first ``missing`` keys of all are padding. A row that is all padding cannot be: each query sees itself.
    """
    place = partial(torch.arange, device=like.device)
    query = place(size)[:, None] + window  # among the keys of its block
    key = place(size + window)[None]
    inside = (key <= query) & (key > query - window)
    real = key + size * place(blocks)[:, None, None] >= missing  # (blocks, 1, reach)
    mask = torch.zeros((blocks, 1, size, size + window), dtype=like.dtype, device=like.device)
    return mask.masked_fill_(~(inside & real)[:, None], -math.inf)


class WindowAttention(nn.Module):
    """Looks at the last W patches, each by itself."""

    def __init__(self, n_embd: int, n_head: int, window: int) -> None:
        super().__init__()
        self.n_head, self.window = n_head, window
        self.qkv = Linear(n_embd, 3 * n_embd)
        self.proj = Linear(n_embd, n_embd)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, state: LayerState | None) -> Tensor:
        """(B, N, C) -> (B, N, C). ``rotary`` holds the tables of these N places; ``state`` the patches before."""
        B, N, C = x.shape
        # (B, N, 3C) -> (B, N, 3, H, E) -> three of (B, H, N, E)
        q, k, v = self.qkv(x).view(B, N, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        if state is not None:
            k, v = state.with_earlier(k, v)
        y = window_attention(q, k, v, self.window)
        return self.proj(y.transpose(1, 2).reshape(B, N, C))  # the heads side by side again
