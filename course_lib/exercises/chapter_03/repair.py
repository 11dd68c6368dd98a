"""Half a block with three faults (03-6): which are left is read off what it computes, not off the program's text."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.tensors import alike, need_tensor, same_tensor

B, T, C, H = 2, 6, 12, 3
NORM = "The norm takes its mean over the wrong axis: it mixes the tokens, the future ones too, before attention begins."
HEADS = "The heads are cut out wrongly: a head of a token should hold numbers of that token alone."
ROOT = "The scores are divided by the wrong root: queries and keys have head_dim numbers each."
HALF_FIXED = "The norm is half fixed: mean and variance both run over the entries of a token (dim=-1)."
COUNTED = "The variance is the mean of the squared distances (correction=0), not their sum over n - 1."
CUT_IN_TIME = "The heads are still cut along time: cut the last axis by reshape(B, T, n_head, ...), then transpose."
NORMS = {(1, 1, 0): NORM, (-1, 1, 0): HALF_FIXED, (1, -1, 0): HALF_FIXED, (-1, -1, 1): COUNTED, (-1, -1, 0): None}
"""What one may find in the norm, as the axis of the mean, that of the variance, and the correction; None is right."""
CUTS = {"as given": HEADS, "in time": CUT_IN_TIME, "right": None}
ROOTS = {"C": ROOT, "head_dim": None}
State = tuple[tuple[int, int, int], str, str]
RIGHT: State = ((-1, -1, 0), "right", "head_dim")
GIVEN: State = ((1, 1, 0), "as given", "C")


def half_block(
    x: Tensor, gain: Tensor, qkv: Tensor, proj: Tensor, n_head: int, state: State = RIGHT, add: bool = True
) -> Tensor:
    """x + attention(norm(x)), (B, T, C) -> (B, T, C), in one of the states that learners leave it in."""
    B, T, C = x.shape
    (mean_axis, variance_axis, correction), cut, root = state
    variance = x.var(variance_axis, correction=correction, keepdim=True)
    normed = (x - x.mean(mean_axis, keepdim=True)) / (variance + 1e-5).sqrt() * gain
    parts = (normed @ qkv.T).split(C, dim=-1)  # three of (B, T, C)
    q, k, v = (_cut(part, n_head, cut) for part in parts)
    scores = q @ k.mT / math.sqrt(C if root == "C" else C // n_head)
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)
    mixed = (weights @ v).transpose(1, 2).reshape(B, T, C) @ proj.T
    return x + mixed if add else mixed


def _cut(part: Tensor, n_head: int, how: str) -> Tensor:
    """(B, T, C) -> (B, H, T, head_dim), rightly or as it is done wrongly; (B, T, H, head_dim) for "in time"."""
    B, T, C = part.shape
    if how == "right":
        return part.reshape(B, T, n_head, C // n_head).transpose(1, 2)
    given = part.reshape(B, n_head, T, C // n_head)
    return given.transpose(1, 2) if how == "in time" else given


def _judge_repair(attempt: Any) -> str:
    mine = need_function(attempt, "half_block(x, gain, qkv, proj, n_head)")
    given = (torch.randn(B, T, C) + 0.5, torch.randn(C), torch.randn(3 * C, C) / 2, torch.randn(C, C) / 2)
    copies = [one.clone() for one in given]
    shown = f"half_block(x, gain, qkv, proj, n_head={H}) for x of shape {(B, T, C)}"
    got = call(mine, *copies, H, shown=shown)
    if not all(one.equal(copy) for one, copy in zip(given, copies)):
        raise Wrong(f"{shown} changed what it was given. Return a new tensor.")
    need_tensor(got, f"What {shown} returned", (B, T, C))
    state = _state(got, given)
    if state == GIVEN:
        raise Unattempted("All three faults are still in it.")
    norm, cut, root = state
    left = [words for words in (NORMS[norm], CUTS[cut], ROOTS[root]) if words]
    if left:
        fixed = 3 - len(left)
        raise Wrong(f"{fixed} of 3 faults {'is' if fixed == 1 else 'are'} fixed. What is left: {left[0]}")
    known = [(half_block(*given, H, add=False), "x itself is missing: the part adds to the stream.")]
    same_tensor(got, half_block(*given, H), f"What {shown} returned", known)
    one = call(mine, *given, 1, shown="half_block(x, gain, qkv, proj, n_head=1)")
    same_tensor(one, half_block(*given, 1), "With n_head=1, what half_block returned")
    return (
        "None of the three raised an error, and a model with all of them would learn something. The norm over time is "
        "the worst: it leaks the future around the mask. The future-token test finds it; a test of shapes does not."
    )


def _state(got: Tensor, given: tuple[Tensor, ...]) -> State:
    """The state that computes what came; the right one where none does, for the words of a comparison."""
    states = itertools.product(NORMS, CUTS, ROOTS)
    return next((one for one in states if alike(got, half_block(*given, H, state=one), atol=1e-5)), RIGHT)


REPAIR = Exercise(
    id="03-6",
    title="Half a block with three faults",
    difficulty="medium",
    minutes=12,
    attempt="half_block",
    expects="your function half_block(x, gain, qkv, proj, n_head) itself, without calling it",
    hints=(
        "Follow one token. Which numbers go into its mean? Run the future-token test, on numbers instead of ids: "
        "`x, gain = torch.randn(1, 8, 12), torch.ones(12)`, `qkv, proj = torch.randn(36, 12), torch.randn(12, 12)`, "
        "`before = half_block(x, gain, qkv, proj, 3)`, `x[:, 5] = torch.randn(12)`, "
        "`after = half_block(x, gain, qkv, proj, 3)`; then `(after - before).abs().amax(dim=(0, 2))` should be 0 "
        "before position 5. (Noise, since a norm takes out what is added to all numbers of a token alike.)",
        "`reshape(B, n_head, T, ...)` reads the numbers in their order in memory: it cuts along time. Where does the "
        "chapter exchange two axes?",
        "The three: `dim=-1` in mean and var; `reshape(B, T, n_head, C // n_head).transpose(1, 2)`; the root of "
        "`C // n_head`.",
    ),
    judge=_judge_repair,
)
