"""The tuning guide of AGIFORMER's document, measured: learning rates, clips, and how often a patch thinks."""

import math
import statistics
from dataclasses import dataclass, field
from typing import Any

from course_lib.losses import bits_per_byte
from course_lib.measurements.names import Measured
from course_lib.measurements.runs import Rows, rows_of, step_seconds
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer, val_bytes_per_token
from course_lib.reference import kept_rows
from course_lib.training import Trainer

GUIDE: dict[str, tuple[float, ...]] = {
    "max_lr": (3e-5, 3e-4, 3e-3),
    "grad_clip": (0.1, 0.5, 2.0),
    "thinking_steps": (0, 1, 3, 5),
}
"""What the guide speaks of, and the values tried. It calls 3e-4 the sweet spot and promises spikes and NaN above 5e-4;
calls a clip below 0.1 too aggressive, above 2.0 too loose; recommends 1 to 3 thinking steps, and 0 turns them off."""


@dataclass
class Point:
    """The recipe with ``changes``, and what its runs came to."""

    changes: dict[str, float]
    found: dict[str, Any] = field(default_factory=dict)


def points(recipe: Recipe) -> dict[str, dict[float, Point]]:
    """For each setting of `GUIDE` its values, the recipe's own among them: one point, the same in every list."""
    settings, own = recipe.all_settings(), Point({})
    return {
        name: {value: own if value == settings[name] else Point({name: value})
               for value in sorted({*values, settings[name]})}
        for name, values in GUIDE.items()
    }  # fmt: skip


def measure_guide(recipe: Recipe, n_seeds: int) -> Measured:
    """Each value of `GUIDE` from the seeds 1 on, in the recipe, which is otherwise as it is.

    The recipe's own point is run once for each seed, and stands in every list. A loss that is not finite ends a run;
    its score stands as None, and the others go on.

    Details: ``guide``, for each setting a list with an entry for each of its values: ``value``, and what `_note` and
    `_mean` find out. ``val_loss`` (nats per byte), ``rows`` and the seconds of the record are the recipe's own.
    """
    lists = points(recipe)
    every = list({id(point): point for values in lists.values() for point in values.values()}.values())
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "seeds": []}
    details |= {"val_loss": [], "rows": []}
    seconds = []
    with progress_bar(total=n_seeds * len(every), unit="run") as bar:
        for seed in range(1, n_seeds + 1):
            details["seeds"].append(seed)
            for point in every:
                what = ", ".join(f"{name} {value:g}" for name, value in point.changes.items()) or "the recipe"
                bar.set_description(f"seed {seed} of {n_seeds}: {what}")
                trainer = build_trainer(recipe.replace(seed=seed, **point.changes))
                rows = rows_of(trainer)
                bar.update()
                _note(point.found, trainer, rows)
                if not point.changes:
                    seconds.append(trainer.seconds)
                    details["val_loss"].append(_rounded(_final_loss(trainer, rows)))
                    details["rows"].append(kept_rows(rows))
    details["guide"] = {
        name: [{"value": value} | point.found | _mean(point.found) for value, point in values.items()]
        for name, values in lists.items()
    }
    return seconds, details


def _note(found: dict[str, Any], trainer: Trainer, rows: Rows) -> None:
    """Add a run to what is known of its point.

    For each seed: ``bits_per_byte``, by the evaluation after the last step; ``steps``, all, or those before the loss
    ceased to be finite; ``clipped``, the share of them whose gradient was above the clip; ``largest_grad_norm``, before
    clipping, of the finite ones; ``step_seconds``, the median: the machine may have had other work, so these tell a
    magnitude and are not to be compared. Of the first seed ``rows``, its curve. ``flops_per_byte`` is of training.
    """
    nats, clip = _final_loss(trainer, rows), trainer.config.grad_clip
    bits = None if nats is None else bits_per_byte(nats, 1, val_bytes_per_token(trainer))
    norms = [row["grad_norm"] for row in rows if row["grad_norm"] is not None]
    clipped = statistics.fmean(not norm <= clip for norm in norms) if norms else None  # NaN is not below it, either
    largest = max(filter(math.isfinite, norms), default=None)
    found.setdefault("flops_per_byte", trainer.model.flops_per_token())
    measured = {"bits_per_byte": _rounded(bits), "steps": len(rows), "clipped": _rounded(clipped)}
    measured |= {"largest_grad_norm": _rounded(largest), "step_seconds": step_seconds(rows)}
    for name, value in measured.items():
        found.setdefault(name, []).append(value)
    found.setdefault("rows", kept_rows(rows))


def _mean(found: dict[str, Any]) -> dict[str, float | None]:
    """``mean_bits_per_byte``, of the runs that ended well; None where none did."""
    scores = [score for score in found["bits_per_byte"] if score is not None]
    return {"mean_bits_per_byte": round(statistics.fmean(scores), 4) if scores else None}


def _final_loss(trainer: Trainer, rows: Rows) -> float | None:
    """The validation loss after the last step; None where the run did not come so far."""
    return rows[-1]["val_loss"] if len(rows) == trainer.config.max_steps else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
