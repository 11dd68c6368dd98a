"""A decoder-only transformer, from GPT-2's form to today's.

The defaults are GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each part, GELU, and
an output head tied to the token embedding. By configuration each part can be the newer one: RoPE,
RMSNorm, QK-norm, squared ReLU or SwiGLU, an untied head, projections that start at zero, and
embeddings of n-grams beside those of tokens.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.kernels.decoding import is_watched
from course_lib.models.attention import CausalSelfAttention, KVCache, PaddedCache, check_context, rotary_tables
from course_lib.models.last import is_known, last_token
from course_lib.models.linear import Linear, padded_linear
from course_lib.models.ngrams import NGramEmbedding, RowTable, with_nothing_before
from course_lib.models.norm import build_norm

__all__ = ["GPT", "Block", "GPTConfig", "MLP"]


class MLP(nn.Module):
    """Two linear layers with a nonlinearity between, for each token by itself.

    SwiGLU (Shazeer 2020) has a third matrix, the gate; its width is 8/3 C rather than 4 C, so that
    the number of weights stays the same.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.kind = config.mlp
        swiglu = config.mlp == "swiglu"
        hidden = 8 * math.ceil(config.n_embd / 3) if swiglu else 4 * config.n_embd
        self.up = Linear(config.n_embd, 2 * hidden if swiglu else hidden, bias=config.bias)
        self.down = Linear(hidden, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.up(x)  # (B, T, 4C), or (B, T, 2 * hidden) where half of it is the gate
        if self.kind == "gelu":
            x = F.gelu(x)
        elif self.kind == "gelu_tanh":  # as GPT-2 has it (Hendrycks and Gimpel 2016, section 2)
            x = F.gelu(x, approximate="tanh")
        elif self.kind == "relu2":  # So et al. 2021 (Primer)
            x = F.relu(x)
            x = x * x  # cheaper to differentiate than square()
        else:
            x, gate = x.chunk(2, dim=-1)
            x = x * F.silu(gate)
        return self.dropout(self.down(x))


class Block(nn.Module):
    """Attention, then MLP, each added to the residual stream."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.norm1 = build_norm(config)
        self.attn = CausalSelfAttention(config, layer)
        self.norm2 = build_norm(config)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, cache: KVCache | None) -> Tensor:
        x = x + self.attn(self.norm1(x), rotary, cache)
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """``model(idx)`` -> logits: ``logits[:, t]`` are the scores of what follows ``idx[:, t]``."""

    is_capturable = True  # by a CUDA graph, for one shape in evaluation mode: see `course_lib.graphs`
    has_kernel = True  # of its blocks, on a processor: see `course_lib.kernels`

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.ngram_embedding = NGramEmbedding(config) if config.ngrams else None
        self.position_embedding = None
        if config.position == "learned":
            self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        else:
            cos, sin = rotary_tables(config.block_size, config.n_embd // config.n_head)
            self.register_buffer("rotary_cos", cos, persistent=False)
            self.register_buffer("rotary_sin", sin, persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = build_norm(config)
        self.head = Linear(config.n_embd, config.vocab_size, bias=False)
        self._init_weights()
        if config.tie_weights:
            self.head.weight = self.token_embedding.weight

    @property
    def context(self) -> int:
        """How many tokens it sees at most."""
        return self.config.block_size

    def _init_weights(self) -> None:
        """Normal with std 0.02; projections into the residual stream smaller by sqrt(2 n_layer).

        Each block adds two of them to the stream, so its variance stays the same at any depth
        (Radford et al. 2019, section 2.3). With zero_init they, and an untied head, start at zero:
        the first guess is then exactly uniform, its loss ln V.
        """
        config = self.config
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        into_stream = [p for block in self.blocks for p in (block.attn.proj, block.mlp.down)]
        for projection in cast(list[nn.Linear], into_stream):
            nn.init.normal_(projection.weight, std=0.0 if config.zero_init else 0.02 / math.sqrt(2 * config.n_layer))
        if config.zero_init and not config.tie_weights:
            nn.init.zeros_(self.head.weight)

    def forward(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """Scores of the next token at each position: `scores` of `hidden`.

        Returns:
            logits (B, T, V).
        """
        return self.scores(self.hidden(idx, cache))

    def hidden(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """What the model knows at each position, before it becomes scores.

        Args:
            idx: (B, T) int64, T at most block_size (what the cache holds counted in).
            cache: from `new_cache`: idx then holds only the tokens that come after those in it.

        Returns:
            (B, T, C), normalized.

        Raises:
            CourseError: for more than block_size tokens.
        """
        x, rotary = self.start(idx, cache)
        for block in self.blocks:
            x = block(x, rotary, cache)
        if cache is not None:
            cache.advance(idx.shape[1])
        return self.norm(x)

    def last_scores(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """``model(idx, cache)[:, -1]``, (B, T) -> (B, V), in evaluation mode, without what only others would need."""
        last = cast(Block, self.blocks[-1])
        if idx.shape[1] == 1 or type(last) is not Block or not is_known(last) or is_watched(self.modules()):
            return self(idx, cache)[:, -1]
        x, rotary = self.start(idx, cache)
        for block in self.blocks[:-1]:
            x = block(x, rotary, cache)
        x = last_token(last, x, rotary, cache)
        if cache is not None:
            cache.advance(idx.shape[1])
        return self.scores(self.norm(x))[:, 0]

    def start(self, idx: Tensor, cache: KVCache | None) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """What goes into the first block, (B, T, C), and the tables that RoPE turns these T tokens by, if it is on."""
        T = idx.shape[1]
        check_context(T, 0 if cache is None else cache.length, self.config.block_size)
        x = self.dropout(self.embed(idx, cache))
        if self.position_embedding is not None:
            return x, None
        rows = slice(T) if cache is None else cache.rows(T)
        return x, (self.rotary_cos[rows].unsqueeze(-3), self.rotary_sin[rows].unsqueeze(-3))  # the same for all H

    def embed(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """What each token says by itself, with the n-grams that it ends, and by its place: (B, T) -> (B, T, C)."""
        T, x = idx.shape[1], self.token_embedding(idx)
        if (ngrams := self.ngram_embedding) is not None:
            x = x + ngrams(with_nothing_before(idx, ngrams.reach) if cache is None else cache.digits(idx))
        if self.position_embedding is not None:
            rows = slice(T) if cache is None else cache.rows(T)
            x = x + self.position_embedding.weight[rows]  # (T, C), the same for all B but in a PaddedCache
        return x

    def scores(self, hidden: Tensor) -> Tensor:
        """``hidden`` (..., T, C) -> logits (..., T, V)."""
        if hidden.is_cuda and hidden.shape[-2] > 1:  # for one token the copy would cost more than it gains
            return padded_linear(hidden, self.head.weight)
        return self.head(hidden)

    def new_cache(self, batch_size: int) -> KVCache:
        """An empty cache for ``batch_size`` sequences, on the model's device and of its type."""
        return KVCache(self.config, batch_size, like=self.token_embedding.weight)

    def new_padded_cache(self, padding: Tensor) -> PaddedCache:
        """An empty cache for sequences that are padded at their front, each by as many tokens as ``padding`` (B,) says.

        ``model(idx, cache)`` then gives what each sequence would give alone, wherever it is no padding.
        """
        return PaddedCache(self.config, padding, like=self.token_embedding.weight)

    def num_parameters(self, embeddings: bool = True) -> int:
        """How many weights there are, shared ones once; without position and token tables on request."""
        total = sum(p.numel() for p in self.parameters())
        tables = [self.token_embedding, self.position_embedding, *self._row_tables()]
        return total if embeddings else total - sum(t.weight.numel() for t in tables if t is not None)

    def num_active_parameters(self) -> int:
        """How many weights one token meets: all of them, and of each n-gram table the one row that it looks up."""
        return self.num_parameters() - sum(t.weight.numel() - self.config.n_embd for t in self._row_tables())

    def _row_tables(self) -> list[RowTable]:
        return [module for module in self.modules() if isinstance(module, RowTable)]

    def flops_per_token(self) -> float:
        """Floating-point operations of one training step per token, forward and backward.

        6 per weight that multiplies, and 12 n_layer C T for attention's two products
        (Chowdhery et al. 2022, PaLM, appendix B). Looking up an embedding multiplies nothing.
        """
        config = self.config
        matrices = sum(p.numel() for p in self.blocks.parameters() if p.ndim == 2) + self.head.weight.numel()
        return 6 * matrices + 12 * config.n_layer * config.n_embd * config.block_size

    def cropped(self, block_size: int) -> "GPT":
        """A copy with the same weights that sees at most ``block_size`` tokens.

        Raises:
            CourseError: where ``block_size`` is above this model's: learned positions end there.
        """
        if not 1 <= block_size <= self.config.block_size:
            raise CourseError(
                f"block_size should be from 1 to the model's {self.config.block_size}; it is {block_size}. "
                "A model cannot look further than it was trained to: train one with a larger block_size."
            )
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn and thrown away
            smaller = GPT(self.config.replace(block_size=block_size)).to(self.token_embedding.weight)
        weights = self.state_dict()
        if self.position_embedding is not None:
            weights["position_embedding.weight"] = weights["position_embedding.weight"][:block_size]
        smaller.load_state_dict(weights)
        return smaller.train(self.training)
