"""RMSNorm from its formula (03-4): the axis, the mean, the root and the gain are each easy to get wrong."""

from typing import Any

import torch
from torch.nn import functional as F

from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import alike, need_tensor, same_tensor

ALONE = "Each token by itself: the mean runs over the last axis only."
LENGTH = "x.norm() is the root of the sum of the squares. RMSNorm takes the root of their mean."
KEEP = "A mean has one number for each token, and must keep the axis to divide x: keepdim=True."
EPS = 0.3
"""Large, so that its place matters."""


def _judge_norm(attempt: Any) -> str:
    rms_norm = need_function(attempt, "rms_norm(x, gain, eps)")
    for shape in ((2, 3, 5), (4, 4, 4), (6,)):
        x = torch.randn(*shape) + 1
        gain = torch.randn(shape[-1])
        given = x.clone()
        shown = f"rms_norm(x, gain, eps={EPS}) for x of shape {shape}"
        try:
            got = call(rms_norm, x, gain, EPS, shown=shown)
        except Wrong as wrong:
            if "must match the size" in str(wrong):
                raise Wrong(f"{wrong} {KEEP}") from wrong
            raise
        if not x.equal(given):
            raise Wrong(f"{shown} changed x itself. Return a new tensor: x / ..., not x /= ....")
        what = f"What {shown} returned"
        need_tensor(got, what, shape)
        same_tensor(got, F.rms_norm(x, (shape[-1],), gain, EPS), what, _known(x, gain))
    return (
        "LayerNorm without the mean and without a bias: less work. That it trains about as well is what its authors "
        "found (Zhang and Sennrich, 2019); many of today's large models use it."
    )


def _known(x: torch.Tensor, gain: torch.Tensor) -> list[tuple[torch.Tensor, str]]:
    square, centered = x * x, x - x.mean(-1, keepdim=True)
    mean = square.mean(-1, keepdim=True)
    known = [
        (x / (mean + EPS).sqrt(), "The gain is missing: each entry is multiplied by its own."),
        (x / (mean.sqrt() + EPS) * gain, "eps stands inside the root, with the mean of the squares."),
        (x / mean.sqrt() * gain, "eps is missing: it is added to the mean of the squares."),
        (x / (mean + EPS) * gain, "The root is missing."),
        (x * (mean + EPS).sqrt() * gain, "Divide by the root; do not multiply."),
        (x / (square.sum(-1, keepdim=True) + EPS).sqrt() * gain, "The mean of the squares, not their sum."),
        (
            centered / ((centered**2).mean(-1, keepdim=True) + EPS).sqrt() * gain,
            "That is LayerNorm. RMSNorm does not subtract the mean.",
        ),
        (
            x / (x.var(-1, keepdim=True) + EPS).sqrt() * gain,
            "var subtracts the mean before it squares, and divides by n - 1. Take the mean of x * x.",
        ),
        (
            x / (x.var(-1, keepdim=True, correction=0) + EPS).sqrt() * gain,
            "var subtracts the mean before it squares. Take the mean of x * x.",
        ),
        (x / square.mean().sqrt() * gain, f"{ALONE} And eps is missing."),
        *((x / (x.norm(dim=-1, keepdim=True) + eps) * gain, LENGTH) for eps in (0, EPS)),
        (x / (square.mean() + EPS).sqrt() * gain, ALONE),
    ]
    if x.ndim > 1 and x.shape[-1] == x.shape[-2]:
        known.append((x / (square.mean(-1) + EPS).sqrt() * gain, KEEP))
    for axis in range(x.ndim - 1):
        over = x / (square.mean(axis, keepdim=True) + EPS).sqrt() * gain
        known.append((over, f"The mean runs over axis {axis}, which mixes tokens. Take the last one, dim=-1."))
    right = F.rms_norm(x, (x.shape[-1],), gain, EPS)
    return [(wrong, words) for wrong, words in known if not alike(wrong, right)]


RMS_NORM = Exercise(
    id="03-4",
    title="RMSNorm",
    difficulty="medium",
    minutes=8,
    attempt="rms_norm",
    expects="your function rms_norm(x, gain, eps) itself, without calling it",
    hints=(
        "Look at `norm` in the chapter. What drops out when no mean is subtracted?",
        "The mean of the squares: `(x * x).mean(dim=-1, keepdim=True)`. It is one number for each token.",
        "Add eps to that mean, take the root, divide x by it, and multiply by the gain.",
    ),
    judge=_judge_norm,
)
