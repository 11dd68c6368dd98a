"""A run as a curve: what the chart knows of it, and its steps as rows that the page can draw and write to a file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib import plots
from course_lib.config import TrainConfig
from course_lib.optim import scheduled_lr
from course_lib.training import StepRecord

MOST_ROWS = 2000
"""A longer curve is thinned: the screen has no more room."""
PLAN_POINTS = 120
"""A planned schedule is drawn through so many of its steps, and each bend."""

PLAIN = {"color": plots.TRAIN_COLOR, "dash": "", "marker": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"}
"""The look of a curve that is alone in its chart."""

Row = list[Any]
"""step, training loss, lr, gradient's norm, tokens, seconds, validation loss; what is not known is None."""
STEP, LOSS, LR, NORM, TOKENS, SECONDS, VAL = range(7)


@dataclass(frozen=True)
class Curve:
    """One run as the chart shows it."""

    records: Sequence[StepRecord]
    label: str = ""
    style: Mapping[str, str] | None = None
    """color, dash and marker; see `course_lib.widgets.style`."""
    notes: Sequence[tuple[int, str]] = ()
    """Words that belong to a step, such as a new learning rate."""
    config: TrainConfig | None = None
    """How it trains, as it is now: the schedule that lies ahead is drawn from it, and where gradients are clipped."""
    block_size: int | None = None
    samples: Sequence[int] = ()
    """After how many steps it wrote a sample: ticks on the curve."""
    guess: float | None = None
    """Where the learner thought that its validation loss would end, in nats."""
    kind: str = ""
    """What it learned, where runs of one chart may learn different things, whose losses do not compare."""


def row_of(record: StepRecord) -> Row:
    """Five digits are finer than any screen; what is not finite is not there."""
    return [
        record.step, _short(record.train_loss), _short(record.lr), _short(record.grad_norm), record.tokens,
        round(record.seconds, 2), _short(record.val_loss),
    ]  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def bucket_size(count: int) -> int:
    """Of how many rows in a row two are kept; 1 where all are. A power of two, so that it changes seldom."""
    size = 1
    while 2 * count / max(size, 2) > MOST_ROWS:
        size = max(4, 2 * size)
    return 1 if count <= MOST_ROWS else size


def thinned(rows: Sequence[Row], size: int) -> list[Row]:
    """Of each ``size`` rows the lowest and the highest loss, so that no leap is lost; validated rows and both ends."""
    if size == 1:
        return list(rows)
    kept: list[Row] = []
    for start in range(0, len(rows), size):
        bucket = rows[start : start + size]
        known = [row for row in bucket if row[LOSS] is not None] or bucket
        stay = {min(known, key=_loss)[STEP], max(known, key=_loss)[STEP]}
        kept += [row for row in bucket if row[STEP] in stay or row[VAL] is not None or row in (rows[0], rows[-1])]
    return kept


def _loss(row: Row) -> float:
    return math.inf if row[LOSS] is None else row[LOSS]


def plan_of(config: TrainConfig, start: int = 0) -> list[tuple[int, float]]:
    """The rates that the schedule has for the steps from ``start`` on, as few (step, lr) as draw it."""
    last = config.max_steps - 1
    if start > last:
        return []
    stride = max(1, (last - start) // PLAN_POINTS)
    end = config.decay_steps or config.max_steps
    fall = end - (config.cooldown_steps or end // 2)
    bends = {n for n in (config.warmup_steps, config.warmup_steps + 1, fall, end, last) if start <= n <= last}
    steps = sorted({*range(start, last + 1, stride), *bends})
    return [(step, float(f"{scheduled_lr(config, step):.4g}")) for step in steps]


class Trace:
    """A curve and its rows, each of which is made once however often the curve is shown."""

    def __init__(self, curve: Curve) -> None:
        self.curve, self.rows = curve, list[Row]()
        self.last_val: Row | None = None
        self.highest = 0.0
        self.take(curve)

    def take(self, curve: Curve) -> None:
        """The same run again, which may have come further."""
        self.curve = curve
        for record in curve.records[len(self.rows) :]:
            row = row_of(record)
            self.rows.append(row)
            self.highest = max(self.highest, row[LOSS] or 0.0, row[VAL] or 0.0)
            if row[VAL] is not None:
                self.last_val = row

    def head(self, ahead: bool = False) -> dict[str, Any]:
        """What the page has to know beside the rows; with the plan of what lies ``ahead``."""
        curve, last = self.curve, self.rows[-1] if self.rows else None
        config = curve.config
        return {
            **(curve.style or PLAIN),
            "label": curve.label,
            "val_color": (curve.style or {"color": plots.VAL_COLOR})["color"],
            "notes": [list(note) for note in curve.notes],
            "plan": plan_of(config, len(self.rows)) if config and ahead else [],
            "max_steps": config.max_steps if config else None,
            "grad_clip": config.grad_clip if config else None,
            "block_size": curve.block_size,
            "tokens_per_step": last[TOKENS] / (last[STEP] + 1) if last else None,
            "samples": list(curve.samples),
            "guess": curve.guess,
            "kind": curve.kind,
        }

    def whole(self) -> dict[str, Any]:
        """A curve that no longer grows."""
        return {**self.head(), "rows": thinned(self.rows, bucket_size(len(self.rows)))}

    def ends(self) -> list[dict[str, Any]]:
        """As few rows as tell in words how the curve begins and ends."""
        empty = {"train_loss": None, "val_loss": None}
        known = [row for row in (*self.rows[:1], *self.rows[-1:]) if row[LOSS] is not None]
        found = [empty | {"step": row[STEP], "train_loss": row[LOSS]} for row in known]
        val = [self.last_val] if self.last_val else []
        return [*found, *(empty | {"step": row[STEP], "val_loss": row[VAL]} for row in val)]
