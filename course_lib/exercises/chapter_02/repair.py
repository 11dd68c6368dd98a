"""A loader with three faults (02-6): which are left is read off the batches, not off the program's text."""

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.chapter_02.rows import LABELS
from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.values import plain

N, CUT, B, T = 300, 270, 6, 5
STEPS = 40
IDS = 7 * np.arange(N) % 1009
"""The text: no id comes twice, and none is its neighbor's plus 1, so x + 1 is not the shift. The judge thinks in
positions of the text."""
PLACE = {int(id_): place for place, id_ in enumerate(IDS)}
Batch = tuple[np.ndarray, np.ndarray]

SHIFT = "Something is wrong with y. Print one row of x, and its row of y under it."
SAME = "Something is wrong over time. Draw step 0 and step 1, and compare."
LEAK = "Something is wrong with what validation reads. Draw many of its batches: where in the text do they lie?"


def _judge_repair(attempt: Any) -> str:
    load_batch = need_function(attempt, "load_batch(tokens, part, batch_size, block_size, step)")
    train = [_batch(load_batch, "train", step) for step in range(STEPS)]
    val = [_batch(load_batch, "val", step) for step in range(STEPS)]
    left = _faults(train, val)
    if len(left) == 3:
        raise Unattempted("All three faults are still in the loader.")
    if left:
        fixed = 3 - len(left)
        raise Wrong(f"{fixed} of 3 faults {'is' if fixed == 1 else 'are'} fixed. What is left: {left[0]}")
    _is_sound(load_batch, train, val)
    return (
        "None of the three raised an error. Not shifted: a loss too good too soon. One batch for ever: the training "
        "loss falls, the validation loss rises. A leak: both are good, and only new text tells."
    )


def _batch(load_batch: Callable[..., Any], part: str, step: int) -> Batch:
    """One batch, each id as its position in the text."""
    shown = f'load_batch(tokens, "{part}", batch_size={B}, block_size={T}, step={step})'
    returned = call(load_batch, IDS.copy(), part, B, T, step, shown=shown)
    if not isinstance(returned, (list, tuple)) or len(returned) != 2:
        hint = " Does the function end with return?" if returned is None else ""
        raise Wrong(f"{shown} should return x and y; it returned {described(returned)}.{hint}")
    tables = []
    for name, rows in zip("xy", returned):
        try:
            table = np.asarray(plain(rows))
        except ValueError:  # rows of different lengths
            raise Wrong(f"{shown}: the rows of {name} should be of one length; they are not.") from None
        if table.shape != (B, T) or table.dtype.kind not in "iu":
            raise Wrong(
                f"{shown}: {name} should be a table of ids of shape {(B, T)}; it is {described(rows)}."
                + (" A row of T + 1 tokens gives T to x and T to y." if table.ndim == 2 else "")
            )
        tables.append(table)
    x, y = tables
    if (y == x + 1).all():
        raise Wrong(f"{shown}: y is x + 1, number by number. {LABELS}")
    return _places(x, "x", shown), _places(y, "y", shown)


def _places(table: np.ndarray, name: str, shown: str) -> np.ndarray:
    """Where in the text the ids of a table stand, row by row side by side."""
    places = np.array([[PLACE.get(id_, -1) for id_ in row] for row in table.tolist()])
    if places.min() < 0 or (np.diff(places, axis=1) != 1).any():
        raise Wrong(f"{shown}: a row of {name} should be {T} neighbors of the text, in order; one is not.")
    return places


def _faults(train: list[Batch], val: list[Batch]) -> list[str]:
    found = {
        SHIFT: any((y == x).all() for x, y in [*train, *val]),
        SAME: all((x == train[0][0]).all() for x, _ in train) or all((x == val[0][0]).all() for x, _ in val),
        LEAK: any(x.min() < CUT for x, _ in val),
    }
    return [words for words, is_there in found.items() if is_there]


def _is_sound(load_batch: Callable[..., Any], train: list[Batch], val: list[Batch]) -> None:
    """The three faults are gone; no new one should have come."""
    for x, y in [*train, *val]:
        if (y != x + 1).any():
            here, below = IDS[x[0, 0]], IDS[y[0, 0]]
            raise Wrong(
                f"The three faults are gone, but y is not right: under token {here} of x stands {below}. Under "
                "each token should stand the one that follows it in the text."
            )
    if any(y.max() >= CUT for _, y in train):
        raise Wrong("The three faults are gone, but now training reads text that is kept for validation.")
    if any((_batch(load_batch, "train", step)[0] != train[step][0]).any() for step in (0, 3)):
        raise Wrong(
            "The three faults are gone, but a step drawn twice gives different windows. Make the generator from step, "
            "so that each step can be replayed."
        )
    _is_drawn_at_random(train)
    if len({x.tobytes() for x, _ in train}) < STEPS:
        raise Wrong(f"The three faults are gone, but of {STEPS} steps some draw the same windows.")
    if max(x.max() for x, _ in val) != N - 2 or min(x.min() for x, _ in val) != CUT:
        low, high = min(int(x.min()) for x, _ in val), max(int(y.max()) for _, y in val)
        raise Wrong(
            f"The three faults are gone, but in {STEPS} steps the batches for validation reach only from position "
            f"{low} to {high}; validation goes from {CUT} to {N - 1}. How many legal starts has it?"
        )


def _is_drawn_at_random(train: list[Batch]) -> None:
    """Windows that are one and the same, or that follow one another by a rule, are not drawn."""
    starts = np.array([x[:, 0] for x, _ in train])  # (STEPS, B)
    apart = np.diff(starts, axis=1) % (CUT - T)
    if not apart.any():
        raise Wrong(
            f"The three faults are gone, but all {B} windows of a step are one and the same. Draw batch_size starts, "
            "not one."
        )
    if (apart == apart[0, 0]).all():
        raise Wrong(
            "The three faults are gone, but the windows are no longer drawn at random: in every step they stand "
            f"{apart[0, 0]} apart. Leave the drawing to the generator, and change only what it is made from."
        )


REPAIR = Exercise(
    id="02-6",
    title="A loader with three faults",
    difficulty="medium",
    minutes=10,
    attempt="load_batch",
    expects="your function load_batch(tokens, part, batch_size, block_size, step) itself, without calling it",
    hints=(
        "Decode one row of x and of y, and look. What is y?",
        "Draw two different steps. What in the function depends on `step`?",
        "As it is, nothing does: `default_rng(step)` draws other windows for each step.",
        'Which tokens can a batch for `"val"` hold? They should all come from behind the cut: `tokens[cut:]`.',
    ),
    judge=_judge_repair,
)
