"""Causal self-attention, rotary positions, and the cache that generation uses."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.models.linear import Linear


class KVCache:
    """The keys and values of all tokens seen so far, for each layer, in memory reserved once.

    ``keys`` and ``values`` are (n_layer, B, H, T_max, head_dim); the first ``length`` places are in use. Where the
    model has embeddings of n-grams, ``tokens`` (B, reach + T_max) remembers the tokens for them, see `digits`.
    """

    def __init__(self, config: GPTConfig, batch_size: int, like: Tensor) -> None:
        head_dim = config.n_embd // config.n_head
        shape = (config.n_layer, batch_size, config.n_head, config.block_size, head_dim)
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.reach = max(config.ngrams, default=1) - 1  # digits that are looked at before a token
        self.tokens = like.new_zeros(batch_size, self.reach + config.block_size, dtype=torch.long)
        self.length = 0

    @property
    def block_size(self) -> int:
        return self.keys.shape[3]

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put T new (B, H, T, head_dim) after the old ones; returns all, (B, H, length + T, head_dim).

        ``length`` moves on once per forward pass, in `advance`, when every layer has appended.
        """
        end = self.length + key.shape[2]
        self.keys[layer, :, :, self.length : end] = key
        self.values[layer, :, :, self.length : end] = value
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def rows(self, tokens: int) -> slice | Tensor:
        """Which rows of a table of positions belong to the T that come next."""
        return slice(self.length, self.length + tokens)

    def digits(self, idx: Tensor) -> Tensor:
        """Put T new tokens (B, T) after the old ones; returns them and the ``reach`` before, (B, reach + T).

        As `NGramEmbedding` has them: token + 1, and 0 before the beginning.
        """
        end = self.length + self.reach + idx.shape[1]
        self.tokens[:, self.length + self.reach : end] = idx + 1
        return self.tokens[:, self.length : end]

    def mask(self, tokens: int) -> Tensor | None:
        """(T, length + T), True where a new token may look; None where T = 1, or is_causal, says it all."""
        if self.length == 0 or tokens == 1:
            return None
        seen = self.length
        return torch.ones(tokens, seen + tokens, dtype=torch.bool, device=self.keys.device).tril(seen)

    def advance(self, tokens: int) -> None:
        self.length += tokens

    def static(self) -> "StaticCache":
        """The same memory, for one token at a time in shapes that do not change."""
        return StaticCache(self)


class StaticCache(KVCache):
    """A `KVCache` that decodes one token in the same operations on the same memory each time.

    So a CUDA graph can hold the step (see `course_lib.graphs`). Where the token goes is a number on the device,
    ``position``, and attention goes over all T_max places, those behind it masked. That costs more arithmetic than the
    growing form, and for one token on a card arithmetic is nothing beside the launching of kernels.
    """

    def __init__(self, cache: KVCache) -> None:
        self.keys, self.values, self.length = cache.keys, cache.values, cache.length
        self.tokens, self.reach = cache.tokens, cache.reach
        self.position = torch.tensor([cache.length], device=self.keys.device)
        self._places = torch.arange(self.block_size, device=self.keys.device)
        self._reached = torch.arange(self.reach + 1, device=self.keys.device)
        self._mask: Tensor | None = None  # of the step at hand, the same for all layers

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put one new (B, H, 1, head_dim) in its place; returns all places, (B, H, T_max, head_dim)."""
        self.keys[layer].index_copy_(2, self.position, key.to(self.keys.dtype))
        self.values[layer].index_copy_(2, self.position, value.to(self.values.dtype))
        return self.keys[layer], self.values[layer]

    def digits(self, idx: Tensor) -> Tensor:
        """As `KVCache.digits`, for one new token: (B, reach + 1)."""
        self.tokens.index_copy_(1, self.position + self.reach, idx + 1)
        return self.tokens.index_select(1, self.position + self._reached)

    def rows(self, tokens: int) -> Tensor:
        """As `KVCache.rows`; ``tokens`` is 1."""
        return self.position

    def mask(self, tokens: int) -> Tensor:
        """(1, T_max), to be added to the scores: 0 up to the new token's own place, -inf behind it."""
        if self._mask is None:
            behind = (self._places > self.position)[None]
            self._mask = torch.zeros_like(behind, dtype=self.keys.dtype).masked_fill_(behind, -math.inf)
        return self._mask

    def advance(self, tokens: int) -> None:
        self.length, self._mask = self.length + tokens, None
        self.position += tokens

    def move_to(self, length: int) -> None:
        """The next token goes to place ``length``; what lies behind it is overwritten before it is looked at."""
        self.length, self._mask = length, None
        self.position.fill_(length)


class PaddedCache(KVCache):
    """A `KVCache` of rows that begin at different places: what stands before a row's beginning is nothing.

    A row's first token has position 0, wherever it stands, and looks at nothing before it. So each row is what it would
    be alone.

    Args:
        padding: (B,) int64, how many places of each row are empty at its front.
    """

    def __init__(self, config: GPTConfig, padding: Tensor, like: Tensor) -> None:
        super().__init__(config, len(padding), like)
        self.padding = padding.to(like.device)[:, None]  # (B, 1)

    def digits(self, idx: Tensor) -> Tensor:
        """As `KVCache.digits`; padding is no token."""
        places = torch.arange(self.length, self.length + idx.shape[1], device=self.keys.device)
        return super().digits(idx.masked_fill(places < self.padding, -1))

    def rows(self, tokens: int) -> Tensor:
        """(B, T): the position of each of the T tokens that come next; of padding 0, which is as good as any."""
        places = torch.arange(self.length, self.length + tokens, device=self.keys.device)
        return (places - self.padding).clamp(min=0)

    def mask(self, tokens: int) -> Tensor:
        """(B, 1, T, length + T), True where a new token may look: from its row's beginning to itself."""
        places = torch.arange(self.length + tokens, device=self.keys.device)
        new = places[self.length :, None]
        seen = (places <= new) & (places >= self.padding[:, None])  # (B, T, length + T)
        return (seen | (places == new))[:, None]  # itself in any case: padding that looks nowhere would become NaN


def rotary_tables(length: int, head_dim: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the angles position * base^(-2i / head_dim), each (length, head_dim / 2).

    Source: Su et al. 2021 (RoFormer), equation 15.
    """
    exact = {"dtype": torch.float64, "device": "cpu"}  # on the CPU: Apple's GPU has no float64
    frequencies = base ** (-torch.arange(0, head_dim, 2, **exact) / head_dim)
    angles = torch.outer(torch.arange(length, **exact), frequencies)
    home = torch.get_default_device()  # what `with torch.device(...)` says
    return angles.cos().float().to(home), angles.sin().float().to(home)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x[i], x[i + head_dim / 2]) of (B, H, T, head_dim) by its position's angle.

    After it, the product of a query and a key depends on their distance alone.
    """
    first, second = x.chunk(2, dim=-1)  # each (B, H, T, head_dim / 2)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


class CausalSelfAttention(nn.Module):
    """Each token looks at itself and at what came before it (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.n_head, self.qk_norm = layer, config.n_head, config.qk_norm
        self.qkv = Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.proj = Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, cache: KVCache | None) -> Tensor:
        """(B, T, C) -> (B, T, C). ``rotary`` holds the tables of these T positions, if RoPE is on."""
        B, T, C = x.shape
        q, k, v = self.split(x, rotary)
        mask = None
        if cache is not None:
            mask = cache.mask(T)
            k, v = cache.append(self.layer, k, v)
        y = F.scaled_dot_product_attention(  # softmax(q k^T / sqrt(head_dim)) v, with the mask
            q, k, v,
            attn_mask=mask,
            dropout_p=self.attn_dropout.p if self.training else 0.0,
            is_causal=mask is None and T > 1,
        )  # fmt: skip
        # (B, H, T, head_dim) -> (B, T, C): the heads side by side again
        return self.resid_dropout(self.proj(y.transpose(1, 2).reshape(B, T, C)))

    def split(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) -> queries, keys and values, each (B, H, T, head_dim)."""
        B, T, C = x.shape
        # (B, T, 3C) -> (B, T, 3, H, head_dim) -> three of (B, H, T, head_dim)
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        if self.qk_norm:  # Henry et al. 2020: bounded scores, whatever the weights
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        return q, k, v

    def weights(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """How much each token takes from each, (B, H, T, T): row t sums to 1 over the places 0 to t.

        For looking at. `forward` never holds this table whole where its kernel can avoid it.
        """
        q, k, _ = self.split(x, rotary)
        scores = q @ k.mT / math.sqrt(q.shape[-1])  # (B, H, T, head_dim) x (B, H, head_dim, T) -> (B, H, T, T)
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        return scores.masked_fill(future, -math.inf).softmax(dim=-1)


@torch.no_grad()
def attention_weights(model: nn.Module, idx: Tensor) -> Tensor:
    """Where each head of each layer looks when ``model`` reads ``idx`` (B, T): (n_layer, B, H, T, T).

    ``[layer, b, h, t, s]`` is the share of token s in what head h hands to token t; zero for s > t.
    """
    found: list[Tensor] = []
    layers = [module for module in model.modules() if isinstance(module, CausalSelfAttention)]
    hooks = [layer.register_forward_pre_hook(lambda m, args: found.append(m.weights(*args[:2]))) for layer in layers]
    try:
        model(idx)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(found)


def check_context(tokens: int, seen: int, block_size: int) -> None:
    """Raise CourseError where a model would be asked to see more than block_size tokens."""
    if seen + tokens > block_size:
        raise CourseError(
            f"The model sees at most block_size = {block_size} tokens; it got {seen + tokens}. Give it the last "
            f"{block_size}, or train one with a larger block_size."
        )
