"""A training loop with three faults (00-6): which are left is read off where the weights go, not off its text."""

import itertools
from typing import Any

from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.values import near, need_number

DATA = [(1.0, 3.0), (2.0, 5.0), (-1.0, -0.5)]
STEPS, LR = 3, 0.05
SHOWN = f"fit({DATA}, {STEPS}, {LR})"

UPHILL = "The weights go uphill: the gradient says where the loss grows, and the step goes the other way."
KEPT = (
    "The gradients are never set back to 0: each step still adds those of all steps before. The first step is right, "
    "and the later ones go too far."
)
LAST = "The loss is that of the last pair alone: `loss = ...` in the inner loop forgets what was added up before."
FAULTS = {"uphill": UPHILL, "kept": KEPT, "last": LAST}


def path(faults: frozenset[str] = frozenset(), mean: bool = True) -> list[float]:
    """Where w and b end, and the losses on the way, with the faults that are named."""
    w = b = total_w = total_b = 0.0
    losses = []
    for _ in range(STEPS):
        pairs = DATA[-1:] if "last" in faults else DATA
        n = len(DATA) if mean else 1
        errors = [(x, w * x + b - y) for x, y in pairs]
        losses.append(sum(e * e for _, e in errors) / n)
        grad_w, grad_b = (sum(2 * e * x for x, e in errors) / n, sum(2 * e for _, e in errors) / n)
        total_w = grad_w + (total_w if "kept" in faults else 0)
        total_b = grad_b + (total_b if "kept" in faults else 0)
        sign = 1 if "uphill" in faults else -1
        w += sign * LR * total_w
        b += sign * LR * total_b
    return [w, b, *losses]


def _same(a: list[float], b: list[float]) -> bool:
    return all(near(x, y) for x, y in zip(a, b, strict=True))


def _judge_repair(attempt: Any) -> str:
    fit = need_function(attempt, "fit(data, steps, lr)")
    got = _flat(call(fit, list(DATA), STEPS, LR, shown=SHOWN))
    if _same(got, path()):
        return (
            "None of the three raised an error, and each has its sign: a loss that grows from the first step on; one "
            "that falls and then swings; one that falls nicely while the other pairs are fitted worse and worse. Look "
            "at the loss, and at what it is the loss of."
        )
    for count in (3, 2, 1):
        for faults in itertools.combinations(FAULTS, count):
            if _same(got, path(frozenset(faults))):
                if count == 3:
                    raise Unattempted("All three faults are still in the loop.")
                mended = 3 - count
                raise Wrong(f"{mended} of 3 faults {'is' if mended == 1 else 'are'} mended. What is left: "
                            f"{FAULTS[faults[0]]}")  # fmt: skip
    if _same(got, path(mean=False)):
        raise Wrong("The three faults are gone, but the loss is a sum now: divide it by len(data), as it was.")
    if _same(got[:2], path()[:2]):
        raise Wrong("The weights are right. The losses are not those before each step; were they kept in their order?")
    right = path()
    raise Wrong(
        f"After {STEPS} steps w and b should be {number(right[0])} and {number(right[1])}; they are {number(got[0])} "
        f"and {number(got[1])}."
    )


def _flat(returned: Any) -> list[float]:
    """What fit returned, (w, b, losses), as one row of numbers."""
    if not isinstance(returned, (list, tuple)) or len(returned) != 3:
        hint = " Does the function end with return?" if returned is None else ""
        raise Wrong(f"{SHOWN} should return w, b and the list of losses; it is {described(returned)}.{hint}")
    w, b, losses = returned
    if not isinstance(losses, (list, tuple)) or len(losses) != STEPS:
        raise Wrong(f"The third thing that {SHOWN} returns should be {STEPS} losses; it is {described(losses)}.")
    named = {"w": w, "b": b} | {f"Loss {i}": loss for i, loss in enumerate(losses)}
    return [need_number(value, f"{name} of {SHOWN}") for name, value in named.items()]


REPAIR = Exercise(
    id="00-6",
    title="A loop with three faults",
    difficulty="medium",
    minutes=12,
    attempt="fit",
    expects="your function fit(data, steps, lr) itself, without calling it",
    hints=(
        "Run it and print the losses. They grow from the first step on: which line decides the direction?",
        "What is in `p.grad` when the second step begins?",
        "Which of the three pairs does `loss` know of after the inner loop? Add up in place of overwriting.",
    ),
    judge=_judge_repair,
)
