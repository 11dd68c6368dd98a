"""Small runs for the C++ program to read, in every form that a GPT can have."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from course_lib import checkpoint
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.interop.cpp import LETTERS
from course_lib.models import GPT
from course_lib.tokenizers import BPETokenizer, CharTokenizer, Tokenizer

FORMS = {
    "gpt2": dict(bias=True),
    "gpt2's own GELU": dict(bias=True, mlp="gelu_tanh"),
    "modern": dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2", tie_weights=False),
    "swiglu": dict(position="rope", norm="rmsnorm", mlp="swiglu", tie_weights=False),
    "swiglu with biases": dict(mlp="swiglu", bias=True, norm="rmsnorm", qk_norm=True, n_embd=40, n_head=4),
    "rope and LayerNorm": dict(position="rope", n_embd=96),
    "an odd head": dict(n_embd=27, n_head=3, tie_weights=False),
    "bytes": dict(vocab_size=256, n_layer=3),
    "pairs": dict(ngrams=(2,)),
    "n-grams that share rows": dict(ngrams=(2, 3, 5), ngram_rows=37, position="rope", tie_weights=False),
    "a row for every n-gram": dict(ngrams=(2, 3, 5), ngram_rows=8**5, vocab_size=7, tie_weights=False),
    "n-grams longer than the context": dict(ngrams=(3, 32), ngram_rows=100, position="rope", norm="rmsnorm"),
}


SOME_LETTERS = {
    "letters": [65, 90, 97, 122, 0xE9, 0xE9, 0x4E00, 0x9FFF],
    "digits": [48, 57],
    "spaces": [9, 13, 32, 32, 0x2000, 0x200A],
}
"""Enough of the tables that `course export` writes, and small enough to be damaged in every place."""


@dataclass
class Small:
    """A run on the disk, and the model in it."""

    path: Path
    model: GPT
    tokenizer: Tokenizer
    prompt: str = "ab"


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


def keep_byte_pairs(folder: Path) -> Small:
    """A run by byte pairs, with a small table of letters, and a prompt that has every kind of chunk."""
    text = "abab aba, we'll 12 abé中  ab\n\n"
    tokenizer = BPETokenizer.train(text * 3, 268, ["<|end|>"])
    sizes = dict(n_embd=8, n_head=2, n_layer=1, block_size=4, vocab_size=tokenizer.vocab_size)
    run = keep(folder, build(**sizes), tokenizer)
    (folder / LETTERS).write_text(json.dumps(SOME_LETTERS))
    return replace(run, prompt="ab aba'll 'x 12  é中 \u2003 !")
