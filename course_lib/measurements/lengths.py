"""Texts that are longer than the windows of training: what an AGIFORMER makes of them, by where it has its places."""

import dataclasses
import math
from typing import Any

import torch

from course_lib.data import Batcher
from course_lib.measurements.names import Measured
from course_lib.measurements.runs import surprises
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.reference import kept_rows
from course_lib.training import Trainer

PLACES = ("rope", "patch")
"""The default, which rotates queries and keys, and the original, which rotates the vector of the patch."""
ENDS = (1, 4, 16)
"""Where the stretches of a long text end, in windows of training."""


def measure_lengths(recipe: Recipe, n_seeds: int) -> Measured:
    """The recipe with either kind of places (`PLACES`) from the seeds 1 on, read on texts of 16 windows' length.

    Details: ``stretches``, in bytes, from and up to; ``judged``, how many long texts: as many as the validation part
    has whole ones; ``bits_per_byte``, for each kind of places an entry for each seed, with a number for each stretch.
    ``val_loss`` (nats, in windows as in training), ``rows`` and the seconds of the record are the default's.
    """
    T = recipe.all_settings()["block_size"]
    stretches = list(zip((0, *(end * T for end in ENDS)), (end * T for end in ENDS)))
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "stretches": stretches, "seeds": []}
    details |= {"bits_per_byte": {places: [] for places in PLACES}, "val_loss": [], "rows": []}
    seconds = []
    with progress_bar(total=n_seeds * len(PLACES) * recipe.train.max_steps, unit="step", smoothing=0.1) as bar:
        for seed in range(1, n_seeds + 1):
            details["seeds"].append(seed)
            for places in PLACES:
                bar.set_description(f"seed {seed} of {n_seeds}: {places}")
                trainer = build_trainer(recipe.replace(seed=seed, position=places))
                rows = []
                for record in trainer:
                    rows.append(dataclasses.asdict(record))
                    bar.update()
                bits, details["judged"] = bits_by_stretch(trainer, stretches)
                details["bits_per_byte"][places].append([round(each, 4) for each in bits])
                if places == PLACES[0]:
                    seconds.append(rows[-1]["seconds"])
                    details["val_loss"].append(round(rows[-1]["val_loss"], 4))
                    details["rows"].append(kept_rows(rows))
    return seconds, details


def bits_by_stretch(trainer: Trainer, stretches: list[tuple[int, int]]) -> tuple[list[float], int]:
    """Bits per byte in each stretch of the validation part's long texts; and how many these are."""
    length = stretches[-1][1]
    windows = Batcher(trainer.val_batches.tokens, 1, length).windows()
    nats = torch.cat([each for each in surprises(trainer, windows) if each.shape[1] == length])  # (texts, length)
    return [nats[:, start:end].mean().item() / math.log(2) for start, end in stretches], len(nats)
