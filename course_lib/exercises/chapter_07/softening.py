"""Temperature on paper (07-1), and a softmax that does not overflow (07-2)."""

import math
from typing import Any

from course_lib.exercises.chapter_07.rows import need_row, same_probabilities
from course_lib.exercises.judge.calling import call, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import by_case, need_number

TEMPERATURES = (0.5, 2, 1000)
CLOSE_ENOUGH = 0.006
"""Two places after the point are asked for."""


def _likelier(T: float) -> float:
    return 1 / (1 + 9 ** (-1 / T))


def _judge_temperature(attempt: Any) -> str:
    for T, value in by_case(attempt, TEMPERATURES, TEMPERATURE.expects).items():
        what = f"The likelier one's probability at T = {T:,}"
        if value is None or value is ...:
            raise Wrong(f"{what} is still missing.")
        got = need_number(value, what)
        if abs(got - _likelier(T)) <= CLOSE_ENOUGH:
            continue
        if abs(got / 100 - _likelier(T)) <= CLOSE_ENOUGH:
            raise Wrong(f"{what} should be a share between 0 and 1; {number(got)} is the right number of percent.")
        known = [
            (_likelier(1 / T), "That is what multiplying the logits by T gives: T divides them."),
            (0.9, "That is its probability at T = 1. Divided and renormalized, probabilities stay as they are: T "
             "divides the logits."),
            (0.9 ** (1 / T), "That is 0.9 to the power of 1/T, not yet renormalized: do the same with 0.1, and divide "
             "by the sum."),
            (0.9 / T, "That divides the probability. T divides the logits, before the softmax."),
            (1 / (1 + math.exp(-0.8 / T)), "That puts the probabilities themselves into a second softmax. Their "
             "logits are their logarithms."),
            (1.0, "Nearly; but the other keeps a little. Work out the ratio of the two."),
            (1 - _likelier(T), "That is the other one's."),
        ]  # fmt: skip
        words = next((words for wrong, words in known if abs(got - wrong) <= CLOSE_ENOUGH), "")
        words = words or "The ratio of the two is 9 at T = 1; at another T it is 9 to the power of 1/T."
        raise Wrong(f"{what} should be another number; it is {number(got)}. {words}")
    return (
        "The ratio is 9 to the power of 1/T: 81 at T = 0.5, 3 at T = 2, nearly 1 at T = 1,000. So 81/82 = 0.99, 3/4 = "
        "0.75, and a half."
    )


TEMPERATURE = Exercise(
    id="07-1",
    title="Temperature on paper",
    difficulty="easy",
    minutes=4,
    attempt="likelier",
    expects="a dict with three numbers, {0.5: ..., 2: ..., 1000: ...}",
    hints=(
        "At T = 1 the likelier one is nine times as likely. What happens to that ratio when the logits are divided by "
        "T?",
        "The ratio is e to the power of (difference / T): 9 to the power of 1/T. At T = 0.5 that is 9², at T = 2 it is "
        "√9.",
        "If the ratio is r, the likelier one has r / (r + 1).",
    ),
    judge=_judge_temperature,
)

ROWS = (
    [0.0, 1.0, 2.0], [1000.0, 999.0], [-1000.0, -1001.0, -1003.0], [5.0, -math.inf, 3.0], [2000.0, 0.0, 0.0, 0.0],
    [7.0],
)  # fmt: skip


def _softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    exps = [math.exp(score - top) for score in scores]
    return [e / sum(exps) for e in exps]


def _judge_softmax(attempt: Any) -> str:
    softmax = need_function(attempt, "safe_softmax(scores)")
    for scores in ROWS:
        given = list(scores)
        shown = f"safe_softmax({[score if math.isinf(score) else int(score) for score in scores]})"
        returned = call(softmax, given, shown=shown)
        if given != scores:
            raise Wrong(f"{shown} changed the list of scores that it was given. Make a list of your own.")
        expected = _softmax(scores)
        what = f"What {shown} returned"
        row = need_row(returned, len(scores), what)
        top = max(scores)
        shifted = [score - top for score in scores]
        mistakes = [
            (shifted, "Those are the scores without their largest; e to the power of each is still to come."),
            ([math.exp(score) for score in shifted], "That is not divided by the sum yet."),
            ([1 / len(scores)] * len(scores), "All equal: scores that are cut off at some limit lose their "
             "differences. Shift them all by the same number."),
            ([score / sum(map(abs, scores)) if sum(map(abs, scores)) else 0 for score in scores],
             "That divides the scores themselves: e to the power of each comes first."),
        ]  # fmt: skip
        finite = [(wrong, words) for wrong, words in mistakes if all(map(math.isfinite, wrong))]
        same_probabilities(row, expected, what, finite)
    return (
        "Softmax does not change when the same number is taken from all scores: every e to the power of a score is "
        "divided by the same factor, and so is their sum. Without the largest, no power is above 1."
    )


SOFTMAX = Exercise(
    id="07-2",
    title="A softmax that does not overflow",
    difficulty="easy",
    minutes=5,
    attempt="safe_softmax",
    expects="your function safe_softmax(scores) itself, without calling it",
    hints=(
        "What happens to the probabilities if you add 5 to every score? Try it with two scores.",
        "So you may take any number from all of them. Which one makes the largest score 0?",
        "`top = max(scores)`, then `math.exp(score - top)` for each, then each over their sum. "
        "`math.exp(-math.inf)` is 0.",
    ),
    judge=_judge_softmax,
)
