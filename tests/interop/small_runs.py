"""Small runs for the C++ program to read, in every form that a GPT can have."""

from dataclasses import dataclass
from pathlib import Path

import torch

from course_lib import checkpoint
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.models import GPT
from course_lib.tokenizers import CharTokenizer, Tokenizer

FORMS = {
    "gpt2": dict(bias=True),
    "modern": dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2", tie_weights=False),
    "swiglu": dict(position="rope", norm="rmsnorm", mlp="swiglu", tie_weights=False),
    "swiglu with biases": dict(mlp="swiglu", bias=True, norm="rmsnorm", qk_norm=True, n_embd=40, n_head=4),
    "rope and LayerNorm": dict(position="rope", n_embd=96),
    "an odd head": dict(n_embd=27, n_head=3, tie_weights=False),
    "bytes": dict(vocab_size=256, n_layer=3),
}


@dataclass
class Small:
    """A run on the disk, and the model in it."""

    path: Path
    model: GPT
    tokenizer: Tokenizer


def build(**changes) -> GPT:
    """A small model with large random weights, so that its choices vary and no part of it is without effect."""
    torch.manual_seed(0)
    shape = dict(block_size=24, vocab_size=23, n_layer=2, n_head=2, n_embd=32)
    model = GPT(GPTConfig(**(shape | changes))).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            # A tied head prefers the token it has just seen, unless the blocks outweigh the embedding.
            size = 0.5 if model.config.tie_weights and name == "token_embedding.weight" else 1.5
            p.normal_(std=size / p.shape[1] ** 0.5) if p.ndim == 2 else p.add_(torch.randn_like(p) * 0.3)
    return model


def keep(folder: Path, model: GPT, tokenizer: Tokenizer | None = None) -> Small:
    """A run directory with the one save 7."""
    tokenizer = tokenizer or CharTokenizer("".join(chr(97 + i) for i in range(model.config.vocab_size)))
    settings = RunConfig("test", DataConfig(), model.config, TrainConfig())
    checkpoint.create_run(folder, settings, tokenizer)
    checkpoint.save(folder, 7, model)
    return Small(folder, model, tokenizer)
