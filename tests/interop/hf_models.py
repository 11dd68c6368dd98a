"""Random GPT-2s of transformers, and what it means to compute the same."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from course_lib.models import GPT

SMALL = dict(vocab_size=101, n_positions=16, n_embd=24, n_layer=2, n_head=3, bos_token_id=None, eos_token_id=None)


def build_hf(seed: int = 0, **changes) -> GPT2LMHeadModel:
    """A GPT2LMHeadModel with large random weights, biases and gains, so that no part of it is without effect."""
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(**(SMALL | changes))).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            small = name == "transformer.wte.weight"
            p.normal_(std=(0.5 if small else 1.5) / p.shape[1] ** 0.5) if p.ndim == 2 else p.add_(
                torch.randn_like(p) * 0.3
            )
    return model


def same_logits(hf: GPT2LMHeadModel, model: GPT) -> None:
    torch.manual_seed(1)
    idx = torch.randint(hf.config.vocab_size, (3, hf.config.n_positions))
    with torch.no_grad():
        wanted, found = hf(idx).logits, model(idx)
    assert wanted.std() > 0.3
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
