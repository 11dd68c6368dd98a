"""Sweeps: one setting of a recipe at several values, in short runs, and which of the values is good.

Whoever trains (the lab's `Sweep`, ``course record lab_sweep``) takes the recipes from here, and hands back what each
run came to; this module holds no loop.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from course_lib.data import datasets
from course_lib.errors import CourseError, nearest
from course_lib.recipes import Recipe
from course_lib.reference import Reference, recorded

SHARE = 0.1
"""How long a run of a sweep is, as a share of the recipe's length."""
FEWEST_STEPS = 20
"""Below this a run says little about a rate: it is no shorter, unless the recipe is."""
FACTORS: dict[str, tuple[float, ...]] = {
    "max_lr": (0.1, 0.3, 1.0, 3.0, 10.0),
    "block_size": (0.25, 0.5, 1.0, 2.0, 4.0),
}
"""The settings that can be swept, and what the recipe's own value is multiplied by."""
CLOSE = 0.05
"""Of runs with one seed, losses within this share of the lowest count as equal to it. Other seeds move them as much: in
the recorded sweeps three seeds span 1% to 10% of their mean."""


def lasting(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with so many steps, in which it warms up and cools down for the same shares of them."""
    config, share = recipe.train, steps / recipe.train.max_steps
    schedule: dict[str, Any] = {"max_steps": steps, "warmup_steps": round(config.warmup_steps * share)}
    if config.cooldown_steps is not None:
        schedule["cooldown_steps"] = max(1, round(config.cooldown_steps * share))
    if config.decay_steps is not None:
        schedule["decay_steps"] = max(1, round(config.decay_steps * share))
    return recipe.replace(**schedule)


def shortened(recipe: Recipe, share: float = SHARE) -> Recipe:
    """The recipe for the runs of a sweep: ``share`` of the steps, and one evaluation, after the last of them."""
    steps = min(recipe.train.max_steps, max(FEWEST_STEPS, round(share * recipe.train.max_steps)))
    return lasting(recipe, steps).replace(eval_every=0)


def with_value(recipe: Recipe, setting: str, value: float) -> Recipe:
    """The recipe with another value; a lowest rate that the schedule falls to keeps its distance from the highest."""
    if setting != "max_lr":
        return recipe.replace(**{setting: value})
    return recipe.replace(max_lr=value, min_lr=recipe.train.min_lr * value / recipe.train.max_lr)


def values_of(recipe: Recipe, setting: str, longest: float = math.inf) -> list[float]:
    """The values that a sweep tries, in order: the recipe's own in the middle, others by `FACTORS`.

    Learning rates are rounded to one digit. A block_size above ``longest``, or one that the model cannot have, is left
    out.

    Raises:
        CourseError: for a setting that cannot be swept.
    """
    if setting not in FACTORS:
        raise CourseError(f"A sweep is over {' or '.join(FACTORS)}; {setting!r}: {nearest(setting, list(FACTORS))}")
    own = recipe.all_settings()[setting]
    found = set()
    for factor in FACTORS[setting]:
        value = own if factor == 1 else float(f"{own * factor:.1g}") if setting == "max_lr" else round(own * factor)
        if (setting != "block_size" or value <= longest) and _can_have(recipe, setting, value):
            found.add(value)
    return sorted(found)


def _can_have(recipe: Recipe, setting: str, value: float) -> bool:
    try:
        with_value(recipe, setting, value)
    except CourseError:  # such as a block_size that is no number of whole patches
        return False
    return True


def checked_values(recipe: Recipe, setting: str, values: Sequence[float] | None) -> list[float]:
    """``values`` in order, each one that the recipe can have; CourseError for others, and for an unknown setting."""
    found = values_of(recipe, setting) if values is None else sorted(set(values))
    if not found:
        raise CourseError("A sweep needs at least one value to try; values is empty.")
    for value in found:
        with_value(recipe, setting, value)
    return found


@dataclass(frozen=True)
class Point:
    """What the runs with one value came to; a list has an entry for each seed."""

    value: float
    losses: tuple[float | None, ...]
    """Validation loss after the last step, in nats per token; None where a loss ceased to be finite before it."""
    steps: tuple[int, ...]
    """How many steps were taken: all, or those before the loss ceased to be finite."""
    tokens_per_step: int
    floor: float | None = None
    """The loss that no reader of so many tokens can beat, where the text's grammar tells it."""

    @classmethod
    def of(cls, setting: str, value: float, recipe: Recipe, runs: Sequence[tuple[float | None, int]]) -> Self:
        """Of runs of ``recipe``, each as its last validation loss and its number of steps.

        Args:
            recipe: as `with_value` has made it.
        """
        train, block_size = recipe.train, recipe.model(256).block_size
        losses = tuple(None if loss is None or not math.isfinite(loss) else round(loss, 4) for loss, _ in runs)
        tokens = train.batch_size * train.grad_accum * block_size
        return cls(value, losses, tuple(steps for _, steps in runs), tokens, floor_of(recipe, block_size))

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Self:
        return cls(**kept | {"losses": tuple(kept["losses"]), "steps": tuple(kept["steps"])})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def above_floor(self) -> float | None:
        """How far its loss is above its floor; None where one of them is not known."""
        return None if self.loss is None or self.floor is None else self.loss - self.floor

    @property
    def finite(self) -> list[float]:
        return [loss for loss in self.losses if loss is not None]

    @property
    def loss(self) -> float | None:
        """The mean over the seeds; None where one of them ceased to be finite."""
        return statistics.fmean(self.finite) if len(self.finite) == len(self.losses) else None


def floor_of(recipe: Recipe, block_size: int) -> float | None:
    """The floor for windows of ``block_size`` letters; None where the text has no grammar, or tokens are no letters."""
    nats = datasets.floor_of(recipe.data.dataset, recipe.data.tokenizer, block_size)
    return None if nats is None else round(nats, 4)


@dataclass(frozen=True)
class Valley:
    """The points of a sweep, lowest value first, and what is to be learned from them.

    The good value is the one with the lowest loss. Values whose loss is not above ``limit`` are as good: the seeds
    cannot tell them apart. A value has diverged where a loss ceased to be finite, or ended above ln V: worse than
    knowing nothing.
    """

    setting: str
    points: tuple[Point, ...]
    knowing_nothing: float
    """ln V"""

    def diverged(self, point: Point) -> bool:
        return point.loss is None or point.loss > self.knowing_nothing

    @property
    def good(self) -> Point | None:
        """The point with the lowest loss; None where all have diverged, or there is none yet."""
        sound = [point for point in self.points if not self.diverged(point)]
        return min(sound, key=lambda point: point.loss, default=None)  # type: ignore[arg-type, return-value]

    @property
    def limit(self) -> float | None:
        """The highest loss that counts as equal to the lowest: that of the good value's worst seed, or for one seed,
        `CLOSE` above it."""
        good = self.good
        if good is None or good.loss is None:
            return None
        return max(good.finite) if len(good.finite) > 1 else good.loss * (1 + CLOSE)

    @property
    def as_good(self) -> list[Point]:
        """The other points that the seeds cannot tell from the good one."""
        good, limit = self.good, self.limit
        if limit is None:
            return []
        return [p for p in self.points if p is not good and not self.diverged(p) and p.loss <= limit]  # type: ignore[operator]

    @property
    def chosen(self) -> Point | None:
        """The point to go on with: of learning rates that are equally good the lowest one, as longer runs want less."""
        good = self.good
        if good is None or self.setting != "max_lr":
            return good
        return min([good, *self.as_good], key=lambda point: point.value)

    @property
    def open_end(self) -> str:
        """``low`` or ``high`` where the lowest loss is at that end of the range: the valley may go on; else empty.

        Block sizes have no valley to look for: at equal steps a longer block reads more, and knows more.
        """
        good = self.good
        if good is None or len(self.points) < 2 or self.setting != "max_lr":
            return ""
        return "low" if good is self.points[0] else "high" if good is self.points[-1] else ""


# ---- the recording -----------------------------------------------------------------------------------

RECORD = "lab_sweep"


def fitting_record(recipe: Recipe, short: Recipe) -> Reference | None:
    """The recording, where it is of ``recipe`` and of runs as long as ``short``; otherwise None."""
    try:
        record = recorded(RECORD)
    except CourseError:
        return None
    details = record.content["details"]
    same = (recipe.name, recipe.settings, short.train.max_steps)
    return record if (details["recipe"], details["settings"], details["max_steps"]) == same else None


def recorded_points(record: Reference, setting: str) -> list[Point]:
    """The points of a recorded sweep, lowest value first."""
    return [Point.from_dict(point) for point in record.content["details"]["sweeps"][setting]]
