"""What an AGIFORMER gains where it is otherwise than the original: bits per byte at equal compute."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from course_lib.config.agiformer import ORIGINAL
from course_lib.losses import bits_per_byte
from course_lib.measurements.names import Measured
from course_lib.measurements.runs import surprises
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.reference import kept_rows
from course_lib.training import Trainer

Forms = Mapping[str, dict[str, Any]]
"""By name, the settings in which a form is otherwise than the default."""
TWO: Forms = {"original": ORIGINAL, "default": {}}


def one_by_one() -> Forms:
    """The original, and then its differences taken back one after another; the last form is the default."""
    forms, left = {"original": ORIGINAL}, dict(ORIGINAL)
    for name in ORIGINAL:
        del left[name]
        forms[name] = dict(left)
    return forms


def measure_original(recipe: Recipe, n_seeds: int) -> Measured:
    """The default beside the original, each from the seeds 1 on: see `measure_forms`."""
    return measure_forms(recipe, n_seeds, TWO)


def measure_differences(recipe: Recipe, n_seeds: int) -> Measured:
    """What each difference is worth, added one after another: see `measure_forms` and `one_by_one`."""
    return measure_forms(recipe, n_seeds, one_by_one())


def measure_forms(recipe: Recipe, n_seeds: int, forms: Forms) -> Measured:
    """Each form trained by the recipe from the seeds 1 on: on the same bytes, in the same order, for as many steps.

    A step of each costs the same: the differences are a rotation, a vector, and how weights are drawn. They are judged
    by the same bytes of the validation part, too: by all of them but the first patch of each window, which the
    original itself does not predict.

    Details: ``forms``; ``bits_per_byte``, by form, one entry for each seed, and ``mean_bits_per_byte``; ``judged``, how
    many bytes those are means of. ``val_loss`` (nats, of all bytes), ``rows`` and the seconds are the default's.
    """
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "forms": forms, "seeds": []}
    details |= {"bits_per_byte": {name: [] for name in forms}, "val_loss": [], "rows": []}
    seconds = []
    with progress_bar(total=n_seeds * len(forms) * recipe.train.max_steps, unit="step", smoothing=0.1) as bar:
        for seed in range(1, n_seeds + 1):
            details["seeds"].append(seed)
            for name, settings in forms.items():
                bar.set_description(f"seed {seed} of {n_seeds}: {name}")
                trainer = build_trainer(recipe.replace(seed=seed, **settings))
                windows, trainer.val_batches = trainer.val_batches.windows(), None  # it is scored once, here
                rows = []
                for record in trainer:
                    rows.append(dataclasses.asdict(record))
                    bar.update()
                nats, late, details["judged"] = scores(trainer, windows)
                details["bits_per_byte"][name].append(round(bits_per_byte(late, 1, 1.0), 4))
                if not settings:
                    seconds.append(rows[-1]["seconds"])
                    details["val_loss"].append(round(nats, 4))
                    details["rows"].append(kept_rows(rows))
    means = {name: round(statistics.fmean(found), 4) for name, found in details["bits_per_byte"].items()}
    return seconds, details | {"mean_bits_per_byte": means}


def scores(trainer: Trainer, windows: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float, int]:
    """Nats per byte of all bytes, and of those behind the first patch of their window; and how many these are."""
    patch = trainer.model.config.patch_size
    total, late = [0.0, 0], [0.0, 0]
    for each in surprises(trainer, windows):
        for sums, part in ((total, each), (late, each[:, patch - 1 :])):
            sums[0] += part.sum().item()
            sums[1] += part.numel()
    return total[0] / total[1], late[0] / late[1], int(late[1])
