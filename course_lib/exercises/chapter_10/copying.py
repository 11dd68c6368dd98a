"""How many drawn sprites are new, and how many of these differ from one another (10-6)."""

from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.asking import ask
from course_lib.exercises.judge.calling import described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import need_number

KNOWN = ((30, 1, 2, 3, 4), (31, 1, 1, 1, 1), (30, 4, 4, 2, 2))
CASES = (
    ((30, 1, 2, 3, 4), (30, 1, 2, 3, 3), (30, 1, 2, 3, 3), (30, 1, 2, 3, 3), (31, 4, 2, 2, 4)),
    ((31, 1, 2, 3, 4), (30, 1, 1, 1, 1)),
    ((30, 2, 1, 4, 3), (30, 2, 1, 4, 3), (31, 2, 1, 4, 3)),
    ((30, 4, 4, 4, 2), (30, 1, 1, 3, 4), (31, 1, 2, 1, 1), (30, 4, 4, 2, 2)),
)
"""Rows of ids as `PixelTokenizer` makes them, of pictures with four pixels: the class's id comes first."""


def counted(drawn: Tensor, known: Tensor, first: int = 1) -> tuple[int, int]:
    seen = {tuple(row[first:]) for row in known.tolist()}
    new = [tuple(row[first:]) for row in drawn.tolist() if tuple(row[first:]) not in seen]
    return len(new), len(set(new))


def _judge_new(attempt: Any) -> str:
    count_new = need_function(attempt, "count_new(drawn, known)")
    known = torch.tensor(KNOWN)
    for rows in CASES:
        drawn = torch.tensor(rows)
        shown = f"count_new(drawn, known) for drawn = {[list(row) for row in rows]}, known = {[list(r) for r in KNOWN]}"
        got, right = _need_pair(ask(count_new, drawn, known, shown=shown), shown), counted(drawn, known)
        if got != right:
            slips = _known_slips(drawn, known)
            words = next((words for wrong, words in slips if got == wrong and wrong != right), "")
            raise Wrong(f"{shown} should return {right}; it returned {got}. {words}".rstrip())
    return (
        "Two questions that a low loss does not answer: does the model copy, and does it draw the same thing again and "
        "again? The class's id is no pixel: the same picture under another name is no new picture. And new is not "
        "good: noise is new as well. So the chapter asks the classifier too."
    )


def _need_pair(value: Any, shown: str) -> tuple[int, int]:
    what = f"What {shown} returned"
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        hint = " Does the function end with return?" if value is None else ""
        raise Wrong(f"{what} should be a pair, (new, different new ones); it is {described(value)}.{hint}")
    first, second = (need_number(v.item() if isinstance(v, Tensor) and v.numel() == 1 else v, what) for v in value)
    if first != int(first) or second != int(second):
        raise Wrong(f"{what} should be two whole numbers, counts and no shares; it is {(first, second)}.")
    return int(first), int(second)


def _known_slips(drawn: Tensor, known: Tensor) -> list[tuple[tuple[int, int], str]]:
    new, different = counted(drawn, known)
    n, all_different = len(drawn), len({tuple(row[1:]) for row in drawn.tolist()})
    off = (drawn[:, None, 1:] != known[None, :, 1:]).sum(dim=2)
    any_off = int((off > 0).any(dim=1).sum())
    no_pixel = int((off == off.new_tensor(drawn.shape[1] - 1)).all(dim=1).sum())
    sets = {frozenset(row[1:]) for row in known.tolist()}
    bags = sum(frozenset(row[1:]) not in sets for row in drawn.tolist())
    return [
        (counted(drawn, known, 0), "The class's id is compared as well. It is no pixel: leave the first column out."),
        ((new, counted(drawn, known, 0)[1]), "The class's id is compared as well. It is no pixel: leave the first "
         "column out."),
        ((different, new), "The two are the wrong way round: first all that are new, then the different ones of them."),
        ((n - new, different), "The first number counts the copies. Those that are new are wanted."),
        ((new, new), "The second number counts a picture that was drawn twice twice: set(...) keeps one of each."),
        ((different, different), "The first number counts a new picture once, however often it was drawn: count "
         "drawings there."),
        ((new, all_different), "The second number is about the new ones alone: those that are copies are left out."),
        ((any_off, different), "A picture is new if it is like none of the known ones; yours differs from at least "
         "one of them, which nearly every picture does."),
        ((any_off, all_different), "A picture is new if it is like none of the known ones; yours differs from at "
         "least one of them, which nearly every picture does."),
        ((no_pixel, different), "One pixel that differs makes a picture new; all of them need not."),
        ((bags, different), "The order of the pixels counts: a row is a picture, and no set of colors."),
    ]  # fmt: skip


NEW = Exercise(
    id="10-6",
    title="How many are new?",
    difficulty="medium",
    minutes=10,
    attempt="count_new",
    expects="your function count_new(drawn, known) itself, without calling it",
    hints=(
        "Leave the first column out: `drawn[:, 1:]`. `.tolist()` makes lists of a tensor, and `tuple(row)` can be put "
        "into a set.",
        "Put the known pictures into a set, and ask of each drawn one whether it is in it.",
        "Keep the new ones in a list `new`: the answer is `len(new), len(set(new))`.",
    ),
    judge=_judge_new,
)
