"""What is true of TinyTales: the losses that no reader can beat, however large its model.

Two lines belong into every loss curve on this text. The **entropy rate** is what the grammar itself
needs per character: the loss of one who has read everything before. The **floor** of a block_size is
higher: the loss of the best reader who sees only a window of that many characters, which begins anywhere.
"""

import hashlib
import json
import math
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from course_lib.corpora.tinytales.grammar import Grammar
from course_lib.corpora.tinytales.reader import Reader
from course_lib.corpora.tinytales.story import TALES
from course_lib.errors import CourseError

TABLE = "floor.json"
LONGEST = 512
"""The table holds the floors of all block sizes up to this one."""


@dataclass(frozen=True)
class Floor:
    """The mean surprise of the best reader over places 1 to block_size of a window, in nats per character."""

    block_size: int
    nats: float
    error: float
    """The standard error of ``nats``: it is a mean over sampled windows."""


def floor_of(windows: Iterable[str], reader: Reader | None = None) -> Floor:
    """The floor on given windows of block_size + 1 characters each, at least two of them.

    For t = 1 ... block_size the best reader has seen the first t characters and guesses the next one. The
    floor is the mean over t and over the windows, as a model's loss is on batches.
    """
    reader = reader or the_reader()
    rows = [reader.window_surprises(window)[1:] for window in windows]
    means = [statistics.fmean(row) for row in rows]
    return Floor(len(rows[0]), statistics.fmean(means), statistics.stdev(means) / math.sqrt(len(means)))


def entropy_rate() -> float:
    """What the grammar needs, E[-ln p] / E[length], in nats per character."""
    return TALES.entropy_rate()


def floor(block_size: int) -> Floor:
    """The floor of TinyTales for a block_size, from the table that comes with the course.

    Raises:
        CourseError: for a block_size that the table does not hold.
    """
    rows = _table()["floors"]
    if not 1 <= block_size <= len(rows):
        raise CourseError(
            f"The floor is known for a block_size from 1 to {len(rows)}; this is {block_size}. `floor_of` measures it "
            f"on windows of your own."
        )
    return Floor(block_size, *rows[block_size - 1])


def surprise_at(place: int) -> float:
    """The best reader's mean surprise at the next character after ``place`` characters, from the table.

    Raises:
        CourseError: for a place that the table does not hold.
    """
    total = place * floor(place).nats
    return total - (place - 1) * floor(place - 1).nats if place > 1 else total


def surprise_error_at(place: int) -> float:
    """The standard error of `surprise_at`: the table's windows are a sample.

    Raises:
        CourseError: for a place that the table does not hold.
    """
    floor(place)  # says what the table holds
    return _table()["errors"][place - 1]


def lines(block_size: int) -> dict[str, float]:
    """The lines that belong into a loss curve, label to nats; the floor only where the table has it."""
    rate = entropy_rate()
    found = {f"entropy rate = {rate:.2f}": rate}
    if block_size <= LONGEST:
        nats = floor(block_size).nats
        found = {f"floor for block_size {block_size} = {nats:.2f}": nats} | found
    return found


# ---- the table -------------------------------------------------------------------------------------------


@cache
def the_reader() -> Reader:
    """The reader of TinyTales; made once, as it remembers how windows may begin."""
    return Reader(TALES)


@cache
def _table() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath(TABLE).read_text(encoding="utf-8"))


def fingerprint(grammar: Grammar = TALES) -> str:
    """A short name for a grammar: it changes when any word or probability does."""
    scenes = [(scene.probability, [line.text for line in scene.lines]) for scene in grammar.scenes]
    slots = {name: slot.forms for name, slot in grammar.slots.items()}
    return hashlib.sha256(json.dumps([slots, scenes]).encode()).hexdigest()[:12]


def draw_windows(n_windows: int, length: int, seed: int, grammar: Grammar = TALES) -> list[str]:
    """Windows of ``length`` characters that begin anywhere in endless texts, all places equally likely.

    Each is from a text of its own. The longer a story, the more windows begin in it. So the place is drawn
    among as many as the longest story has, and a story that ends before that place is thrown away.
    """
    generator, longest, windows = random.Random(seed), grammar.longest(), list[str]()
    while len(windows) < n_windows:
        text = grammar.story(generator)[generator.randrange(longest) :]
        if text:
            while len(text) < length:
                text += grammar.story(generator)
            windows.append(text[:length])
    return windows


def build_table(n_windows: int = 4000, seed: int = 0) -> dict[str, Any]:
    """The floors of every block_size up to LONGEST, each with its standard error, from one set of windows."""
    reader = the_reader()
    rows = [reader.window_surprises(window)[1:] for window in draw_windows(n_windows, LONGEST + 1, seed)]
    return {
        "grammar": fingerprint(),
        "unit": "nats per character",
        "windows": n_windows,
        "seed": seed,
        "columns": ["mean over places 1 to block_size", "standard error"],
        "floors": _cumulative(rows),
        "errors": [round(_standard_error(column), 6) for column in zip(*rows)],
    }


def _cumulative(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    sums, found = [0.0] * len(rows), []
    for t in range(1, len(rows[0]) + 1):
        sums = [s + row[t - 1] for s, row in zip(sums, rows)]
        means = [s / t for s in sums]
        found.append([round(statistics.fmean(means), 7), round(_standard_error(means), 7)])
    return found


def _standard_error(sample: Sequence[float]) -> float:
    return statistics.stdev(sample) / math.sqrt(len(sample))
