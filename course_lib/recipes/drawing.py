"""A GPT that draws sprites, a pixel a token: its recipe, and a trainer made from it."""

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from course_lib.data import LoaderBatches
from course_lib.models import build_model
from course_lib.recipes import Recipe
from course_lib.training import Trainer

SCORED_AT_ONCE = 25
"""Sprites; the score does not depend on it."""
DRAWER = Recipe("sprites", {
    "dataset": "sprites:ghost", "block_size": 256, "n_layer": 2, "n_head": 4, "n_embd": 64, "norm": "rmsnorm",
    "qk_norm": True, "mlp": "relu2", "tie_weights": False, "zero_init": True, "max_steps": 300, "batch_size": 8,
    "optimizer": "muon", "max_lr": 0.02, "head_lr_scale": 0.3, "schedule": "trapezoid", "warmup_steps": 20,
    "eval_every": 50, "device": "cpu", "precision": "fp32",
})  # fmt: skip
"""Enough for one kind of sprite in well under a minute; it is small, so that a card would be no quicker."""


def build_drawer(recipe: Recipe, rows: Dataset[Any], held_out: Dataset[Any]) -> Trainer:
    """A trainer over rows of pixels, with a model whose weights are drawn from the recipe's seed.

    Args:
        rows: `PixelRows` of the sprites to learn from, or a part of them.
        held_out: those that the model is scored on.
    """
    config = recipe.train
    vocab_size = _tokenizer_of(rows).vocab_size
    with torch.random.fork_rng(devices=[]):  # the caller's draws go on as if there had been none here
        torch.default_generator.manual_seed(config.seed)
        model = build_model(recipe.model(vocab_size))
    batches = LoaderBatches(DataLoader(rows, config.batch_size, shuffle=True), config.seed, config.grad_accum)
    return Trainer(model, batches, config, val_batches=LoaderBatches(DataLoader(held_out, SCORED_AT_ONCE)))


def _tokenizer_of(rows: Any) -> Any:
    """That of `PixelRows`, also where ``rows`` are a part of them."""
    return rows.tokenizer if hasattr(rows, "tokenizer") else _tokenizer_of(rows.dataset)
