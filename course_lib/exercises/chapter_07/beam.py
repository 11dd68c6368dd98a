"""Beam search (07-7), held against greedy, against brute force, and against a slow beam."""

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

from course_lib.exercises.chapter_07.rows import plain
from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong

Model = Callable[[list[int]], list[float]]

# After token 0: two ways. Greedy takes 1 (0.6), and then everything is open; 2 (0.4) leads on to a sure thing.
GARDEN = {(0,): [0.0, 0.6, 0.4, 0.0], (0, 1): [0.3, 0.3, 0.4, 0.0], (0, 2): [0.0, 0.05, 0.95, 0.0]}  # fmt: skip
# The two best continuations come from one and the same beginning.
TWINS = {
    (0,): [0.0, 0.7, 0.3, 0.0], (0, 1): [0.5, 0.5, 0.0, 0.0], (0, 2): [0.4, 0.3, 0.3, 0.0],
    (0, 1, 0): [0.4, 0.3, 0.3, 0.0], (0, 1, 1): [0.05, 0.95, 0.0, 0.0], (0, 2, 0): [0.9, 0.1, 0.0, 0.0],
}  # fmt: skip
# Token 3 ends a text: at once it is the best there is, since all others have to go on, and lose with every token.
ENDING = {
    (0,): [0.0, 0.6, 0.0, 0.4], (0, 1): [0.5, 0.0, 0.5, 0.0], (0, 1, 0): [0.5, 0.5, 0.0, 0.0],
    (0, 1, 2): [0.5, 0.0, 0.5, 0.0],
}  # fmt: skip

PLANTED = (
    (GARDEN, 2, "Greedy begins with 1 (0.6), and cannot get above 0.6 × 0.4 = 0.24; by 2 there is 0.4 × 0.95 = 0.38. "
     "With two beginnings both should be kept after the first round."),
    (TWINS, 3, "After two rounds the two best beginnings are [0, 1, 0] and [0, 1, 1], both out of [0, 1]: the best "
     "width of all candidates stay, whoever they come from, not the best one of each beginning."),
    (ENDING, 3, "[0, 3] is finished after one round, with 0.4; everything else is less in the end. A finished "
     "beginning stays among the candidates, and is not extended."),
)  # fmt: skip
"""A table, how many rounds, and what to say where a beam of two does not find its best text."""


class Table:
    """A model in a dict, which counts how often it is asked. A beginning that it does not hold is followed evenly."""

    def __init__(self, rows: dict[tuple[int, ...], list[float]], V: int = 4) -> None:
        self.rows, self.V, self.asked = rows, V, 0

    def row(self, ids: list[int]) -> list[float]:
        return self.rows.get(tuple(ids), [1 / self.V] * self.V)

    def __call__(self, ids: list[int]) -> list[float]:
        self.asked += 1
        return [math.log(p) if p else -math.inf for p in self.row(list(ids))]


class Wild(Table):
    """A model that answers every beginning differently, and each time the same."""

    def __init__(self, seed: int, V: int = 4) -> None:
        super().__init__({}, V)
        self.seed = seed

    def row(self, ids: list[int]) -> list[float]:
        dice = random.Random(f"{self.seed} {ids}")
        weights = [dice.random() ** 2 for _ in range(self.V)]
        return [w / sum(weights) for w in weights]


def total(model: Model, ids: list[int], begun: int) -> float:
    """The log-probability of ``ids`` after their first ``begun``."""
    return sum(model(ids[:i])[ids[i]] for i in range(begun, len(ids)))


def slow_beam(
    model: Model, start: list[int], width: int, steps: int, end: int, keeps: float = 1.0, sign: float = 1.0
) -> list[int]:
    """The right answer; with ``keeps`` 0 only the last token counts, and with ``sign`` -1 the lowest sums stay."""
    beams = [(0.0, start)]
    for _ in range(steps):
        candidates = []
        for score, ids in beams:
            if ids[-1] == end and len(ids) > len(start):
                candidates.append((score, ids))
            else:
                candidates += [(keeps * score + p, [*ids, i]) for i, p in enumerate(model(ids))]
        beams = sorted(candidates, key=lambda one: -sign * one[0])[:width]
    return beams[0][1]


def brute_force(model: Table, start: list[int], steps: int, end: int) -> list[int]:
    """The likeliest of all texts, each tried."""
    texts = set()
    for tail in itertools.product(range(model.V), repeat=steps):
        cut = tail.index(end) + 1 if end in tail else steps
        texts.add(tail[:cut])
    return max(([*start, *tail] for tail in texts), key=lambda ids: total(model, ids, len(start)))


def _judge_beam(attempt: Any) -> str:
    beam_search = need_function(attempt, "beam_search(log_probs, start, width, steps, end)")
    _greedy(beam_search)
    for rows, steps, words in PLANTED:
        _finds(beam_search, Table(rows), 2, steps, words)
    wide = "This wide, nothing is thrown away: it should be the best of all texts."
    for seed in range(6):
        _finds(beam_search, Wild(seed), 64, 3, wide, brute=True)
        _finds(beam_search, Wild(seed + 10), 3, 5, "")
    _is_pruned(beam_search)
    return (
        "Width 1 is greedy, and wide enough it is the search through all texts. In between it mostly finds likelier "
        "texts than greedy. Likelier is not better, though: of stories, the likeliest is often a dull one, or a loop. "
        "And sums favor short texts: every further token takes something away. Real systems divide by the length."
    )  # fmt: skip


def _ask(
    beam_search: Callable[..., Any], model: Table, width: int, steps: int, start: list[int]
) -> tuple[list[int], str]:
    shown = f"beam_search(log_probs, start={start}, width={width}, steps={steps}, end=3)"
    given = list(start)
    returned = call(beam_search, model, given, width, steps, 3, shown=shown)
    if given != start:
        raise Wrong(f"{shown} changed the list start that it was given: make new lists, such as [*ids, token].")
    hint = " Does the function end with return?" if returned is None else ""
    row = plain(returned)
    if isinstance(row, list) and len(row) == 2 and any(isinstance(one, list) for one in row):
        raise Wrong(f"{shown} should return the ids alone, without their sum; it returned a pair.")
    if not isinstance(row, list) or any(isinstance(i, bool) or not isinstance(i, int) for i in row):
        raise Wrong(f"What {shown} returned should be a list of ids; it is {described(returned)}.{hint}")
    if row[: len(start)] != start or len(row) <= len(start):
        raise Wrong(f"{shown} should return the whole list, start and what comes after it; it returned {row}.")
    if any(not 0 <= i < model.V for i in row):
        raise Wrong(f"{shown} returned {row}; this model has the ids 0 to {model.V - 1}.")
    return row, shown


def _greedy(beam_search: Callable[..., Any]) -> None:
    for seed in range(4):
        model, start = Wild(seed + 20), [1, 2]
        got, shown = _ask(beam_search, model, 1, 5, start)
        expected = slow_beam(model, start, 1, 5, 3)
        if got == expected:
            continue
        tail = got[len(start) :]
        words = "Width 1 keeps one beginning: the likeliest next token in each round."
        if 3 in tail[:-1]:
            words = "It goes on after the id end. A finished beginning is not extended."
        elif got == slow_beam(model, start, 1, 5, 3, sign=-1):
            words = "Those are unlikely tokens: log-probabilities are below 0, and the highest sum is the nearest to 0."
        elif len(got) != len(expected):
            n = len(expected) - len(start)
            words = f"It has {len(tail)} new tokens, and the best has {n}: one in each round, until end."
        raise Wrong(f"{shown} should return {expected}; it returned {got}. {words}")


def _finds(
    beam_search: Callable[..., Any], model: Table, width: int, steps: int, words: str, brute: bool = False
) -> None:
    got, shown = _ask(beam_search, model, width, steps, [0])
    expected = brute_force(model, [0], steps, 3) if brute else slow_beam(model, [0], width, steps, 3)
    if got == expected:
        return
    mine, best = (math.exp(total(model, ids, 1)) for ids in (got, expected))
    if 3 in got[1:-1]:
        words = "It goes on after the id end. A finished beginning is not extended, and stays as it is."
    elif got == slow_beam(model, [0], width, steps, 3, keeps=0):
        words = "It seems that only the last token counts: a sum holds the log-probabilities of all since the start."
    rows = "".join(f"\n  {list(ids)}: {row}" for ids, row in model.rows.items())
    rows = f"The model, a beginning and the probabilities of what follows it:{rows}\n" if rows else ""
    raise Wrong(
        f"{rows}{shown} should return {expected}, with a probability of {best:.3g}; it returned {got}, with "
        f"{mine:.3g}. {words or 'Each sum should hold the log-probabilities of all tokens since the start.'}".strip()
    )


def _is_pruned(beam_search: Callable[..., Any]) -> None:
    model = Wild(99, V=6)
    _ask(beam_search, model, 2, 5, [0])
    if model.asked > 1 + 2 * 4:
        raise Wrong(
            f"The texts are right, but with width=2 and steps=5 the model was asked {model.asked} times; 9 are enough: "
            "once in the first round, and then twice in each. Cut the candidates down to width in every round."
        )


BEAM = Exercise(
    id="07-7",
    title="Beam search",
    difficulty="hard",
    minutes=25,
    attempt="beam_search",
    expects="your function beam_search(log_probs, start, width, steps, end) itself, without calling it",
    hints=(
        "Keep a list of pairs (sum, ids), at first only (0.0, start). A round makes a longer list of candidates from "
        "it, and cuts that down to `width`.",
        "For a pair that is not finished there is a candidate (sum + p, [*ids, token]) for every token and its "
        "log-probability p; a finished one is a candidate as it is.",
        "`sorted(candidates, key=lambda pair: pair[0], reverse=True)[:width]` are the new pairs. In the end return the "
        "ids of the first.",
        "Finished is what ends with `end` and is longer than `start`. `enumerate(log_probs(ids))` gives token and "
        "log-probability together.",
    ),
    judge=_judge_beam,
)
