"""How a trained model writes: prefill, then one token at a time.

This module sees token ids only: no text, no tokenizer, no file.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError


def token_probabilities(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """From scores to the distribution a token is drawn from: (..., V) -> (..., V), rows sum to 1.

    ``temperature`` divides the scores: below 1 the likely grow likelier. ``top_k`` keeps the k likeliest
    tokens (Fan et al. 2018). ``top_p`` keeps the smallest set of likeliest tokens whose probabilities,
    after temperature and top_k, sum to at least p (nucleus sampling, Holtzman et al. 2020).
    ``temperature=0`` puts all on the likeliest token, the first one of equals.
    """
    _check(temperature, top_k, top_p)
    if temperature == 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits, dtype=torch.float32).scatter_(-1, best, 1.0)
    scores = logits.float() / temperature
    if top_k is not None and top_k < scores.shape[-1]:
        threshold = scores.topk(top_k, dim=-1).values[..., -1:]
        scores = scores.masked_fill(scores < threshold, -torch.inf)
    probabilities = scores.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered  # what the likelier tokens hold together
        ordered = ordered.masked_fill(before >= top_p, 0.0)
        probabilities = torch.zeros_like(probabilities).scatter_(-1, places, ordered)
        probabilities = probabilities / probabilities.sum(dim=-1, keepdim=True)
    return probabilities


def _check(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 <= temperature < float("inf"):
        raise CourseError(f"temperature should be 0 (greedy) or more; it is {temperature}.")
    if top_k is not None and top_k < 1:
        raise CourseError(f"top_k should be at least 1, or None for all tokens; it is {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise CourseError(f"top_p should be above 0 and at most 1, or None for all tokens; it is {top_p}.")


@torch.inference_mode()
def stream(
    model: nn.Module,
    idx: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    use_cache: bool = True,
    seed: int | None = None,
) -> Iterator[Tensor]:
    """The new tokens one by one, each (B, 1): `generate` for those who want to watch.

    Up to block_size the cache serves: the prompt goes through once (prefill), then each new token alone
    (decode). Past it the window slides: the oldest tokens are cropped, and as that moves every token's
    position, each step is computed afresh.
    """
    _check(temperature, top_k, top_p)
    if idx.ndim != 2 or idx.shape[1] == 0:
        raise CourseError(f"The prompt should be token ids (B, T) with T at least 1; its shape is {tuple(idx.shape)}.")
    block_size = model.config.block_size
    device = next(model.parameters()).device
    generator = torch.Generator(device)
    generator.seed() if seed is None else generator.manual_seed(seed)
    idx = idx.to(device)[:, -block_size:]
    cache = model.new_cache(idx.shape[0]) if use_cache else None
    for _ in range(max_new_tokens):
        if cache is not None and idx.shape[1] <= block_size:
            logits = _last_logits(model, idx[:, cache.length :], cache)
        else:
            cache = None
            idx = idx[:, -block_size:]
            logits = _last_logits(model, idx, None)
        if temperature == 0:
            token = logits.argmax(dim=-1, keepdim=True)
        else:
            probabilities = token_probabilities(logits, temperature, top_k, top_p)
            token = torch.multinomial(probabilities, 1, generator=generator)  # (B, 1)
        idx = torch.cat((idx, token), dim=1)
        yield token


def _last_logits(model: nn.Module, idx: Tensor, cache: object) -> Tensor:
    """Scores (B, V) of what follows the last token; the model is in evaluation mode for that moment.

    Only for that moment: between two tokens the caller may go on training.
    """
    was_training = model.training
    if was_training:
        model.eval()
    try:
        return model(idx, cache)[:, -1] if cache is not None else model(idx)[:, -1]
    finally:
        if was_training:
            model.train()


def generate(
    model: nn.Module,
    idx: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    use_cache: bool = True,
    seed: int | None = None,
) -> Tensor:
    """Continue ``idx`` (B, T) by ``max_new_tokens``: (B, T + max_new_tokens) int64.

    Args:
        model: with ``config.block_size``; with ``new_cache``, if ``use_cache``.
        idx: the prompt, at least one token; of a long one, the last block_size tokens count.
        temperature, top_k, top_p: see `token_probabilities`; temperature 0 is greedy.
        use_cache: keep keys and values instead of computing them again (see `stream`).
        seed: where the draws start; None starts anywhere. torch's own generator is left alone.

    Raises:
        CourseError: for an empty prompt or a setting out of range.
    """
    if max_new_tokens < 0:
        raise CourseError(f"max_new_tokens should be at least 0; it is {max_new_tokens}.")
    new = list(stream(model, idx, max_new_tokens, temperature, top_k, top_p, use_cache, seed))
    return torch.cat([idx, *(token.to(idx.device) for token in new)], dim=1)
