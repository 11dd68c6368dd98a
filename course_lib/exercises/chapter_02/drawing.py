"""Drawing: starts that can be drawn again (02-3), and a step that several processes share (02-4)."""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course_lib.exercises.chapter_02.rows import need_ids
from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong

BATCH, PLACES = 8, 1000
FAR = sorted({*(10**k for k in range(1, 8)), *(2**k for k in range(3, 25))})
"""Steps (and seeds) that 1000 * seed + step, 2**16 * seed + step and their like take for the next seed's beginning."""


def _draw(starts_of: Callable[..., Any], seed: int, step: int, batch: int = BATCH, places: int = PLACES) -> list[int]:
    shown = f"starts_of(seed={seed}, step={step}, batch_size={batch}, places={places})"
    row = need_ids(call(starts_of, seed, step, batch, places, shown=shown), f"What {shown} returned")
    if len(row) != batch:
        raise Wrong(f"{shown} should return {batch} starts, one for each window; it returned {len(row)}.")
    for start in row:
        if not 0 <= start < places:
            words = "places itself is one too far: they are counted from 0." if start == places else ""
            raise Wrong(f"{shown} should return starts from 0 to {places - 1}; one is {start}. {words}".rstrip())
    return row


def _generators() -> tuple[Any, ...]:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def _judge_starts(attempt: Any) -> str:
    starts_of = need_function(attempt, "starts_of(seed, step, batch_size, places)")
    before = _generators()
    first = _draw(starts_of, 3, 5)
    touched = _generators() != before
    _draw(starts_of, 8, 2)
    if _draw(starts_of, 3, 5) != first:
        raise Wrong(
            "Asked twice for seed 3 and step 5, it drew different starts: they depend on what was drawn before. Make a "
            "generator of your own in the function, anew in each call, from seed and step."
        )
    if touched:
        raise Wrong(
            "The starts can be repeated, but the global generator has moved on: whoever draws from it next, such as "
            "dropout, gets other numbers. Make a generator of your own, such as np.random.default_rng(...)."
        )
    steps = [tuple(_draw(starts_of, 3, step)) for step in range(40)]
    if len(set(steps)) == 1:
        raise Wrong("Every step of seed 3 draws the same starts: the model would read one batch for ever. Use step.")
    if len({tuple(_draw(starts_of, seed, 5)) for seed in range(20)}) == 1:
        raise Wrong("Every seed draws the same starts at step 5. Use seed as well.")
    _are_drawn_one_by_one(steps)
    _pairs_are_apart(starts_of)
    _covers(starts_of, steps)
    return (
        "Starts that follow from (seed, step) need no saving: with the same text and sizes, a run that died at step "
        "40,000 goes on with the very windows that come next, and a strange batch can be drawn again and looked at."
    )


def _are_drawn_one_by_one(steps: list[tuple[int, ...]]) -> None:
    if all(len(set(row)) == 1 for row in steps):
        raise Wrong("All windows of a step start at the same position: draw batch_size numbers, not one.")
    if all((b - a - steps[0][1] + steps[0][0]) % PLACES == 0 for row in steps for a, b in itertools.pairwise(row)):
        raise Wrong("The windows of a step stand at equal distances: draw each start by itself.")


def _pairs_are_apart(starts_of: Callable[..., Any]) -> None:
    """Small pairs, and those that one number made of two confuses, such as 1000 * seed + step."""
    seen: dict[tuple[int, ...], tuple[int, int]] = {}
    small = [(seed, step) for seed in range(8) for step in range(8)]
    for pair in [*small, *((0, far) for far in FAR), *((far, 0) for far in FAR)]:
        row = tuple(_draw(starts_of, *pair))
        if row in seen:
            (seed, step), (other_seed, other_step) = seen[row], pair
            raise Wrong(
                f"Seed {seed}, step {step} and seed {other_seed}, step {other_step} draw the same starts. Where one "
                "number is made of seed and step, different pairs can give the same: hand both over, [seed, step]."
            )
        seen[row] = pair


def _covers(starts_of: Callable[..., Any], steps: list[tuple[int, ...]]) -> None:
    """Whether every place can come, the last one too, and no part of the text more often than another."""
    drawn = Counter(start for step in range(60) for start in _draw(starts_of, 3, step, BATCH, 4))
    missing = [place for place in range(4) if not drawn[place]]
    if missing:
        words = "The last one is legal, too." if missing == [3] else ""
        raise Wrong(f"With places=4 the start {missing[0]} never came in 60 steps of {BATCH}. {words}".rstrip())
    mean = sum(sum(row) for row in steps) / (BATCH * len(steps))
    if not 0.4 * PLACES < mean < 0.6 * PLACES:
        raise Wrong(
            f"Over 40 steps the mean start is {mean:.0f} of {PLACES} places; it should be near the middle. Some parts "
            "of the text come too often."
        )


STARTS = Exercise(
    id="02-3",
    title="Randomness that can be repeated",
    difficulty="medium",
    minutes=10,
    attempt="starts_of",
    expects="your function starts_of(seed, step, batch_size, places) itself, without calling it",
    hints=(
        "A generator that is made anew in each call remembers nothing. What should it be made from?",
        "`np.random.default_rng([seed, step])` takes both numbers. `seed + step` would give seed 0, step 1 and seed 1, "
        "step 0 the same windows.",
        "`rng.integers(places, size=batch_size)` draws from 0 to `places - 1`; `.tolist()` makes a list of it.",
    ),
    judge=_judge_starts,
)

SIZE = 3
SPLITS = ((4, 1), (4, 2), (4, 4), (6, 3))


def _judge_share(attempt: Any) -> str:
    share_of = need_function(attempt, "share_of(starts, batch_size, rank, world_size, micro)")
    for grad_accum, world_size in SPLITS:
        starts = [100 + 7 * i for i in range(SIZE * grad_accum)]
        read: dict[int, tuple[int, int]] = {}
        for rank in range(world_size):
            for micro in range(grad_accum // world_size):
                _take(share_of, starts, rank, world_size, micro, read)
        left = [start for start in starts if start not in read]
        if left:
            where = f"With {len(starts)} windows and world_size={world_size}"
            raise Wrong(f"{where} nobody reads {len(left)} of them; the first is {left[0]}.")
    return (
        "Every window is read exactly once, however many share the work. So a run on four processes sees the batches "
        "of a run on one, and their losses can be compared."
    )


def _take(
    share_of: Callable[..., Any], starts: list[int], rank: int, world_size: int, micro: int, read: dict[int, Any]
) -> None:
    shown = f"share_of(starts, batch_size={SIZE}, rank={rank}, world_size={world_size}, micro={micro})"
    shown_with = f"With {len(starts)} starts, {shown}"
    given = list(starts)
    row = need_ids(call(share_of, given, SIZE, rank, world_size, micro, shown=shown), f"What {shown} returned")
    if given != starts:
        raise Wrong(f"{shown} changed the list of starts that it was given.")
    if len(row) != SIZE:
        words = _about_length(len(row), len(starts), world_size)
        raise Wrong(f"{shown_with} should return batch_size = {SIZE} starts; it returned {len(row)}. {words}".rstrip())
    for start in row:
        if start not in starts:
            raise Wrong(f"{shown_with} returned {start}, and that is none of the starts. Slice the list itself.")
        if start in read:
            who, when = read[start]
            again = f"by rank {who} in micro-step {when} already"
            if (who, when) == (rank, micro):
                again = "twice in one call"
            words = ""
            if who == rank and when != micro:
                words = "Does micro move the slice?"
            elif who != rank:
                words = "How many windows do the ranks before this one take, over all their micro-steps?"
            raise Wrong(f"{shown_with} returned {start}, which was read {again}. {words}".rstrip())
        read[start] = (rank, micro)


def _about_length(got: int, of_all: int, world_size: int) -> str:
    """Why a slice of so many starts came, as far as its length tells."""
    each = of_all // SIZE // world_size
    if got == 0:
        return (
            f"The slice begins behind the end of the list. Of its {of_all // SIZE} micro-batches each process has "
            f"grad_accum // world_size = {each}: so many come before rank 1."
        )
    if got == of_all:
        return "That is the whole step, for all processes and all micro-steps."
    if got == each * SIZE:
        return "Those are all the windows of this rank at once; one micro-step takes batch_size of them."
    return "A slice of batch_size starts ends at first + batch_size." if got > SIZE else ""


SHARE = Exercise(
    id="02-4",
    title="Shared by several",
    difficulty="medium",
    minutes=8,
    attempt="share_of",
    expects="your function share_of(starts, batch_size, rank, world_size, micro) itself, without calling it",
    hints=(
        "How many micro-batches are there in all, and how many does each process take?",
        "`len(starts) // batch_size` micro-batches; each process takes that number over `world_size`.",
        "Process `rank` begins behind the micro-batches of the ranks before it: `rank * micro_steps + micro` "
        "micro-batches come first. Multiply by `batch_size`.",
    ),
    judge=_judge_share,
)
