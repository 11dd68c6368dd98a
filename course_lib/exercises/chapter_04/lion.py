"""Lion (04-7; Chen and others 2023, algorithm 2), held against a slow version number by number."""

from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import alike, difference, need_tensor

LR, DECAY, BETA1, BETA2, STEPS = 0.1, 0.5, 0.9, 0.99, 40
SHOWN = f"lion(w, g, state, lr={LR}, decay={DECAY})"

MISTAKES = {
    "m": "The direction is the sign of m alone. It is that of a mixture: beta1 of m and 1 - beta1 of the new gradient.",
    "g": "The direction is the sign of the new gradient alone. m has its share in it: does state keep it from step to "
    "step?",
    "no sign": "The sign is missing: each weight moves by the same length.",
    "one beta": "The memory is kept with beta1. The direction mixes with beta1, the memory with beta2.",
    "swapped": "beta1 and beta2 are swapped: the direction mixes with beta1 = 0.9, the memory keeps with beta2 = 0.99.",
    "memory first": "m is renewed before the direction is taken from it. First the direction, then the memory.",
    "memory of the mixture": "m keeps the mixture. It should take in the gradient itself.",
    "no decay": "The decay is missing.",
    "decay without lr": "The decay takes the share decay of the weight in each step; it should be lr * decay.",
    "decay in the sign": "The decay is inside the sign, where only its direction counts. It is added to the sign.",
    "uphill": "The weight moves with the gradient. It should move against it.",
}


def _sign(value: float) -> float:
    return float((value > 0) - (value < 0))


def _slow(start: float, gradients: list[float], fault: str = "") -> list[float]:
    """One number's way by algorithm 2, in Python's floats; with a fault of `MISTAKES`, if one is named."""
    b1, b2 = {"one beta": (BETA1, BETA1), "swapped": (BETA2, BETA1)}.get(fault, (BETA1, BETA2))
    w, m, found = start, 0.0, []
    for g in gradients:
        if fault == "memory first":
            m = b2 * m + (1 - b2) * g
        c = b1 * m + (1 - b1) * g
        inside = {"m": m, "g": g, "decay in the sign": c + DECAY * w}.get(fault, c)
        direction = c if fault == "no sign" else _sign(inside)
        shrink = {"no decay": 0.0, "decay without lr": DECAY, "decay in the sign": 0.0}.get(fault, LR * DECAY)
        w = w - shrink * w - (-LR if fault == "uphill" else LR) * direction
        if fault != "memory first":
            m = b2 * m + (1 - b2) * (c if fault == "memory of the mixture" else g)
        found.append(w)
    return found


def start_and_gradients() -> tuple[Tensor, list[Tensor]]:
    """A tensor (2, 3), and its gradients: noise with a drift, long enough for a memory to matter."""
    generator = torch.Generator().manual_seed(8)
    start = 2 * torch.randn(2, 3, generator=generator, dtype=torch.float64)
    gradients = [torch.randn(2, 3, generator=generator, dtype=torch.float64) for _ in range(STEPS)]
    return start, [g + (1 if step % 20 < 12 else -1) for step, g in enumerate(gradients)]


def path(fault: str = "") -> list[Tensor]:
    """The tensor after each step."""
    start, gradients = start_and_gradients()
    columns = zip(*(g.flatten().tolist() for g in gradients))
    ways = [_slow(w, list(column), fault) for w, column in zip(start.flatten().tolist(), columns)]
    return [torch.tensor(step, dtype=torch.float64).view(2, 3) for step in zip(*ways)]


def _judge_lion(attempt: Any) -> str:
    lion = need_function(attempt, "lion(w, g, state, lr, decay)")
    w, gradients = start_and_gradients()
    state: dict[Any, Any] = {}
    got = []
    for g in gradients:
        returned = call(lion, w.clone(), g.clone(), state, LR, DECAY, shown=SHOWN)
        w = need_tensor(returned, f"What {SHOWN} returned", (2, 3), "that of w").detach().clone()
        got.append(w)
    expected = path()
    if all(alike(a, b) for a, b in zip(got, expected)):
        return (
            f"Equal to the algorithm over {STEPS} steps. Lion keeps one number for each weight where Adam keeps two. "
            "Decay aside, every weight moves by exactly lr, so its authors take rates three to ten times below AdamW's."
        )
    for fault, words in MISTAKES.items():
        if all(alike(a, b) for a, b in zip(got, path(fault))):
            raise Wrong(words)
    step = next(i for i, (a, b) in enumerate(zip(got, expected)) if not alike(a, b))
    first = "Look at the direction and the decay" if step == 0 else "The steps before are right: look at the memory"
    raise Wrong(f"In step {step} the weights go elsewhere: {difference(got[step], expected[step])}. {first}.")


LION = Exercise(
    id="04-7",
    title="Lion, from the paper",
    difficulty="medium",
    minutes=15,
    attempt="lion",
    expects="your function lion(w, g, state, lr, decay) itself, without calling it",
    hints=(
        "Three lines: the direction, the new weight, and last the new memory. `state.get(\"m\", 0)` is 0 at first.",
        "The direction is `torch.sign(0.9 * m + 0.1 * g)`. The decay is added to it, times w, and all of it is "
        "multiplied by lr.",
        "The memory comes last, with other numbers: `state[\"m\"] = 0.99 * m + 0.01 * g`. Return the new weight.",
    ),
    judge=_judge_lion,
)
