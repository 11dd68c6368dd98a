"""What training minimizes, cross-entropy in nats, and how it is reported: bits per byte, too."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from course_lib.errors import CourseError


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean surprise at the true next token, in nats per token.

    -log p(target), where p is the softmax of the logits, averaged over all B x T targets.

    Args:
        logits: (B, T, V), of any floating type; the loss is computed in float32.
        targets: (B, T) whole numbers: which of the V tokens it was.

    Raises:
        CourseError: for targets that are not whole numbers.
    """
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise CourseError(
            f"Targets should be whole numbers, the ids (B, T) of the true next tokens; they are {targets.dtype}. For "
            "targets of another kind, give Trainer a loss of your own: loss(model, x, y)."
        )
    # (B, T, V) -> (B * T, V) and (B, T) -> (B * T,): cross_entropy wants one row per prediction.
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten().long())


def chunked_cross_entropy(
    hidden: Tensor, scores: Callable[[Tensor], Tensor], targets: Tensor, rows_at_once: int
) -> Tensor:
    """`cross_entropy` of ``scores(hidden)``, without ever holding all logits at once.

    A chunk's logits are thrown away after its loss, and computed a second time in the backward pass: less memory for
    a little more time. The sum over chunks rounds differently in the last digits.

    Args:
        hidden: (B, T, C).
        scores: (1, n, C) -> logits (1, n, V).
        targets: (B, T) whole numbers.
        rows_at_once: n, of how many tokens the logits are held at a time.
    """
    rows, wanted = hidden.flatten(0, 1), targets.flatten()  # (B * T, C) and (B * T,)
    total = torch.zeros((), device=hidden.device)
    for start in range(0, len(rows), rows_at_once):
        part = slice(start, start + rows_at_once)
        total = total + checkpoint(_summed, rows[part], scores, wanted[part], use_reentrant=False)
    return total / len(rows)


def _summed(rows: Tensor, scores: Callable[[Tensor], Tensor], targets: Tensor) -> Tensor:
    """The loss of (n, C) rows, summed."""
    return cross_entropy(scores(rows[None]), targets[None]) * len(rows)


def bits_per_byte(nats_per_token: float, tokens: int, n_bytes: int) -> float:
    """A loss that does not depend on the tokenizer: total bits over total bytes.

    ``tokens`` and ``n_bytes`` count the same text. With one byte per token it is nats / ln 2.
    """
    return nats_per_token * tokens / (math.log(2) * n_bytes)
