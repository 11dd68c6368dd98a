"""Tensors of a learner, compared with words: kind, shape, type, then the first place that differs."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import described, number
from course_lib.exercises.judge.exercise import Wrong


def need_tensor(value: Any, what: str, shape: tuple[int, ...] | None = None, meaning: str = "") -> Tensor:
    """``value``, if it is a tensor of that shape.

    Args:
        meaning: what the shape stands for, such as "(T,): one loss for each place".
    """
    if not isinstance(value, Tensor):
        hint = " Does the function end with return?" if value is None else ""
        raise Wrong(f"{what} should be a tensor; it is {described(value)}.{hint}")
    if shape is not None and tuple(value.shape) != shape:
        means = f", {meaning}" if meaning else ""
        raise Wrong(f"{what} should have the shape {shape}{means}; it has {tuple(value.shape)}.")
    return value


def alike(a: Tensor, b: Tensor, rtol: float = 1e-4, atol: float = 1e-6) -> bool:
    """Whether two tensors are of one shape and the same but for rounding."""
    return a.shape == b.shape and torch.allclose(_exact(a), _exact(b), rtol=rtol, atol=atol)


def _exact(value: Tensor) -> Tensor:
    """In float64, on the CPU: not every device has it."""
    return value.detach().cpu().double()


def difference(got: Tensor, expected: Tensor, rtol: float = 1e-4, atol: float = 1e-6) -> str:
    """Where two tensors of one shape first differ, and in how many places; empty where they do not."""
    a, b = _exact(got), _exact(expected)
    apart = ~torch.isclose(a, b, rtol=rtol, atol=atol)
    if not apart.any():
        return ""
    first = tuple(apart.nonzero()[0].tolist())
    place = f"[{', '.join(map(str, first))}]" if first else ""
    count = f" ({int(apart.sum())} of {apart.numel()} entries differ)" if apart.numel() > 1 else ""
    return f"at {place} expected {number(b[first].item())}, got {number(a[first].item())}{count}".removeprefix("at  ")


def same_tensor(got: Any, expected: Tensor, what: str, mistakes: Iterable[tuple[Tensor, str]] = ()) -> None:
    """Nothing, if ``got`` is ``expected``; else `Wrong`: kind, shape, type or the first entry that differs.

    Args:
        mistakes: known ones, each the tensor that it leads to and what to say.
    """
    value = need_tensor(got, what, tuple(expected.shape))
    if value.is_floating_point() != expected.is_floating_point():
        kinds = {True: "floating-point numbers", False: "whole numbers"}
        wanted, came = kinds[expected.is_floating_point()], str(value.dtype).removeprefix("torch.")
        raise Wrong(f"{what} should hold {wanted}; it holds {came}.")
    if alike(value, expected):
        return
    words = next((words for wrong, words in mistakes if alike(value, wrong)), "")
    raise Wrong(f"{what}: {difference(value, expected)}. {words}".rstrip())
