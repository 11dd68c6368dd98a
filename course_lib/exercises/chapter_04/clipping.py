"""Clip all gradients of a model together, and throw away what is no number (04-5)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.exercises.judge.calling import call, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import alike
from course_lib.exercises.judge.values import near, same_number

GRADIENTS = {"first": [2.0, 2.0], "second": [1.0, -12.0], "third": [4.0]}
"""Together of norm 13; ``unused`` has none."""
NORM = 13.0
SUM_OF_NORMS = sum(math.hypot(*gradient) for gradient in GRADIENTS.values())
NAMES = (*GRADIENTS, "unused")


def _model(**changes: list[float]) -> nn.ParameterDict:
    model = nn.ParameterDict({name: nn.Parameter(torch.ones(2)) for name in NAMES})
    model["third"] = nn.Parameter(torch.ones(1))
    for name, gradient in (GRADIENTS | changes).items():
        model[name].grad = torch.tensor(gradient)
    return model


def _judge_clip(attempt: Any) -> str:
    clip_all = need_function(attempt, "clip_all(model, max_norm)")
    for max_norm in (1.3, 20.0):
        model = _model()
        shown = f"clip_all(model, max_norm={max_norm:g})"
        returned = call(clip_all, model, max_norm, shown=shown)
        _gradients_are_right(model, max_norm, shown)
        known = [
            (NORM**2, "That is the sum of the squares: its root is missing."),
            (SUM_OF_NORMS, "That adds the norms of the tensors. All entries count as one long row: add squares."),
            (min(NORM, max_norm), "That is the norm after clipping. Asked for is the one before it."),
            (max_norm / NORM, "That is the factor. Asked for is the norm."),
        ]
        same_number(returned, NORM, f"What {shown} returned", known)
    for bad in (math.nan, math.inf):
        _throws_away(clip_all, bad)
    return (
        "One norm over all tensors, one factor for all, so the direction stays. A norm that is not finite cannot be "
        "shortened: NaN times anything is NaN, and one such step would spoil every weight."
    )


def _gradients_are_right(model: nn.ParameterDict, max_norm: float, shown: str) -> None:
    if model["unused"].grad is not None:
        raise Wrong(f"{shown}: a weight without a gradient got one. Where grad is None, there is nothing to shorten.")
    if any(not alike(model[name].detach(), torch.ones_like(model[name])) for name in NAMES):
        raise Wrong(f"{shown} changed the weights themselves. Only their .grad should change.")
    missing = [name for name in GRADIENTS if model[name].grad is None]
    if missing:
        raise Wrong(f"{shown} threw a gradient away. Its norm is finite: it should be shortened at most.")
    before = {name: torch.tensor(gradient) for name, gradient in GRADIENTS.items()}
    after = {name: model[name].grad for name in GRADIENTS}
    if any(after[name].shape != before[name].shape for name in GRADIENTS):
        raise Wrong(f"{shown}: a gradient has another shape than before.")
    factor = min(1.0, max_norm / NORM)
    if all(alike(after[name], factor * before[name]) for name in GRADIENTS):
        return
    raise Wrong(f"{shown}: {_what_happened(before, after, max_norm, factor)}")


def _what_happened(before: dict[str, Tensor], after: dict[str, Tensor], max_norm: float, factor: float) -> str:
    """The first thing that is wrong with the gradients."""
    if all(alike(after[name], before[name]) for name in before):
        return f"the norm of all together is {number(NORM)}, and nothing was shortened."
    if factor == 1:
        return f"the norm is {number(NORM)}, short enough, and yet the gradients were changed. Only shorten."
    if all(alike(after[name], before[name] * min(1.0, max_norm / before[name].norm().item())) for name in before):
        return "each tensor was clipped by itself. That turns the direction: one factor should hold for all of them."
    if all(alike(after[name], before[name].clamp(-max_norm, max_norm)) for name in before):
        return "the entries were cut one by one. That turns the direction: one factor should hold for all of them."
    ratios = [(after[name].norm() / before[name].norm()).item() for name in before]
    if near(min(ratios), max(ratios)):
        length = ratios[0] * NORM
        words = f"all got the same factor, {number(ratios[0])}, but their norm is now {number(length)}"
        hints = {NORM**2: "without a root", SUM_OF_NORMS: "from the sum of the tensors' norms"}
        how = next((why for norm, why in hints.items() if near(ratios[0], max_norm / norm)), "")
        return f"{words} in place of {number(max_norm)}." + (f" The norm was taken {how}." if how else "")
    return "the gradients were not all multiplied by one factor, max_norm over the norm of all together."


def _throws_away(clip_all: Callable[..., Any], bad: float) -> None:
    model = _model(second=[0.0, bad])
    shown = f"clip_all(model, max_norm=1), where one gradient holds {bad},"
    call(clip_all, model, 1.0, shown=shown)
    if left := [name for name in NAMES if model[name].grad is not None]:
        raise Wrong(
            f"{shown} should throw all gradients away: the .grad of every weight should be None. That of {left[0]!r} "
            "is still there. math.isfinite says whether a norm is a number to count with."
        )


CLIP = Exercise(
    id="04-5",
    title="Clip, or throw away",
    difficulty="medium",
    minutes=12,
    attempt="clip_all",
    expects="your function clip_all(model, max_norm) itself, without calling it",
    hints=(
        "First a list of the gradients that are there: `[w.grad for w in model.parameters() if w.grad is not None]`.",
        "One norm for all: add up `(g**2).sum().item()` over the list, then `math.sqrt`.",
        "Three cases: not finite (`math.isfinite`), then `w.grad = None` for all weights; longer than `max_norm`, then "
        "`g *= max_norm / norm` for all; else nothing. Return the norm in any case.",
    ),
    judge=_judge_clip,
)
