"""Window attention that costs the window: each patch looks at the last W patches, itself among them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.models.agiformer.state import LayerState
from course_lib.models.attention import rotate
from course_lib.models.linear import sized_linear


def window_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Softmax attention of N queries over the last ``window`` keys each: (B, H, N, E).

    A block of ``window`` queries looks at its own keys and at those of the block before it, under a mask in the shape
    of a band; the first block looks at itself. So time and memory grow with N x W, never with N x N, and the kernel
    keeps no table of weights either.

    Args:
        q: (B, H, N, E).
        k, v: (B, H, M + N, E): those of M patches before these come first, W - 1 of them at most.
        window: W.
    """
    B, N, M = q.shape[0], q.shape[2], k.shape[2] - q.shape[2]
    if N == 1:
        return F.scaled_dot_product_attention(q, k, v)
    q = F.pad(q, (0, 0, M, 0))  # the patches before ask as well; what they hear is thrown away
    if window >= M + N:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, :, M:]
    q, k, v = (F.pad(x, (0, 0, 0, -(M + N) % window)).unflatten(2, (-1, window)).transpose(1, 2) for x in (q, k, v))
    # Each is (B, blocks, H, W, E). Keys and values, beside those of the block before: (B, blocks - 1, H, 2W, E)
    k, v = (torch.cat((x[:, :-1], x[:, 1:]), dim=3) for x in (k, v))
    first = F.scaled_dot_product_attention(q[:, 0], k[:, 0, :, :window], v[:, 0, :, :window], is_causal=True)
    # To the kernel a block is one row of a batch.
    q, k, v = q[:, 1:].flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)
    rest = F.scaled_dot_product_attention(q, k, v, attn_mask=band(window, q))
    rest = rest.transpose(1, 2).unflatten(0, (B, -1)).flatten(1, 2)  # -> (B, (blocks - 1) x W, H, E)
    return torch.cat((first.transpose(1, 2), rest), dim=1)[:, M : M + N].transpose(1, 2)


def band(window: int, like: Tensor) -> Tensor:
    """What is added to the scores of a block on itself and the one before, (W, 2W): 0, or -inf outside the window."""
    query = torch.arange(window, 2 * window, device=like.device)[:, None]
    key = torch.arange(2 * window, device=like.device)
    mask = torch.zeros((window, 2 * window), dtype=like.dtype, device=like.device)
    return mask.masked_fill_((key > query) | (key <= query - window), -math.inf)


class WindowAttention(nn.Module):
    """Looks at the last W patches, each by itself."""

    def __init__(self, n_embd: int, n_head: int, window: int) -> None:
        super().__init__()
        self.n_head, self.window = n_head, window
        self.qkv = sized_linear(n_embd, 3 * n_embd)
        self.proj = sized_linear(n_embd, n_embd)

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
