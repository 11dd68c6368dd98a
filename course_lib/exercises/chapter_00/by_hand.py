"""With paper and pencil: a loss (00-1), and gradients where a number is used twice (00-3)."""

import math
from typing import Any

from course_lib.exercises.judge.calling import described, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import near

PROBABILITIES = (1 / 2, 1 / 4, 1 / 8)
LOSS = 2 * math.log(2)


def plain_number(value: Any, exercise: Exercise, what: str = "") -> float:
    """``value`` as a float, if it is a plain finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        where = f"{what}: expected" if what else "Expected"
        raise Wrong(f"{where} is {exercise.expects if not what else 'a number'}. It got {described(value)}.")
    return float(value)


def _judge_surprise(attempt: Any) -> str:
    got = plain_number(attempt, SURPRISE)
    mean = sum(PROBABILITIES) / len(PROBABILITIES)
    known = (
        (3 * LOSS, "That is the sum of the three surprises. The loss is their mean."),
        (-LOSS, "The sign is missing: the logarithm of a number below 1 is negative, and the surprise is minus that."),
        (-3 * LOSS, "That is the sum of the logarithms. The loss is minus their mean."),
        (2.0, "That is in bits, with the logarithm to base 2. The loss here is in nats: math.log is to base e."),
        (2 * math.log10(2), "That is the logarithm to base 10. math.log is to base e."),
        (-math.log(mean), "You took the mean of the probabilities first. Take each one's surprise, then their mean."),
        (mean, "That is the mean of the probabilities. Take each one's surprise first."),
        (math.log(2), "That is the first surprise alone, and there are three."),
    )
    for value, words in known:
        if near(got, value, abs_=0.002):
            raise Wrong(words)
    if not near(got, LOSS, abs_=0.006):
        raise Wrong(f"Expected is the mean of three surprises; it is not {number(got)}. What is -ln of each one?")
    return (
        "The surprises are ln 2, 2 ln 2 and 3 ln 2, their mean 2 ln 2 = 1.386. That is -ln(1/4): the model guesses as "
        "well as one who chooses among four letters at random. That is what a loss means."
    )


SURPRISE = Exercise(
    id="00-1",
    title="A loss by hand",
    difficulty="easy",
    minutes=4,
    attempt="loss_by_hand",
    expects="one number, the loss in nats",
    hints=(
        "The surprise of a probability p is -ln p. In Python: `-math.log(p)`.",
        "ln(1/4) is twice ln(1/2), and ln(1/8) three times. ln(1/2) is -0.693.",
        "The mean is the sum of the three, divided by 3.",
    ),
    judge=_judge_surprise,
)

RIGHT = {"w": 5.0, "x": 6.0, "b": 2.0}


def _judge_gradients(attempt: Any) -> str:
    if not isinstance(attempt, dict) or set(attempt) != set(RIGHT):
        keys = f" with the names {sorted(attempt, key=str)}" if isinstance(attempt, dict) and attempt else ""
        raise Wrong(f"Expected is {GRADIENTS.expects}. It got {described(attempt)}{keys}.")
    for name, value in attempt.items():
        if value is None or value is ...:
            raise Wrong(f"Expected is a number for {name}; it is still missing.")
    got = {name: plain_number(value, GRADIENTS, name) for name, value in attempt.items()}
    known = {
        ("b", 1.0): "the slope of d² is 2d, not d.",
        ("b", 25.0): "that is the old value squared; a gradient asks how fast the result moves.",
        ("x", 3.0): "that is w alone. Two factors lie on the way: 2d from the square, and w.",
        ("x", 4.0): "the other factor counts: p = w * x moves with x as fast as w is large.",
        ("w", 4.0): "one way is missing: w is used twice, and its gradient is the sum over both ways.",
        ("w", 1.0): "that is the way of the last + alone. w also works through p and d; the two ways are added.",
        ("w", 6.0): "the other factor counts: by the first way it is 2d * x = 4.",
        ("w", 7.0): "by the first way it is 2d * x, not 2d * w. The second way adds 1.",
        ("w", 3.0): "the slope of d² is 2d, not d. And the ways are added.",
    }
    for name in ("b", "x", "w"):  # the shortest way first: the others build on it
        if near(got[name], RIGHT[name]):
            continue
        if near(got[name], -RIGHT[name]):
            raise Wrong(f"{name}: the sign is wrong. If {name} grows a little, does L grow or fall? Expected is that.")
        words = known.get((name, got[name]), "multiply the local derivatives along the way from L back to it.")
        raise Wrong(f"{name}: expected is another number than {number(got[name])}: {words}")
    return (
        "The gradient of d is 2d = 2. It goes on unchanged to b and p (2), times w to x (6), and times x to w (4). The "
        "second way to w adds 1: a number that is used twice gets the sum. That is why gradients are added up, and why "
        "they must be set to 0 before the next step."
    )


GRADIENTS = Exercise(
    id="00-3",
    title="A weight that is used twice",
    difficulty="medium",
    minutes=8,
    attempt="gradients_by_hand",
    expects='a dictionary of three numbers, {"w": ..., "x": ..., "b": ...}',
    hints=(
        "Compute the values first: p = 6, d = 1, L = 4. Then walk from L back to the left.",
        "L moves 2d times as fast as d. And d moves just as fast as p, and as b.",
        "w has two ways to L: through p, and directly by the last +. Work out both and add them.",
    ),
    judge=_judge_gradients,
)
