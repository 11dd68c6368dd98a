"""microGPT's model: weights, and the way from one token to guesses about the next.

The architecture of microGPT (Karpathy, 2026): GPT-2's blocks, with RMSNorm for LayerNorm, squared ReLU
for GELU, and no biases. ``parts`` is the module that does the arithmetic, `scalar` or `vector`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from course_lib.errors import CourseError, need_whole

Weights = dict[str, list[Any]]
"""Each matrix by its name: a list of rows, in whichever kind of row the parts work on."""


@dataclass(frozen=True)
class MicroConfig:
    """The sizes of the model.

    Raises:
        CourseError: for a size that is no whole number from 1 on, or an n_embd that the heads cannot share.
    """

    vocab_size: int = 27
    block_size: int = 8
    n_layer: int = 1
    n_head: int = 4
    n_embd: int = 16

    def __post_init__(self) -> None:
        for name in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd"):
            need_whole(name, getattr(self, name), low=1)
        if self.n_embd % self.n_head:
            raise CourseError(f"n_embd should be a multiple of n_head ({self.n_head}); it is {self.n_embd}.")


def draw_weights(config: MicroConfig, generator: random.Random) -> dict[str, list[list[float]]]:
    """Random numbers for every matrix, as rows of (out, in), drawn row by row.

    The matrices that write into the residual stream begin at 0, so that at first each block changes
    nothing. Their zeros are drawn too: the numbers after them are then those of the original program.
    """

    def draw(rows: int, columns: int, std: float = 0.02) -> list[list[float]]:
        return [[generator.gauss(0, std) for _ in range(columns)] for _ in range(rows)]

    width = config.n_embd
    weights = {
        "wte": draw(config.vocab_size, width),
        "wpe": draw(config.block_size, width),
        "lm_head": draw(config.vocab_size, width),
    }
    for layer in range(config.n_layer):
        weights[f"layer{layer}.attn_wq"] = draw(width, width)
        weights[f"layer{layer}.attn_wk"] = draw(width, width)
        weights[f"layer{layer}.attn_wv"] = draw(width, width)
        weights[f"layer{layer}.attn_wo"] = draw(width, width, std=0)
        weights[f"layer{layer}.mlp_fc1"] = draw(4 * width, width)
        weights[f"layer{layer}.mlp_fc2"] = draw(width, 4 * width, std=0)
    return weights


class Cache:
    """The keys and values of the positions so far: for each layer two lists of vectors (C,)."""

    def __init__(self, n_layer: int) -> None:
        self.keys: list[list[Any]] = [[] for _ in range(n_layer)]
        self.values: list[list[Any]] = [[] for _ in range(n_layer)]


def forward(parts: Any, weights: Weights, config: MicroConfig, token: int, cache: Cache) -> Any:
    """One token -> (V,) logits about the next one; its keys and values are added to the cache."""
    position = len(cache.keys[0])
    x = parts.add(weights["wte"][token], weights["wpe"][position])
    x = parts.rmsnorm(x)
    for layer in range(config.n_layer):
        block = f"layer{layer}"
        # Attention: what do the positions so far have to say?
        normed = parts.rmsnorm(x)
        q = parts.linear(normed, weights[f"{block}.attn_wq"])
        cache.keys[layer].append(parts.linear(normed, weights[f"{block}.attn_wk"]))
        cache.values[layer].append(parts.linear(normed, weights[f"{block}.attn_wv"]))
        heard = parts.attention(q, cache.keys[layer], cache.values[layer], config.n_head)
        x = parts.add(parts.linear(heard, weights[f"{block}.attn_wo"]), x)
        # MLP: each position thinks about it for itself.
        hidden = parts.linear(parts.rmsnorm(x), weights[f"{block}.mlp_fc1"])
        hidden = parts.relu_squared(hidden)
        x = parts.add(parts.linear(hidden, weights[f"{block}.mlp_fc2"]), x)
    return parts.linear(x, weights["lm_head"])


def document_loss(parts: Any, weights: Weights, config: MicroConfig, tokens: list[int]) -> Any:
    """The mean loss in nats over a document's predictions, of which the first ``block_size`` count.

    ``tokens`` has the boundary token at both ends: a document of n letters is n + 1 predictions.
    """
    cache = Cache(config.n_layer)
    losses = []
    for token, target in islice(pairwise(tokens), config.block_size):
        logits = forward(parts, weights, config, token, cache)
        losses.append(parts.cross_entropy(logits, target))
    return parts.mean(losses)


def rows_of(weights: Weights) -> Iterator[Any]:
    """All rows of all matrices, in the order in which they were drawn."""
    for rows in weights.values():
        yield from rows
