"""How a trained model writes: prefill, then one token at a time.

This module sees token ids only: no text, no tokenizer, no file.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.device import device_of
from course_lib.errors import CourseError, need_whole
from course_lib.graphs import Decoder
from course_lib.models.mode import evaluating
from course_lib.prompts import as_prompts, seeds_for

ROUNDING = 2e-6
"""A sum that misses top_p by this share of it, or less, has reached it.

Probabilities are computed and added up in float64, but they come from float32 logits. A logit ln q is rounded by up to
u |ln q|, with u = 2**-24 = 6e-8; that moves q by the same share. Let n tokens hold S together. The mean of |ln q| over
them is at most ln n - ln S (their entropy), over all V at most ln V; so S moves by at most u (ln n - ln S + ln V) of
itself. For V = 50,257 and any S from 0.001 on that is at most 29 u = 1.7e-6.
"""
COLDEST = 1e-200
"""Lower temperatures are taken for this one: the likeliest has everything, and no float32 score overflows float64."""
ENDLESS = 2**62
"""Tokens that a model without limit sees: as many as a tensor can hold."""
CHECK_EVERY = 16
"""On a card, `stream` looks this often, in tokens, whether all scores were finite: looking makes the card wait."""


def token_probabilities(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    check_scores: bool = True,
) -> Tensor:
    """From scores to the distribution a token is drawn from: (..., V) -> (..., V) float32, rows sum to 1.

    ``temperature`` divides the scores: below 1 the likely grow likelier. Toward 0 the likeliest takes all; several that
    are exactly equal share it. ``temperature=0`` is greedy: all for the likeliest, the first one of equals.
    ``top_k`` keeps the k likeliest tokens (Fan et al. 2018), and all that tie with the k-th. ``top_p`` keeps the
    smallest set of likeliest tokens whose probabilities, after temperature and top_k, sum to at least p, but for
    rounding (`ROUNDING`); of equals the first (nucleus sampling, Holtzman et al. 2020).

    Raises:
        CourseError: for a setting out of range; for scores that are NaN or +inf, and a row of -inf alone (-inf rules
            a token out). Seeing that makes a card wait: ``check_scores=False`` is for a loop that looks by itself.
    """
    _check_settings(temperature, top_k, top_p)
    if check_scores:
        _need_finite(_are_finite(logits))
    if temperature == 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits, dtype=torch.float32).scatter_(-1, best, 1.0)
    scores = _as_float64(logits) / max(temperature, COLDEST)
    if top_k is not None and top_k < scores.shape[-1]:
        threshold = scores.topk(top_k, dim=-1).values[..., -1:]
        scores = scores.masked_fill(scores < threshold, -torch.inf)
    probabilities = scores.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered  # what the likelier tokens hold together
        ordered = ordered.masked_fill(before >= top_p * (1 - ROUNDING), 0.0)
        probabilities = torch.zeros_like(probabilities).scatter_(-1, places, ordered)
        probabilities = probabilities / probabilities.sum(dim=-1, keepdim=True)
    return probabilities.to(logits.device, torch.float32)


def stream(
    model: nn.Module,
    idx: Tensor | Sequence[int] | Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    use_cache: bool = True,
    seed: int | Sequence[int] | None = None,
    stop: int | None = None,
) -> Iterator[Tensor]:
    """The new tokens one by one, each (B, 1): `generate` for those who want to watch.

    Up to the model's context the cache serves: the prompt goes through once (prefill), then each new token alone
    (decode). Past it the window slides: the oldest tokens are cropped, and as that moves every token's
    position, each step is computed afresh. On a card a step of either kind is a CUDA graph where many of them follow
    (see `course_lib.graphs`) and no prompt is padded. On a processor compiled code decodes, where the model is large
    enough (see `course_lib.kernels`).

    Raises:
        CourseError: as `generate`, at the call. Scores that are not finite are seen before their token is
            yielded; on a card within `CHECK_EVERY` tokens, at the latest with the last one.
    """
    idx, padding, choose = _check_all(model, idx, max_new_tokens, temperature, top_k, top_p, seed, stop)
    return _stream(model, idx, padding, max_new_tokens, choose, use_cache)


def generate(
    model: nn.Module,
    idx: Tensor | Sequence[int] | Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    use_cache: bool = True,
    seed: int | Sequence[int] | None = None,
    stop: int | None = None,
) -> Tensor:
    """Continue ``idx`` (B, T) by ``max_new_tokens``: (B, T + max_new_tokens) int64; by fewer where all met ``stop``.

    Args:
        model: idx (B, T) -> logits (B, T, V); `context_of` says how far it sees. Without ``new_cache`` it goes without.
        idx: the prompt, at least one token: whole numbers (B, T), or a list, [1, 2, 3] being one row. Of a long one,
            the last tokens count, as many as the model sees. Rows of unequal length are padded on the left, with
            ``stop`` or else id 0, and each goes on as its prompt would alone.
        temperature, top_k, top_p: see `token_probabilities`; temperature 0 is greedy.
        use_cache: keep keys and values instead of computing them again (see `stream`).
        seed: where the draws start, from 0 to 2**64 - 1; None starts anywhere. torch's own generator is left alone.
            All rows draw from one generator; with a seed for each row, or prompts of unequal length, each row has its
            own, and draws what its prompt would alone with that seed.
        stop: a token that ends its row: what comes after it there is padding, ``stop`` again. A card is waited for at
            each token then.

    Raises:
        CourseError: for a prompt that is empty or holds ids that the model does not know, a setting out of range,
            and scores of which one is NaN or +inf, or all are -inf.
    """
    idx, padding, choose = _check_all(model, idx, max_new_tokens, temperature, top_k, top_p, seed, stop)
    new = list(_stream(model, idx, padding, max_new_tokens, choose, use_cache))
    return torch.cat([idx, torch.cat(new, dim=1).to(idx.device)], dim=1) if new else idx  # one copy, not one a token


@torch.inference_mode()
def _stream(
    model: nn.Module, idx: Tensor, padding: list[int], max_new_tokens: int, choose: "_Choose", use_cache: bool
) -> Iterator[Tensor]:
    device, stop = device_of(model), choose.stop
    if any(padding) and not hasattr(model, "new_padded_cache"):
        alone = ((idx[i : i + 1, n:], [0], max_new_tokens, choose.of_row(i)) for i, n in enumerate(padding))
        rows = [_stream(model, *row, use_cache) for row in alone]
        filled = torch.full((1, 1), 0 if stop is None else stop, device=device)
        yield from (torch.cat(tokens) for tokens in itertools.zip_longest(*rows, fillvalue=filled))
        return
    reader, generators = _Reader(model, idx.to(device), padding, use_cache), choose.generators(device)
    finite = torch.ones((), dtype=torch.bool, device=device)
    ended = torch.zeros(len(idx), 1, dtype=torch.bool, device=device)
    for n in range(1, max_new_tokens + 1):
        logits = reader.logits(max_new_tokens - n + 1)
        finite = finite & _are_finite(logits)
        if n % _check_every(device) == 0 or n == max_new_tokens or stop is not None:
            _need_finite(finite)
        token = choose(logits, generators)
        if stop is not None:
            token = token.masked_fill(ended, stop)
            ended = ended | (token == stop)
        reader.add(token)
        yield token
        if stop is not None and ended.all():
            return


@dataclass(frozen=True)
class _Choose:
    """How the next token of each row is chosen from its scores (B, V) -> (B, 1), and which one ends a row."""

    temperature: float
    top_k: int | None
    top_p: float | None
    seeds: list[int | None]
    """One for all rows together, or one for each."""
    stop: int | None

    def __call__(self, logits: Tensor, generators: list[torch.Generator]) -> Tensor:
        if self.temperature == 0:
            return logits.argmax(dim=-1, keepdim=True)
        shares = token_probabilities(logits, self.temperature, self.top_k, self.top_p, check_scores=False)
        if len(generators) == 1:
            return _draw(shares, generators[0])
        return torch.cat([_draw(row, generator) for row, generator in zip(shares.split(1), generators)])

    def generators(self, device: torch.device) -> list[torch.Generator]:
        made = [torch.Generator(device) for _ in self.seeds]
        for generator, seed in zip(made, self.seeds):
            generator.seed() if seed is None else generator.manual_seed(seed)
        return made

    def of_row(self, i: int) -> "_Choose":
        return replace(self, seeds=[self.seeds[i if len(self.seeds) > 1 else 0]])


class _Reader:
    """A model and what it has read, at most its context; with a cache as long as nothing has been cropped."""

    def __init__(self, model: nn.Module, idx: Tensor, padding: list[int], use_cache: bool) -> None:
        self.model, self.idx, self.padding, self.context = model, idx, padding, context_of(model)
        self._crop()
        self.cache: Any = None
        if use_cache and hasattr(model, "new_cache"):
            self.cache = self._padded_cache() if any(self.padding) else model.new_cache(len(idx))
        self.decode = Decoder(model, functools.partial(_last_logits, model))

    def logits(self, ahead: int) -> Tensor:
        """Scores (B, V) of what follows; ``ahead`` tokens are to come, with this one."""
        if self.idx.shape[1] > self.context:
            self.cache = None
            self._crop()
        new = self.idx if self.cache is None else self.idx[:, self.cache.length :]
        if any(self.padding):  # no graph is made for it
            return self.decode(new, self._padded_cache() if self.cache is None else self.cache, ahead=0)
        left = ahead if self.cache is None else self.context - self.idx.shape[1] + 1
        return self.decode(new, self.cache, min(ahead, left))

    def add(self, token: Tensor) -> None:
        self.idx = torch.cat((self.idx, token), dim=1)

    def _crop(self) -> None:
        too_many = max(0, self.idx.shape[1] - self.context)
        self.idx, self.padding = self.idx[:, too_many:], [max(0, n - too_many) for n in self.padding]

    def _padded_cache(self) -> Any:
        return self.model.new_padded_cache(torch.tensor(self.padding))


def context_of(model: nn.Module) -> int:
    """How many tokens a model sees at most: its ``context`` (None: without limit), or its ``config.block_size``.

    Raises:
        CourseError: for a model that says neither.
    """
    if hasattr(model, "context"):
        return ENDLESS if model.context is None else int(model.context)
    block_size = getattr(getattr(model, "config", None), "block_size", None)
    if block_size is None:
        raise CourseError(
            f"{type(model).__name__} does not say how many tokens it sees. Give it the attribute context: a number, or "
            "None where there is no limit."
        )
    return int(block_size)


def _last_logits(model: nn.Module, idx: Tensor, cache: Any) -> Tensor:
    """Scores (B, V) of what follows the last token; in evaluation mode for that moment: the caller may be training."""
    own = type(model).__dict__.get("last_scores")  # a subclass may compute something else
    with evaluating(model):
        if own is not None:
            return own(model, idx, cache)
        return model(idx, cache)[:, -1] if cache is not None else model(idx)[:, -1]


def _draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """One token of each row, (B, V) -> (B, 1): torch.multinomial, draw for draw, but a card need not wait for it.

    Each token waits a time drawn from the exponential distribution, the sooner the likelier it is, and the first one is
    taken. multinomial does just that, after two looks at the values that our own check makes unnecessary.
    """
    waiting = torch.empty_like(probabilities).exponential_(generator=generator)
    return (probabilities / waiting).argmax(dim=-1, keepdim=True)


def _as_float64(logits: Tensor) -> Tensor:
    """On the CPU where the device is Apple's, which has no float64."""
    return (logits.cpu() if logits.device.type == "mps" else logits).double()


# ---- what is refused ---------------------------------------------------------------------------------


def _are_finite(logits: Tensor) -> Tensor:
    """Whether a token can be drawn from every row: one bool, on the device. The highest score says it all:
    NaN and +inf are passed on by amax, and it is -inf where every token is ruled out."""
    return (logits.amax(dim=-1).abs() < torch.inf).all()  # no comparison holds for NaN


def _need_finite(finite: Tensor) -> None:
    if not finite:
        raise CourseError(
            "The model's scores (logits) should be finite, -inf only for tokens that are ruled out; there is NaN or "
            "+inf among them, or all are -inf. Has its training diverged? Load an earlier save, or try precision fp32."
        )


def _check_every(device: torch.device) -> int:
    return 1 if device.type == "cpu" else CHECK_EVERY


def _check_settings(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not _is_number(temperature) or not 0 <= temperature < float("inf"):
        raise CourseError(f"temperature should be 0 (greedy) or more; it is {temperature!r}.")
    if top_k is not None:
        need_whole("top_k", top_k, 1, otherwise=", or None for all tokens")
    if top_p is not None and not (_is_number(top_p) and 0 < top_p <= 1):
        raise CourseError(f"top_p should be above 0 and at most 1, or None for all tokens; it is {top_p!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_all(
    model: nn.Module, idx: Any, max_new_tokens: int, temperature: float, top_k: int | None, top_p: float | None,
    seed: int | Sequence[int] | None, stop: int | None,
) -> tuple[Tensor, list[int], _Choose]:  # fmt: skip
    """Everything that `generate` is given, before the model runs: the prompt (B, T), its padding, and how to choose."""
    _check_settings(temperature, top_k, top_p)
    context_of(model)
    need_whole("max_new_tokens", max_new_tokens, 0)
    vocab_size = getattr(getattr(model, "config", None), "vocab_size", None)
    if stop is not None:
        stop = need_whole("stop", stop, 0, otherwise=", or None for no such token")
        if vocab_size is not None and stop >= vocab_size:
            raise CourseError(f"stop should be a token that the model knows, below {vocab_size}; it is {stop}.")
    prompt, padding = as_prompts(idx, vocab_size, fill=0 if stop is None else stop)
    return prompt, padding, _Choose(temperature, top_k, top_p, seeds_for(seed, padding), stop)
