"""Which of several runs is best, whatever their tokenizers (08-5)."""

import math
from typing import Any

from course_lib.exercises.chapter_08.pieces import ask
from course_lib.exercises.judge.calling import described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import first_match, near, need_number

Runs = dict[str, tuple[float, int, int]]

CASES: tuple[Runs, ...] = (
    {"byte pairs": (2.60, 350_000, 1_000_000), "characters": (1.10, 1_000_000, 1_000_000)},
    {"characters": (0.80, 1_000_000, 1_000_000), "byte pairs": (3.10, 280_000, 1_000_000)},
    {"small": (2.0, 500, 1_000), "middle": (3.1, 300, 1_000), "large": (3.9, 250, 1_000)},
    {"a tenth": (3.3, 30_000, 100_000), "the whole": (3.0, 300_000, 1_000_000)},
    {"Greek": (1.3, 900, 1_700), "English": (1.0, 1_000, 1_000)},
    {"alone": (5.545177444479562, 10, 10)},
)
"""Each run: nats per token, tokens, bytes."""


def _score(nats: float, tokens: int, n_bytes: int) -> float:
    return nats * tokens / math.log(2) / n_bytes


def _judge_best_run(attempt: Any) -> str:
    best_run = need_function(attempt, "best_run(runs)")
    for runs in CASES:
        shown = f"best_run({runs})"
        returned = ask(best_run, runs, shown=shown)
        name, value = _need_answer(returned, runs, shown)
        scores = {run: _score(*three) for run, three in runs.items()}
        best = min(scores, key=scores.__getitem__)
        if name != best:
            told = ", ".join(f"{run} {number(score)}" for run, score in scores.items())
            raise Wrong(
                f"{shown} should name {best!r}; it named {name!r}. In bits per byte they have: {told}. Lowest is best. "
                f"{_why_another(name, runs)}".rstrip()
            )
        got = need_number(value, f"The bits per byte that {shown} returned")
        if not near(got, scores[best], rel=1e-3):
            words = first_match(got, _known_scores(*runs[best]), rel=1e-3) or (
                "All nats of the text, in bits, over its bytes: nats per token x tokens / ln 2 / bytes."
            )
            raise Wrong(
                f"{shown} names the right run, but it has {number(scores[best])} bits per byte; yours are "
                f"{number(got)}. {words}"
            )
    return (
        "A token of byte pairs is a longer piece of the text, so it may cost more nats and the text still fewer bits. "
        "Between tokenizers, nats per token say nothing; bits per byte ask them all the same question."
    )


def _need_answer(returned: Any, runs: Runs, shown: str) -> tuple[str, Any]:
    """The name and the number of an answer."""
    what = f"What {shown} returned"
    hint = " Does the function end with return?" if returned is None else ""
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise Wrong(f"{what} should be a pair, a name and its bits per byte; it is {described(returned)}.{hint}")
    name, value = returned
    if isinstance(value, str) and value in runs:
        raise Wrong(f"{what} should be the name first and then the bits per byte; it is the other way round.")
    if not isinstance(name, str) or name not in runs:
        raise Wrong(f"{what} should begin with the name of a run, one of {', '.join(map(repr, runs))}; it begins with "
                    f"{described(name)}.")  # fmt: skip
    return name, value


def _why_another(name: str, runs: Runs) -> str:
    ways = (
        (min, lambda nats, tokens, n_bytes: nats, "Yours has the fewest nats per token, but it needs more tokens for "
         "the same text."),
        (min, lambda nats, tokens, n_bytes: nats * tokens, "Yours has the fewest nats in all, but it was not scored on "
         "the same text: per byte is what counts."),
        (min, lambda nats, tokens, n_bytes: tokens, "Yours has the fewest tokens; what they cost counts too."),
        (min, lambda nats, tokens, n_bytes: nats * n_bytes / tokens, "The fraction stands on its head: times tokens, "
         "over bytes."),
        (max, lambda nats, tokens, n_bytes: nats, "Yours has the most nats per token."),
    )  # fmt: skip
    return next((words for pick, by, words in ways if pick(runs, key=lambda run: by(*runs[run])) == name), "")


def _known_scores(nats: float, tokens: int, n_bytes: int) -> list[tuple[float, str]]:
    bits = nats / math.log(2)
    return [
        (nats, "That is still its nats per token."),
        (nats * tokens / n_bytes, "That is in nats per byte: divide by ln 2, math.log(2), to get bits."),
        (nats * math.log(2) * tokens / n_bytes, "A bit is less than a nat, ln 2 of one, so there are more bits: divide "
         "by ln 2, do not multiply."),
        (bits, "That is in bits per token: times tokens, over bytes."),
        (bits * n_bytes / tokens, "The fraction stands on its head: times tokens, over bytes."),
        (bits * tokens, "That is the whole text in bits. Divide by its bytes."),
        (nats * tokens, "That is the whole text in nats. Divide by ln 2 and by its bytes."),
        (bits / n_bytes, "The loss is a mean: multiply by the tokens to get that of the whole text."),
        (nats * tokens / math.log10(2) / n_bytes, "math.log10 is another logarithm: a bit is ln 2 nats, math.log(2)."),
        *[(round(bits * tokens / n_bytes, digits), "Do not round.") for digits in range(3)],
    ]  # fmt: skip


BEST_RUN = Exercise(
    id="08-5",
    title="Which run is better?",
    difficulty="medium",
    minutes=8,
    attempt="best_run",
    expects="your function best_run(runs) itself, without calling it",
    hints=(
        "How many nats did the whole text cost? The loss is the mean over its tokens.",
        "Nats in all, over bytes, are nats per byte. A nat is 1 / ln 2 bits: divide by `math.log(2)`.",
        "Put the scores of all runs into a dict by name; `min(scores, key=scores.get)` is the name of the lowest.",
    ),
    judge=_judge_best_run,
)
