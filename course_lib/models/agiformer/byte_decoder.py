"""From a patch's latent to the scores of the next patch's bytes, one after another: a GRU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.config import AGIFormerConfig
from course_lib.models.agiformer.parts import in_parts, recomputed, rows_at_once
from course_lib.models.linear import sized_linear

ROWS = 256
"""Patches that are computed again at a time, with the setting recompute."""


class ByteDecoder(nn.Module):
    """In each patch a GRU (Cho et al. 2014) reads the byte before and the latent, and guesses the byte.

    It computes what nn.GRU does, with less: what goes in is a byte's embedding beside the latent, so the input product
    is a sum of two. The byte's part is a table of 256 rows, the latent's part is the same for all bytes of a patch. In
    a patch's first step the state is zero, and there is no recurrent product.
    """

    def __init__(self, config: AGIFormerConfig) -> None:
        super().__init__()
        self.patch_size, self.recompute, hidden = config.patch_size, config.recompute, config.n_hidden
        self.proj_latent = sized_linear(config.n_embd, hidden)
        self.byte_emb = nn.Embedding(config.vocab_size + config.own_start, hidden)
        self.start = config.vocab_size if config.own_start else 0
        """The row that begins each patch: one of its own, or in the original byte 0's."""
        self.rnn = nn.GRU(2 * hidden, hidden, batch_first=True)  # holds the weights, under torch's names
        self.head = sized_linear(hidden, config.vocab_size)

    def table(self) -> Tensor:
        """What a byte adds to the three gates, by its value: (256 or 257, 3 n_hidden)."""
        weight, _ = self.rnn.weight_ih_l0.chunk(2, dim=1)
        return F.linear(self.byte_emb.weight, weight, self.rnn.bias_ih_l0)

    def gates(self, latents: Tensor) -> Tensor:
        """What a latent adds to the three gates of all bytes of its patch: (..., C) -> (..., 3 n_hidden)."""
        _, weight = self.rnn.weight_ih_l0.chunk(2, dim=1)
        return F.linear(self.proj_latent(latents), weight)

    def first(self, gates: Tensor, table: Tensor) -> Tensor:
        """The state after a patch's start symbol, (rows, 3 n_hidden) -> (rows, n_hidden)."""
        hidden = gates.shape[-1] // 3
        bias = self.rnn.bias_hh_l0.to(gates.dtype)
        x_rz, x_n = (gates + table[self.start]).split((2 * hidden, hidden), dim=-1)
        r, z = torch.sigmoid(x_rz + bias[: 2 * hidden]).chunk(2, dim=-1)
        n = torch.tanh(x_n + r * bias[2 * hidden :])
        return n - z * n

    def next(self, state: Tensor, byte: Tensor, gates: Tensor, table: Tensor) -> Tensor:
        """The state after one more byte (rows,) of each patch, (rows, n_hidden)."""
        hidden = state.shape[-1]
        x_rz, x_n = (gates + F.embedding(byte, table)).split((2 * hidden, hidden), dim=-1)
        h_rz, h_n = F.linear(state, self.rnn.weight_hh_l0, self.rnn.bias_hh_l0).split((2 * hidden, hidden), dim=-1)
        r, z = torch.sigmoid(x_rz + h_rz).chunk(2, dim=-1)
        return torch.lerp(torch.tanh(x_n + r * h_n), state, z)

    def forward(self, latents: Tensor, idx: Tensor, table: Tensor | None = None) -> Tensor:
        """The states from which bytes 1 to T are guessed, byte 0 being the first of a patch.

        Args:
            latents: (B, T // P + 1, C): what each patch's bytes are guessed from, the last one perhaps for one byte.
            idx: (B, T) bytes.

        Returns:
            (B, T, n_hidden); row t has seen the latents of its patch's past, and the bytes of its patch up to t.
        """
        table = self.table() if table is None else table
        B, M, _ = latents.shape
        T = idx.shape[1]
        P = self.patch_size
        gates = self.gates(latents).flatten(0, 1)  # (B * M, 3 n_hidden)
        patches = F.pad(idx, (0, M * P - T)).reshape(B * M, P)
        if self.recompute:
            states = in_parts(lambda *part: recomputed(self._states, *part, table), ROWS, gates, patches)
        else:
            states = in_parts(lambda *part: self._states(*part, table), rows_at_once(gates), gates, patches)
        return states.view(B, M * P, -1)[:, 1 : T + 1]

    def _states(self, gates: Tensor, patches: Tensor, table: Tensor) -> Tensor:
        """All states of patches (rows, P), each by itself: (rows, P, n_hidden)."""
        states = [self.first(gates, table)]
        for place in range(patches.shape[1] - 1):
            states.append(self.next(states[-1], patches[:, place], gates, table))
        return torch.stack(states, dim=1)

    def scores(self, states: Tensor) -> Tensor:
        """(..., T, n_hidden) -> logits (..., T, 256)."""
        return self.head(states)
