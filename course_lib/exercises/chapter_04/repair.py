"""An AdamW with three faults (04-6): which are left is read off where the weights go."""

import itertools
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.tensors import alike, difference, need_tensor

LR, DECAY, STEPS = 0.1, 0.5, 3
BETA1, BETA2, EPS = 0.9, 0.95, 1e-8
SHOWN = f"adamw_step(weights, gradients, state, lr={LR}, decay={DECAY})"

COUNT = (
    "t counts tensors, not steps: with several tensors the bias correction runs ahead, and each tensor gets another "
    "one. It goes up once in a step."
)
L2 = (
    "The decay goes into the gradient, so √v divides it: a weight with large gradients hardly decays. AdamW shrinks "
    "the weight itself, and m and v see the gradient alone."
)
INSIDE = (
    "eps stands inside the root. There it counts as the root of 1e-8, a ten-thousandth, and a weight with gradients "
    "below that hardly moves. It is added after the root."
)
FAULTS = {"count": COUNT, "l2": L2, "inside": INSIDE}
OTHERS = {
    "after": "the decay comes after the step, so that it shrinks the step too. AdamW shrinks the weight first.",
    "without lr": "each step takes the share decay of the weight. It should be lr * decay.",
    "no decay": "nothing decays any more.",
    "growing": "the decay makes the weights grow: the factor is 1 - lr * decay.",
    "uncorrected": "the bias correction is gone.",
}
SIZES = (1.0, 1e-6, 30.0)
"""The typical gradients of the three tensors; eps matters for the second."""


def weights_and_gradients() -> tuple[list[Tensor], list[list[Tensor]]]:
    """Three tensors, and their gradients in each step."""
    generator = torch.Generator().manual_seed(4)
    shapes = ((2, 3), (4,), (3,))
    weights = [1 + torch.rand(shape, generator=generator) for shape in shapes]
    weights[1].zero_()  # so that its tiny gradients count in the first step even with decay in them
    gradients = [
        [size * (0.5 + torch.rand(shape, generator=generator)) for shape, size in zip(shapes, SIZES)]
        for _ in range(STEPS)
    ]
    return weights, gradients


def path(faults: frozenset[str] = frozenset(), other: str = "") -> list[list[Tensor]]:
    """The weights after each step, with the faults that are named."""
    weights, gradients = weights_and_gradients()
    m, v = [torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights]
    count, found = 0, []
    for step in range(STEPS):
        moved = []
        for i, w in enumerate(weights):
            count += 1
            t = count if "count" in faults else step + 1
            g = gradients[step][i] + (DECAY * w if "l2" in faults else 0)
            m[i], v[i] = BETA1 * m[i] + (1 - BETA1) * g, BETA2 * v[i] + (1 - BETA2) * g**2
            c1, c2 = (1.0, 1.0) if other == "uncorrected" else (1 - BETA1**t, 1 - BETA2**t)
            root = (v[i] / c2 + EPS).sqrt() if "inside" in faults else (v[i] / c2).sqrt() + EPS
            kept = {"without lr": 1 - DECAY, "no decay": 1.0, "growing": 1 + LR * DECAY}.get(other, 1 - LR * DECAY)
            kept = 1.0 if "l2" in faults else kept
            u = LR * (m[i] / c1) / root
            moved.append((w - u) * kept if other == "after" else w * kept - u)
        weights = moved
        found.append(weights)
    return found


def _same(a: list[list[Tensor]], b: list[list[Tensor]]) -> bool:
    return all(alike(x, y) for one, other in zip(a, b) for x, y in zip(one, other))


def _judge_repair(attempt: Any) -> str:
    adamw_step = need_function(attempt, "adamw_step(weights, gradients, state, lr, decay)")
    got = _theirs(adamw_step)
    if _same(got, path()):
        return (
            "Equal to AdamW over three steps and three tensors. The decay is lr * decay times the weight before the "
            "step, whatever its gradient. None of the faults raised an error, and with one tensor, middling "
            "gradients and no decay none could be seen: a test needs several of each."
        )
    for count in (3, 2, 1):
        for faults in itertools.combinations(FAULTS, count):
            if _same(got, path(frozenset(faults))):
                if count == 3:
                    raise Unattempted("All three faults are still in the step.")
                mended = 3 - count
                are = "is" if mended == 1 else "are"
                raise Wrong(f"{mended} of 3 faults {are} mended. What is left: {FAULTS[faults[0]]}")
    for name, words in OTHERS.items():
        for faults in (frozenset(), frozenset({"count"}), frozenset({"inside"}), frozenset({"count", "inside"})):
            if _same(got, path(faults, name)):
                raise Wrong(f"Something new: {words}")
    step, i = next(
        (s, i) for s in range(STEPS) for i in range(len(SIZES)) if not alike(got[s][i], path()[s][i])
    )
    raise Wrong(f"In step {step} tensor {i} goes elsewhere: {difference(got[step][i], path()[step][i])}.")


def _theirs(adamw_step: Any) -> list[list[Tensor]]:
    """Where a learner's function takes the weights, step by step."""
    weights, gradients = weights_and_gradients()
    state: dict[Any, Any] = {}
    found = []
    for step in range(STEPS):
        given = [w.clone() for w in weights]
        returned = call(adamw_step, given, [g.clone() for g in gradients[step]], state, LR, DECAY, shown=SHOWN)
        if not isinstance(returned, (list, tuple)) or len(returned) != len(weights):
            hint = " Does the function end with return?" if returned is None else ""
            expected = f"a list of the {len(weights)} new weights"
            raise Wrong(f"{SHOWN} should return {expected}; it is {described(returned)}.{hint}")
        weights = [
            need_tensor(new, f"New weight {i} of {SHOWN}", tuple(old.shape)).detach().clone()
            for i, (new, old) in enumerate(zip(returned, weights))
        ]
        found.append(weights)
    return found


REPAIR = Exercise(
    id="04-6",
    title="An AdamW with three faults",
    difficulty="medium",
    minutes=12,
    attempt="adamw_step",
    expects="your function adamw_step(weights, gradients, state, lr, decay) itself, without calling it",
    hints=(
        "How often does the first line of the loop run in one step, if there are three weights?",
        "Which of `g`, `m` and `v` should know of the decay? And what is the root of 1e-8?",
        "Raise t before the loop. Shrink with `w * (1 - lr * decay)` and leave g alone. `v_hat.sqrt() + 1e-8`.",
    ),
    judge=_judge_repair,
)
