"""A gradient found by trying (00-4), and with it the gradient of the loss by the scores (00-7)."""

import math
from collections.abc import Sequence
from typing import Any

from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import near, need_number

POINT = [1.5, -0.5, 2.0]
SHOWN = f"numeric_gradients(f, {POINT})"
REL = 1e-3
"""What an honest difference with a small step may be off by."""


def f(xs: Sequence[float]) -> float:
    """x² y + sin z + 3 y."""
    x, y, z = xs
    return x * x * y + math.sin(z) + 3 * y


def exact() -> list[float]:
    x, y, z = POINT
    return [2 * x * y, x * x + 3, math.cos(z)]


def row_of_numbers(got: Any, length: int, shown: str) -> list[float]:
    """A learner's list of so many numbers."""
    if not isinstance(got, (list, tuple)):
        hint = " Does the function end with return?" if got is None else ""
        raise Wrong(f"{shown} should be a list of {length} numbers; it is {described(got)}.{hint}")
    if len(got) != length:
        raise Wrong(f"{shown} should have {length} numbers; it has {len(got)}.")
    return [need_number(value, f"Number {i} of {shown}") for i, value in enumerate(got)]


def same(got: Sequence[float], expected: Sequence[float], rel: float = REL) -> bool:
    return all(near(a, b, rel, rel) for a, b in zip(got, expected, strict=True))


def _judge_numeric(attempt: Any) -> str:
    numeric_gradients = need_function(attempt, "numeric_gradients(f, xs)")
    given = list(POINT)
    asked: list[list[float]] = []

    def watched(xs: Sequence[float]) -> float:
        asked.append(list(xs))
        return f(xs)

    returned = call(numeric_gradients, watched, given, shown=SHOWN)
    got = row_of_numbers(returned, len(POINT), SHOWN)
    if not asked:
        raise Wrong(f"{SHOWN} never called f. It should find the slopes by trying: f a little further, less f here.")
    if given != POINT:
        raise Wrong(f"{SHOWN} changed the list that it was given, to {given}. Work on a copy: list(xs).")
    right = exact()
    if same(got, right):
        return (
            f"To {_digits(got, right)} digits. It took {len(asked)} calls of f for 3 numbers. microGPT has 4,064: "
            "this way a step would cost thousands of forward passes, where backward takes about as long as one or two. "
            "To check a rule, it is unbeatable."
        )
    raise Wrong(_why_not(got, right, asked))


def _digits(got: Sequence[float], right: Sequence[float]) -> int:
    worst = max(abs(a - b) / abs(b) for a, b in zip(got, right))
    return min(12, int(-math.log10(worst))) if worst else 12


def _why_not(got: list[float], right: list[float], asked: list[list[float]]) -> str:
    moves = {tuple(x - p for x, p in zip(xs, POINT)) for xs in asked}
    largest = max(abs(move) for row in moves for move in row)
    together = [sum(right)] * len(right)
    if same(got, [2 * g for g in right]):
        return "Each slope is twice too large. From x - h to x + h it is a way of 2h, not of h."
    if same(got, [g / 2 for g in right]):
        return "Each slope is half too small. From x to x + h it is a way of h, not of 2h."
    if same(got, [-g for g in right]):
        return "Each slope has the wrong sign: take f further on, less f here."
    if largest == 0:
        return "f was called at the given place only. Move one number at a time by a little, and see what f does."
    if largest < 1e-10:
        return f"The step is {largest:.0e}, so small that rounding swallows it. Take something like 1e-5."
    if largest > 5e-3:
        return f"The step is {largest:.3g}, so large that the slope changes along the way. Take something like 1e-5."
    if any(sum(bool(move) for move in row) > 1 for row in moves) and same(got, together):
        return "All numbers are moved at once. Move one at a time; the others stay where they are."
    if any(sum(bool(abs(move) > 1e-12) for move in row) > 1 for row in moves):
        return "More than one number is away from its place at once. Put each back before you move the next."
    if all(abs(g) < 0.01 for g in got):
        return "The differences are not divided by the step: the slope is how much f moves for each unit of x."
    place = next(i for i, (a, b) in enumerate(zip(got, right)) if not near(a, b, REL, REL))
    return f"Slope {place} (counted from 0) should be near {number(right[place])}; it is {number(got[place])}."


NUMERIC = Exercise(
    id="00-4",
    title="Gradients by trying",
    difficulty="medium",
    minutes=10,
    attempt="numeric_gradients",
    expects="your function numeric_gradients(f, xs) itself, without calling it",
    hints=(
        "For each place i: a copy of xs in which number i is a little larger, and one in which it is a little smaller.",
        "The slope is (f of the larger - f of the smaller) / (2 * h), with h such as 1e-5.",
        "`up = list(xs)`, then `up[i] += h`. The same downwards, for each i in `range(len(xs))`.",
    ),
    judge=_judge_numeric,
)

LOGITS, TARGET = [2.0, -1.0, 0.5, 1.0], 2
SHOWN_7 = f"loss_gradients({LOGITS}, {TARGET})"


def softmax(logits: Sequence[float]) -> list[float]:
    exps = [math.exp(x - max(logits)) for x in logits]
    return [e / sum(exps) for e in exps]


def _judge_softmax(attempt: Any) -> str:
    loss_gradients = need_function(attempt, "loss_gradients(logits, target)")
    given = list(LOGITS)
    got = row_of_numbers(call(loss_gradients, given, TARGET, shown=SHOWN_7), len(LOGITS), SHOWN_7)
    if given != LOGITS:
        raise Wrong(f"{SHOWN_7} changed the list that it was given. Work on a copy: list(logits).")
    p = softmax(LOGITS)
    right = [q - (i == TARGET) for i, q in enumerate(p)]
    _no_known_mistake(got, p, right)
    far = [800.0, 0.0]
    shown = f"loss_gradients({far}, 1)"
    got = row_of_numbers(call(loss_gradients, far, 1, shown=shown), 2, shown)
    if not same(got, [1.0, -1.0]):
        raise Wrong(f"{shown} should be near [1, -1]; it is {got}. Take the largest score off before exp.")
    return (
        "Softmax minus one at the target: each wrong letter is pushed down by the probability that it had, the right "
        "one is pulled up by what it lacked, and the pushes add up to 0. The better the guess, the smaller the push."
    )


def _no_known_mistake(got: list[float], p: list[float], right: list[float]) -> None:
    if same(got, right, 1e-4):
        return
    alone = [(q - 1) * (i == TARGET) for i, q in enumerate(p)]
    known = (
        (p, "Those are the probabilities. What happens to the one letter that came?"),
        ([-g for g in right], "The sign is turned round: a higher score of the right letter makes the loss smaller."),
        (alone, "Only the target has a gradient here. A higher score of any other letter takes probability from it."),
        ([q - 1 for q in p], "The 1 is taken off everywhere. It belongs to the target alone."),
        ([x - (i == TARGET) for i, x in enumerate(LOGITS)], "The scores are not probabilities yet: softmax first."),
        ([g / len(p) for g in right], "It is divided by the number of letters. One prediction has one loss, no mean."),
        ([q * (1 - q) for q in p], "That is the slope of each probability by its own score. The loss is -ln of one."),
    )
    for wrong, words in known:
        if same(got, wrong, 1e-4):
            raise Wrong(words)
    place = next(i for i, (a, b) in enumerate(zip(got, right)) if not near(a, b, 1e-4, 1e-4))
    raise Wrong(f"Number {place} of {SHOWN_7} should be {number(right[place])}; it is {number(got[place])}.")


SOFTMAX = Exercise(
    id="00-7",
    title="How the loss pushes the scores",
    difficulty="hard",
    minutes=15,
    attempt="loss_gradients",
    expects="your function loss_gradients(logits, target) itself, without calling it",
    hints=(
        "Find out first, by trying: the loss is `-math.log(softmax(xs)[target])`; let your numeric_gradients of 00-4 "
        "say its slopes, and lay them beside softmax.",
        "All but one of the slopes are the probabilities themselves. What is different about that one?",
        "It is the probability less 1, at the target. Take the largest logit off before `math.exp`.",
    ),
    judge=_judge_softmax,
)
