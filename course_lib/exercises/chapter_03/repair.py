"""Half a block with three faults (03-6): which are left is read off what it computes, not off the program's text."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.calling import call, need_function
from course_lib.exercises.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.tensors import alike, need_tensor, same_tensor

B, T, C, H = 2, 6, 12, 3
NORM = "The norm takes its mean over the wrong axis: it mixes the tokens, the future ones too, before attention begins."
HEADS = "The heads are cut out wrongly: a head of a token should hold numbers of that token alone."
ROOT = "The scores are divided by the wrong root: queries and keys have head_dim numbers each."
FAULTS = (NORM, HEADS, ROOT)


def half_block(
    x: Tensor, gain: Tensor, qkv: Tensor, proj: Tensor, n_head: int, faults: tuple[str, ...] = (), add: bool = True
) -> Tensor:
    """x + attention(norm(x)), (B, T, C) -> (B, T, C), with the faults that are wanted."""
    B, T, C = x.shape
    axis = 1 if NORM in faults else -1
    normed = (x - x.mean(axis, keepdim=True)) / (x.var(axis, correction=0, keepdim=True) + 1e-5).sqrt() * gain
    parts = (normed @ qkv.T).split(C, dim=-1)  # three of (B, T, C)
    if HEADS in faults:
        q, k, v = (part.reshape(B, n_head, T, C // n_head) for part in parts)
    else:
        q, k, v = (part.reshape(B, T, n_head, C // n_head).transpose(1, 2) for part in parts)
    scores = q @ k.mT / math.sqrt(C if ROOT in faults else C // n_head)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)
    mixed = (weights @ v).transpose(1, 2).reshape(B, T, C) @ proj.T
    return x + mixed if add else mixed


def _judge_repair(attempt: Any) -> str:
    mine = need_function(attempt, "half_block(x, gain, qkv, proj, n_head)")
    given = (torch.randn(B, T, C) + 0.5, torch.randn(C), torch.randn(3 * C, C) / 2, torch.randn(C, C) / 2)
    copies = [one.clone() for one in given]
    shown = f"half_block(x, gain, qkv, proj, n_head={H}) for x of shape {(B, T, C)}"
    got = call(mine, *copies, H, shown=shown)
    if not all(one.equal(copy) for one, copy in zip(given, copies)):
        raise Wrong(f"{shown} changed what it was given. Return a new tensor.")
    need_tensor(got, f"What {shown} returned", (B, T, C))
    left = _faults(got, given)
    if left == FAULTS:
        raise Unattempted("All three faults are still in it.")
    if left:
        mended = 3 - len(left)
        raise Wrong(f"{mended} of 3 faults {'is' if mended == 1 else 'are'} mended. What is left: {left[0]}")
    known = [(half_block(*given, H, add=False), "x itself is missing: the part adds to the stream.")]
    same_tensor(got, half_block(*given, H), f"What {shown} returned", known)
    one = call(mine, *given, 1, shown="half_block(x, gain, qkv, proj, n_head=1)")
    same_tensor(one, half_block(*given, 1), "With n_head=1, what half_block returned")
    return (
        "None of the three raised an error, and a model with all of them would learn something. The norm over time is "
        "the worst: it leaks the future around the mask. The future-token test finds it; a test of shapes does not."
    )


def _faults(got: Tensor, given: tuple[Tensor, ...]) -> tuple[str, ...]:
    """Which faults, together, compute what came; none where no set of them does."""
    for count in (3, 2, 1):
        for faults in itertools.combinations(FAULTS, count):
            if alike(got, half_block(*given, H, faults=faults), atol=1e-5):
                return faults
    return ()


REPAIR = Exercise(
    id="03-6",
    title="Half a block with three faults",
    difficulty="medium",
    minutes=12,
    attempt="half_block",
    expects="your function half_block(x, gain, qkv, proj, n_head) itself, without calling it",
    hints=(
        "Follow one token. Which numbers go into its mean? Run the future-token test of the chapter on it.",
        "`reshape(B, n_head, T, ...)` reads the numbers in their order in memory: it cuts along time. Where does the "
        "chapter exchange two axes?",
        "The three: `dim=-1` in mean and var; `reshape(B, T, n_head, C // n_head).transpose(1, 2)`; the root of "
        "`C // n_head`.",
    ),
    judge=_judge_repair,
)
