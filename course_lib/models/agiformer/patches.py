"""From bytes to patches: P bytes become one vector."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.config import AGIFormerConfig
from course_lib.models.agiformer.parts import Dropout


class Encoder(nn.Module):
    """Byte embedding, a convolution of kernel and stride P, normalization."""

    def __init__(self, config: AGIFormerConfig) -> None:
        super().__init__()
        C, P = config.n_embd, config.patch_size
        self.byte_embedding = nn.Embedding(config.vocab_size, C)
        self.patch_conv = nn.Conv1d(C, C, P, stride=P)
        self.rotates = config.position == "patch"
        if self.rotates:  # the original keeps them in its file
            self.register_buffer("inv_freq", 1.0 / (10_000 ** (torch.arange(0, C, 2).float() / C)))
        self.norm = nn.LayerNorm(C)
        self.dropout = Dropout(config.dropout)

    def table(self) -> Tensor:
        """What a byte adds to its patch, by its place there and its value: (P, 256, C).

        Embedding and convolution are one linear map of each byte. There are 256 of those and P places, so that all of
        them together cost less than the bytes of a batch one by one.
        """
        # (256, C_in) x (P, C_in, C_out) -> (P, 256, C_out)
        return self.byte_embedding.weight @ self.patch_conv.weight.permute(2, 1, 0)

    def forward(self, patches: Tensor, start: int, table: Tensor | None = None) -> Tensor:
        """(B, N, P) bytes -> (B, N, C); the first of them is patch number ``start`` of the text."""
        table = self.table() if table is None else table
        x = self.patch_conv.bias.to(table.dtype) + F.embedding(patches[..., 0], table[0])
        for place in range(1, patches.shape[-1]):
            x = x + F.embedding(patches[..., place], table[place])
        if self.rotates:
            x = self._rotated(x, start)
        return self.dropout(self.norm(x))

    def _rotated(self, x: Tensor, start: int) -> Tensor:
        """Pairs (x[i], x[i + C/2]) turned by the patch's number times a frequency, in fp32 as the original has it.

        The place is then part of what the patch says. Unlike rotary queries and keys, that does not make products
        depend on distance alone.
        """
        place = torch.arange(start, start + x.shape[1], device=x.device, dtype=torch.float32)
        angles = place[:, None] * self.inv_freq  # (N, C/2)
        cos, sin = angles.cos(), angles.sin()
        first, second = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
