"""When a patch has thought enough (09-7): adaptive computation time (Graves, 2016)."""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Any

from course_lib.exercises.judge.asking import ask
from course_lib.exercises.judge.calling import described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import near, need_number, plain

CASES: tuple[tuple[list[float], float], ...] = (
    ([0.25, 0.5, 0.125, 0.8, 0.6], 0.7),
    ([0.5, 0.3, 0.4, 0.6], 0.99),
    ([0.25, 0.25, 0.375, 0.5], 0.9),
    ([0.995, 0.5, 0.5], 0.99),
    ([1.0, 0.7], 0.99),
    ([0.125, 0.25, 0.125], 0.99),
    ([0.1], 0.99),
    ([0.5, 0.25, 0.5], 0.75),
    ([0.5, 0.5, 0.5], 1.0),
    ([0.3, 0.6, 0.2, 0.7], 0.8),
    ([0.25, 0.5], 0.0),
    ([0.0, 0.0, 0.0], 0.99),
    ([0.0, 0.75, 0.5, 0.125], 0.99),
)
"""Halting probabilities of the steps, and where their sum is enough. Sums that should meet it do so exactly."""
Halted = tuple[list[float], int]


def halted(chances: Sequence[float], enough: float) -> Halted:
    sums = list(accumulate(chances))
    taken = next((i + 1 for i, total in enumerate(sums) if total >= enough), len(chances))
    before = list(chances[: taken - 1])
    return [*before, 1 - sum(before), *[0.0] * (len(chances) - taken)], taken


def _judge_halting(attempt: Any) -> str:
    halting = need_function(attempt, "halting(chances, enough)")
    for chances, enough in CASES:
        shown = f"halting({chances}, {enough})"
        got = _need_halted(ask(halting, chances, enough, shown=shown), shown, len(chances))
        expected = halted(chances, enough)
        if _same(got, expected):
            continue
        words = next((words for wrong, words in _known_slips(chances, enough) if _same(got, wrong)), None)
        raise Wrong(
            f"{shown} should return {_read(expected)}; it returned {_read(got)}. {words or _why(got, expected)}"
        )
    return (
        "An easy patch halts after one step, a hard one thinks on. The weights sum to 1, whatever the gate says, so "
        "the mix is as large as one state. And the last weight, 1 minus the sum before, depends on every chance before "
        "it: through it the gradient teaches the gate."
    )


def _read(answer: Halted) -> str:
    return f"([{', '.join(number(one) for one in answer[0])}], {number(answer[1])})"


def _same(got: Halted, expected: Halted) -> bool:
    return len(got[0]) == len(expected[0]) and got[1] == expected[1] and all(map(near, got[0], expected[0]))


def _need_halted(value: Any, shown: str, n: int) -> Halted:
    what = f"What {shown} returned"
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        hint = " Does the function end with return?" if value is None else ""
        raise Wrong(f"{what} should be a pair, (weights, steps taken); it is {described(value)}.{hint}")
    weights, taken = (plain(part) for part in value)
    if isinstance(taken, list) and not isinstance(weights, list):
        raise Wrong(f"{what} should be the weights first and then the steps taken; it is the other way round.")
    if not isinstance(weights, list):
        raise Wrong(f"{what} should begin with a list of weights; it begins with {described(weights)}.")
    row = [need_number(one, f"{what}: weight {place}") for place, one in enumerate(weights)]
    steps = need_number(taken, f"{what}: the steps taken")
    if len(row) != n:
        fewer = " Steps that are not taken have the weight 0." if len(row) < n else ""
        raise Wrong(f"{what} should have {n} weights, one for each chance; it has {len(row)}.{fewer}")
    if steps != int(steps):
        raise Wrong(f"{what}: the steps taken should be a whole number; it is {number(steps)}.")
    return row, int(steps)


def _known_slips(chances: list[float], enough: float) -> list[tuple[Halted, str]]:
    """Known mistakes; of those that lead to one answer the likelier first."""
    n, (right, taken) = len(chances), halted(chances, enough)
    kept, rest = list(chances[: taken - 1]), [0.0] * (n - taken)
    raw = sum(chances[:taken])
    without_rest = (
        "The step in which it halts takes what is left of 1, not its own chance: the weights should sum to 1."
        if raw >= enough
        else "The weights sum to less than 1: where the sum never is enough, the last step takes what is left."
    )
    return [
        ((right, taken - 1), "The weights are right. Steps are counted from 1: the first step is one step."),
        ((right, n), "The weights are right. The steps taken are those until it halts, not all that there might be."),
        ((right, taken + 1), "The weights are right. The step in which it halts is the last one taken."),
        (([*chances[:taken], *rest], taken), without_rest),
        (([*kept, max(0.0, enough - sum(kept)), *rest], taken), "What is left is 1 minus the sum before, not enough "
         "minus it: the weights sum to 1."),
        (([one / (raw or 1) for one in chances[:taken]] + rest, taken), "Do not divide by the sum. Each step keeps its "
         "chance as its weight, and the last takes what is left of 1."),
        (([*[0.0] * (taken - 1), 1.0, *rest], taken), "That is the last state alone. Each step before has its own "
         "chance as its weight."),
        (([1 / taken] * taken + rest, taken), "Those are equal weights. Each step has its own chance as its weight."),
        ((list(chances), n), "Nothing halts there: stop where the sum of the chances is enough."),
        *_other_halts(chances, enough),
    ]  # fmt: skip


def _other_halts(chances: list[float], enough: float) -> list[tuple[Halted, str]]:
    """Those that halt at another step."""
    n = len(chances)
    sums = list(accumulate(chances))
    shares = [chance * left for chance, left in zip(chances, accumulate([1.0, *(1 - c for c in chances)], mul))]

    def first(values: Sequence[bool]) -> int:
        return next((i + 1 for i, holds in enumerate(values) if holds), n)

    def at(taken: int, weights: Sequence[float] = chances) -> Halted:
        before = list(weights[: taken - 1])
        return [*before, 1 - sum(before), *[0.0] * (n - taken)], taken

    ponder = (
        "You multiply each chance by what is left. That is another method (PonderNet, 2021); here the chance itself is "
        "the weight, until the sum is enough."
    )
    return [
        (at(first([total > enough for total in sums])), "It halts also where the sum meets enough exactly: >=, not >."),
        (at(first([one >= enough for one in chances])), "You compare each chance by itself. It is their sum, this one "
         "among them, that has to be enough."),
        (at(first([total >= enough for total in [-1.0, *sums[:-1]]])), "One step too many: the chance of the step that "
         "was just taken counts already."),
        (at(n), "It never halts before the end: stop where the sum of the chances is enough."),
        (at(first([total >= enough for total in accumulate(shares)]), shares), ponder),
        (at(n, shares), ponder),
    ]  # fmt: skip


def _why(got: Halted, expected: Halted) -> str:
    total = sum(got[0])
    if min(got[0]) < -1e-6:
        return "A weight below 0: the step in which it halts takes 1 minus the sum before, and no step after it counts."
    if not near(total, 1):
        return f"The weights sum to {number(total)}, and should to 1: the last step that is taken takes what is left."
    if got[1] != expected[1]:
        return "Add the chances up, step by step: at which step is the sum enough for the first time?"
    return "Each step has its own chance as its weight; the last one taken has what is left of 1."


HALTING = Exercise(
    id="09-7",
    title="When to stop thinking",
    difficulty="hard",
    minutes=12,
    attempt="halting",
    expects="your function halting(chances, enough) itself, without calling it",
    hints=(
        "Do it on paper for the chances 0.5, 0.3, 0.4, 0.6 and enough = 0.99. The sums are 0.5, 0.8, 1.2: it halts in "
        "step 3, whose weight is 1 − 0.8.",
        "Keep the total so far. A step is the last one if `total + chance >= enough`, or if none comes after it.",
        "The last step's weight is `1 - total`, every earlier one's is its chance. Begin with "
        "`weights = [0.0] * len(chances)`, and leave the loop with `break`.",
    ),
    judge=_judge_halting,
)
