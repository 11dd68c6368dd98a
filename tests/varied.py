"""A GPT whose choices vary: what samples and caches are compared on."""

from typing import Any

import torch

from course_lib.config import GPTConfig
from course_lib.models import GPT


def varied_gpt(block_size: int, vocab_size: int, **changes: Any) -> GPT:
    """A small model in evaluation mode, its weights so large, in its tables too, that no two choices are near a tie."""
    torch.manual_seed(0)
    shape = dict(block_size=block_size, vocab_size=vocab_size, n_layer=2, n_head=2, n_embd=24, tie_weights=False)
    model = GPT(GPTConfig(**(shape | changes))).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=0.5) if p.ndim == 2 else p.add_(torch.randn_like(p) * 0.2)
    return model
