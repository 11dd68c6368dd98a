"""Two predictions with paper and pencil: the first loss (05-1), and how often a text is read (05-2)."""

import math
from typing import Any

from course_lib.exercises.judge.calling import call, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import by_case, first_match, near, need_number

SIZES = (40, 256, 50_257)
COARSE = 0.1
"""How far off a loss may be that was only rounded too much."""


def _judge_first_losses(attempt: Any) -> str:
    for size, value in by_case(attempt, SIZES, FIRST_LOSSES.expects).items():
        if value is None or value is ...:
            raise Wrong(f"The prediction for a vocabulary of {size:,} is still missing.")
        got = need_number(value, f"The prediction for a vocabulary of {size:,}")
        expected = math.log(size)
        if abs(got - expected) < 0.0101:  # two places after the point, rounded or cut off
            continue
        known = [
            (math.log2(size), "That is log2, a loss in bits. In nats it is the natural logarithm, math.log."),
            (math.log10(size), "That is log10. A loss in nats takes the natural logarithm, math.log."),
            (-expected, "The logarithm of 1/V is negative, and the loss is minus that: a surprise is never below 0."),
            (1 / size, "That is the probability that each token gets. The loss is minus its logarithm."),
            (float(size), "That is the vocabulary itself. The loss is minus the logarithm of the probability 1/V."),
        ]
        words = first_match(got, known, rel=0.002)
        if words is None and abs(got - expected) <= COARSE:
            words = "Very near. Give at least two places after the point: a first loss is compared that closely."
        chance = f"{math.exp(-got):.3g}" if abs(got) < 700 else "nothing sensible"
        words = words or (
            f"A loss of {number(got)} nats would mean that the true token got the probability {chance}; a model that "
            f"knows nothing gives it 1/{size:,}."
        )
        raise Wrong(f"For a vocabulary of {size:,} you predict {number(got)}. {words}")
    return (
        "A new model spreads its guess over all V tokens, so its loss is ln V. It grows slowly: a vocabulary 1,256 "
        "times as large costs only 7.1 nats more."
    )


FIRST_LOSSES = Exercise(
    id="05-1",
    title="Three first losses",
    difficulty="easy",
    minutes=3,
    attempt="first_losses",
    expects="a dict with three numbers, {40: ..., 256: ..., 50257: ...}",
    hints=(
        "A new model knows nothing. What probability does it give to each of V tokens?",
        "The loss is minus the natural logarithm of that probability.",
        "`math.log` is the natural logarithm, and −ln(1/V) is ln V. For two tokens: `math.log(2)` is 0.693.",
    ),
    judge=_judge_first_losses,
)

CASES = (
    {"steps": 10, "batch_size": 2, "block_size": 5, "grad_accum": 3, "n_characters": 1000},
    {"steps": 7, "batch_size": 12, "block_size": 64, "grad_accum": 1, "n_characters": 2000},
    {"steps": 300, "batch_size": 12, "block_size": 64, "grad_accum": 2, "n_characters": 1_000_000},
)


def _judge_times_read(attempt: Any) -> str:
    times_read = need_function(attempt, "times_read(steps, batch_size, block_size, grad_accum, n_characters)")
    for case in CASES:
        shown = f"times_read({', '.join(f'{name}={value}' for name, value in case.items())})"
        got = need_number(call(times_read, *case.values(), shown=shown), f"What {shown} returned")
        expected = _tokens(**case) / case["n_characters"]
        if near(got, expected, rel=0.0015):  # a text of N characters has N - 1 targets: that is right as well
            continue
        words = first_match(got, _known_miscounts(expected, case)) or (
            "How many windows does one step read, how many characters has a window, and how long is the text?"
        )
        raise Wrong(f"{shown} should return {number(expected)}; it returned {number(got)}. {words}")
    return (
        "Steps, times windows per step, times characters per window, over the length of the text. A run is often less "
        "than one reading: then most of what a batch shows is new, and the training loss is nearly honest too."
    )


def _tokens(steps: int, batch_size: int, block_size: int, grad_accum: int, n_characters: int) -> int:
    return steps * batch_size * block_size * grad_accum


def _known_miscounts(expected: float, case: dict[str, int]) -> list[tuple[float, str]]:
    left_out = {
        "grad_accum": "grad_accum is left out: each step adds up that many batches before it moves the weights.",
        "block_size": "block_size is left out: each window has that many characters.",
        "batch_size": "batch_size is left out: each batch has that many windows.",
        "steps": "steps is left out: that is what one step reads.",
    }
    return [
        *((expected / case[name], words) for name, words in left_out.items() if case[name] > 1),
        (float(_tokens(**case)), "That counts characters. How often is the text read: divide by its length."),
        (1 / expected, "The fraction stands on its head: characters that were read, over characters of the text."),
        (100 * expected, "That is in percent; a plain fraction is asked for, 1 for the whole text once."),
        (_tokens(**case) // case["n_characters"], "// throws the fraction away: / keeps it. Half a reading counts."),
        (round(expected), "Do not round: half a reading counts."),
    ]


TIMES_READ = Exercise(
    id="05-2",
    title="How often is the text read?",
    difficulty="easy",
    minutes=5,
    attempt="times_read",
    expects="your function times_read(steps, batch_size, block_size, grad_accum, n_characters) itself, without "
    "calling it",
    hints=(
        "Begin with one window: it has `block_size` characters. A batch has `batch_size` windows.",
        "One step reads `grad_accum` batches, and there are `steps` of them.",
        "Divide all the characters that were read by `n_characters`, with `/`, so that fractions stay.",
    ),
    judge=_judge_times_read,
)
