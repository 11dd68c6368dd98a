"""By hand: how much a token takes from each (03-2), and which guesses a changed token may move (03-3)."""

import math
from collections.abc import Sequence
from typing import Any

from course_lib.exercises.judge.calling import described, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import need_number

WANTED = (1 / 8, 3 / 8, 4 / 8, 0.0)
VALUES = (8, 0, 4, 100)
ROUNDED = 0.006
"""So far off a weight may be: 1/8 is 0.125, and both 0.12 and 0.13 are its two digits."""
MIX_ROUNDED = 8 * ROUNDED + 4 * ROUNDED
"""So far off the mix of such weights may be: each value takes its weight's rounding along."""
KNOWN: list[tuple[tuple[float, ...], str]] = [
    ((1 / 16, 3 / 16, 4 / 16, 8 / 16), "Token 2 may not look at token 3: its weight is 0, and the others sum to 1."),
    (
        (1 / 16, 3 / 16, 4 / 16, 0.0),
        "The weights sum to 1/2: the future was struck out after the division. Strike it out first, then divide.",
    ),
    ((1 / 4, 3 / 4, 0.0, 0.0), "A token looks at itself, too: token 2 is among the tokens 0, 1 and 2."),
    ((1.0, 3.0, 4.0, 0.0), "Those are e to the power of the scores. Divide each by their sum."),
    (
        (0.0, math.log(3), math.log(4), 0.0),
        "Those are the scores themselves. Softmax first takes e to the power of each.",
    ),
    (
        (0.0, math.log(3), math.log(4), math.log(8)),
        "Those are the scores themselves. Softmax first takes e to the power of each.",
    ),
    ((1 / 3, 1 / 3, 1 / 3, 0.0), "Even weights would come from equal scores; these differ."),
]


def _judge_weights(attempt: Any) -> str:
    if not isinstance(attempt, dict) or not {"weights", "mix"} <= set(attempt):
        raise Wrong(f"Expected {WEIGHTS.expects}, but got {described(attempt)}.")
    got = _four(attempt["weights"])
    if not _close(got, WANTED):
        if got == [round(weight, 1) for weight in WANTED]:
            raise Wrong("These weights are rounded to one digit. Give two, or write them as 1 / 8.")
        known = (words for row, words in KNOWN if _close(got, row))
        total = "" if abs(sum(got) - 1) < 0.01 else f" They sum to {number(sum(got))}."
        words = next(known, f"e to the power of ln 3 is 3.{total}")
        raise Wrong(f"These weights are not right: {', '.join(map(number, got))}. {words}")
    if attempt["mix"] is None or attempt["mix"] is ...:
        raise Wrong("The weights are right. The mix is still missing.")
    mix = need_number(attempt["mix"], "The mix")
    if abs(mix - 3) > MIX_ROUNDED:
        said = {28.0: "That is the mean of all four.", 4.0: "That is the mean of the first three."}
        words = said.get(round(mix, 3), "Multiply each value by its weight, and add up.")
        raise Wrong(f"The weights are right; the mix should be another number than {number(mix)}. {words}")
    return (
        "1/8 of 8, 3/8 of 0 and 4/8 of 4: 1 + 0 + 2 = 3. The value 100 stands in the future and has no say. If it "
        "reached the mix, the model would know what it should guess."
    )


def _close(got: Sequence[float], row: Sequence[float]) -> bool:
    return all(abs(a - b) < ROUNDED for a, b in zip(got, row))


def _four(row: Any) -> list[float]:
    row = row.tolist() if hasattr(row, "tolist") else row
    if not isinstance(row, (list, tuple)):
        raise Wrong(f"The weights should be a list of four numbers; it is {described(row)}.")
    if len(row) != 4:
        fewer = " The future has a weight as well: which?" if len(row) == 3 else ""
        raise Wrong(f"The weights should be four numbers, one for each token; there are {len(row)}.{fewer}")
    missing = [place for place, one in enumerate(row) if one is ... or one is None]
    if missing:
        raise Wrong(f"The weight of token {missing[0]} is still missing.")
    return [need_number(one, f"The weight of token {place}") for place, one in enumerate(row)]


WEIGHTS = Exercise(
    id="03-2",
    title="How much from whom",
    difficulty="easy",
    minutes=5,
    attempt="token_2",
    expects='a dict, {"weights": [four numbers], "mix": one number}',
    hints=(
        "Which of the four tokens may token 2 look at? Strike the others out first.",
        "e^(ln 1) = 1, e^(ln 3) = 3, e^(ln 4) = 4. What is their sum?",
        "The weights are 1, 3 and 4, each over 8, and 0 for token 3. The mix is 8 · 1/8 + ...",
    ),
    judge=_judge_weights,
)

PLACES = {
    "bigram": (5,),
    "gpt": (5, 6, 7),
    "no mask": (0, 1, 2, 3, 4, 5, 6, 7),
    "near, 1 layer": (5, 6),
    "near, 2 layers": (5, 6, 7),
}
WHY = {
    "bigram": "A table of pairs makes the guess at position t from token t alone.",
    "gpt": "A causal model makes the guess at position t from the tokens 0 to t.",
    "no mask": "Without the mask every position looks at all tokens.",
    "near, 1 layer": "In one layer, position t sees the tokens t and t − 1.",
    "near, 2 layers": "Position 6 has taken from token 5 in layer 1; position 7 takes from position 6 in layer 2.",
}


def _judge_moved(attempt: Any) -> str:
    if not isinstance(attempt, dict) or not set(PLACES) & set(attempt):
        raise Wrong(f"Expected {MOVED.expects}, but got {described(attempt)}.")
    for name, places in PLACES.items():
        got = attempt.get(name)
        if got is None or got is ...:
            raise Wrong(f'The answer for "{name}" is still missing.')
        found = _places(got, name)
        if found == set(places):
            continue
        words = WHY[name]
        if found == set(places) - {5}:
            words = "The guess at position 5 is made from token 5 as well: it says what comes after it."
        elif name != "no mask" and found == set(places) | {4}:
            words = "At position 4 it is the answer that changed, not the guess: that was made from the tokens 0 to 4."
        too_many, missing = sorted(found - set(places)), sorted(set(places) - found)
        what = f"position {too_many[0]} cannot move" if too_many else f"position {missing[0]} may move, too"
        raise Wrong(f'"{name}": {what}. {words}')
    return (
        "In a window of two, what is known travels one position per layer: after n layers position t has heard of "
        "token t − n. Models with such windows (Longformer, 2020; Mistral 7B, 2023) rely on it to reach far with "
        "little work."
    )


def _places(got: Any, name: str) -> set[int]:
    got = got.tolist() if hasattr(got, "tolist") else got
    got = [got] if isinstance(got, int) and not isinstance(got, bool) else got
    if not isinstance(got, (list, tuple, set, range)):
        raise Wrong(f'"{name}" should be a list of positions, such as [2, 3]; it is {described(got)}.')
    for place in got:
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < 8:
            raise Wrong(f'"{name}" should hold positions from 0 to 7; in it stands {described(place)}.')
    return set(got)


MOVED = Exercise(
    id="03-3",
    title="Which guesses may move?",
    difficulty="easy",
    minutes=6,
    attempt="may_move",
    expects='a dict of five lists of positions, {"bigram": ..., "gpt": ..., "no mask": ..., ...}',
    hints=(
        "Ask for each position: which tokens is its guess made from? Is token 5 among them?",
        "The guess at position 5 says what token 6 will be. It is made from token 5, too.",
        "With two near layers: token 5 reaches position 6 in the first, and from there position 7 in the second.",
    ),
    judge=_judge_moved,
)
