"""AGIFORMER: a model that reads patches of bytes, and writes bytes (architecture: github.com/inkbytefo/agi-former)."""

import math

import torch
from torch import Tensor, nn

from course_lib.config import AGIFormerConfig
from course_lib.models.agiformer.blocks import HybridBlock
from course_lib.models.agiformer.byte_decoder import ByteDecoder
from course_lib.models.agiformer.patches import Encoder
from course_lib.models.agiformer.state import PatchCache, Tables
from course_lib.models.agiformer.thinking import Thinking

LOUDER = 8.0
"""By how much the first weights of the byte decoder's last matrix are larger than torch's."""


class AGIFormer(nn.Module):
    """``model(idx)`` -> logits: ``logits[:, t]`` are the scores of byte t + 1.

    They come from the latent of the last patch that was whole before that byte's own, and from the bytes of its own
    patch up to t. So T need not be a multiple of the patch. The parts bear the names that the original gives them.
    """

    context = None  # how many bytes it sees: without limit

    def __init__(self, config: AGIFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.layers = nn.ModuleList(HybridBlock(config) for _ in range(config.n_layer))
        self.norm_f = nn.LayerNorm(config.n_embd)
        self.reasoning = Thinking(config)
        self.head = ByteDecoder(config)
        self.start = nn.Parameter(torch.zeros(config.n_embd)) if config.own_start else None
        """What the first patch's bytes are guessed from."""
        if config.init == "scaled":
            self._scale_weights()

    @torch.no_grad()
    def _scale_weights(self) -> None:
        """A quieter residual stream, as in a GPT, and a louder byte decoder; from torch's defaults.

        Projections into the stream are smaller by sqrt(2 n_layer). torch draws a GRU's weights for its state alone;
        here what goes in has a variance of 1 for each half. The last matrix makes scores that differ by about 1, and
        hands so much gradient back that the GRU need not find it first.
        """
        for block in self.layers:
            for projection in (block.out_proj, block.mlp[2]):  # type: ignore[index]
                projection.weight.div_(math.sqrt(2 * self.config.n_layer))
        self.head.rnn.weight_ih_l0.mul_(math.sqrt(3))  # uniform up to a / sqrt(H) has a std of a / sqrt(3 H)
        self.head.head.weight.mul_(LOUDER)

    def forward(self, idx: Tensor, cache: PatchCache | None = None) -> Tensor:
        """Scores of the next byte at each place: `scores` of `hidden`.

        Args:
            idx: (B, T) int64, bytes; any T.
            cache: from `new_cache`: idx then holds only the bytes that come after those in it.

        Returns:
            logits (B, T, 256).
        """
        return self.scores(self.hidden(idx, cache))

    def hidden(self, idx: Tensor, cache: PatchCache | None = None) -> Tensor:
        """The byte decoder's states, (B, T) -> (B, T, n_hidden), before they become scores."""
        if cache is not None:
            return self._one(idx, cache) if idx.shape[1] == 1 and cache.hidden is not None else self._more(idx, cache)
        whole = idx[:, : idx.shape[1] // self.config.patch_size * self.config.patch_size]
        latents = torch.cat((self._begin(len(idx)), self.latents(whole)), dim=1)
        return self.head(latents, idx)

    def scores(self, hidden: Tensor) -> Tensor:
        """``hidden`` (..., T, n_hidden) -> logits (..., T, 256)."""
        return self.head.scores(hidden)

    def latents(self, idx: Tensor, cache: PatchCache | None = None) -> Tensor:
        """What each whole patch leaves for the bytes of the next one: (B, N x P) -> (B, N, C)."""
        return self.reasoning(self.intuition(idx, cache))

    def intuition(self, idx: Tensor, cache: PatchCache | None = None) -> Tensor:
        """The latents before thinking, (B, N x P) -> (B, N, C)."""
        if not idx.shape[1]:
            return self._begin(len(idx))[:, :0]
        patches = idx.unflatten(1, (-1, self.config.patch_size))
        start = 0 if cache is None else cache.length // self.config.patch_size
        x = self.encoder(patches, start, None if cache is None else cache.tables.encoder)
        rotary = self._rotary(start, x) if self.config.position == "rope" else None
        for i, block in enumerate(self.layers):
            x = block(x, rotary, None if cache is None else cache.layers[i])
        return self.norm_f(x)

    def _rotary(self, start: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tables of the places of ``x``, each (N, E / 2): made anew, as there is no last place."""
        E = self.config.n_embd // self.config.n_head
        exact = {"dtype": torch.float64, "device": "cpu"}  # on the CPU: Apple's GPU has no float64
        frequencies = 10_000.0 ** (-torch.arange(0, E, 2, **exact) / E)
        angles = torch.outer(torch.arange(start, start + x.shape[1], **exact), frequencies)
        return angles.cos().float().to(x.device), angles.sin().float().to(x.device)

    def _begin(self, rows: int) -> Tensor:
        """The latent that the first patch is guessed from, (B, 1, C)."""
        start = self.norm_f.weight.new_zeros(self.config.n_embd) if self.start is None else self.start
        return start.expand(rows, 1, -1)

    # ---- generation --------------------------------------------------------------------------------------

    def new_cache(self, batch_size: int) -> PatchCache:
        """Nothing read yet, for ``batch_size`` texts, on the model's device."""
        pending = torch.zeros((batch_size, 0), dtype=torch.long, device=self.norm_f.weight.device)
        tables = Tables(self.encoder.table(), self.head.table())
        return PatchCache(self.config.n_layer, self.config.window_size, pending, self._begin(batch_size), tables)

    def _more(self, idx: Tensor, cache: PatchCache) -> Tensor:
        """Any number of bytes after those in the cache: all of them at once."""
        P, seen = self.config.patch_size, cache.pending.shape[1]
        read = torch.cat((cache.pending, idx), dim=1)
        whole = read.shape[1] // P * P
        latents = torch.cat((cache.latent, self.latents(read[:, :whole], cache)), dim=1)
        states = self.head(latents, read, cache.tables.decoder)
        cache.pending, cache.latent = read[:, whole:], latents[:, -1:]
        cache.gates = self.head.gates(cache.latent[:, 0])
        cache.hidden, cache.length = states[:, -1], cache.length + idx.shape[1]
        return states[:, seen:]

    def _one(self, idx: Tensor, cache: PatchCache) -> Tensor:
        """One byte: mostly a step of the byte decoder; where it makes a patch whole, a step of everything."""
        table = cache.tables.decoder
        if cache.pending.shape[1] + 1 < self.config.patch_size:
            cache.pending = torch.cat((cache.pending, idx), dim=1)
            cache.hidden = self.head.next(cache.hidden, idx[:, 0], cache.gates, table)
        else:
            cache.latent = self.latents(torch.cat((cache.pending, idx), dim=1), cache)
            cache.pending = idx[:, :0]
            cache.gates = self.head.gates(cache.latent)[:, 0]
            cache.hidden = self.head.first(cache.gates, table)
        cache.length += 1
        return cache.hidden[:, None]

    # ---- what it is --------------------------------------------------------------------------------------

    def think(self, steps: int | None = None, enough: float | None = None) -> None:
        """Change how long it thinks, from the next call on: see `thinking.Thinking.change`."""
        self.reasoning.change(steps, enough)

    def auxiliary_loss(self) -> Tensor | None:
        """What training adds to the loss of the last forward pass: the ponder cost; None without adaptive thinking.

        It is handed out with its gradient once, so that the model holds on to no graph.
        """
        ponder = self.reasoning.ponder
        if ponder is None:
            return None
        self.reasoning.ponder = ponder.detach()
        return self.config.ponder_cost * ponder

    def num_parameters(self) -> int:
        """How many weights there are."""
        return sum(p.numel() for p in self.parameters())

    def flops_per_token(self) -> float:
        """Floating-point operations of one training step per byte: 6 per weight that multiplies, and the attentions.

        A patch's weights count once for its P bytes, those of thinking as often as it thinks. Tables by byte value are
        multiplied out once for a batch, and not counted.
        """
        c = self.config
        E, C, H = c.n_embd // c.n_head, c.n_embd, c.n_hidden
        blocks = sum(p.numel() for p in self.layers.parameters() if p.ndim == 2)
        thinking = c.thinking_steps * sum(p.numel() for p in self.reasoning.parameters() if p.ndim == 2)
        window = 2 * C * c.window_size * c.n_layer  # both products of the window, over W keys
        sums = 2 * C * E * c.n_layer  # into the running sums, and out of them
        latent = C * H + 3 * H * H
        per_byte = 3 * H * H * (c.patch_size - 1) / c.patch_size + 256 * H
        return 6 * ((blocks + thinking + window + sums + latent) / c.patch_size + per_byte)
