"""What each part of a GPT is worth: the ladder of chapter 03, measured rung by rung."""

import math
from typing import Any

import torch

from course_lib.measurements.names import Measured
from course_lib.models.partial import LADDER, WITHOUT_POSITIONS, PartialGPT, Rung
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.training import Trainer


def measure_ladder(recipe: Recipe, n_seeds: int) -> Measured:
    """What each part of a GPT is worth: the rungs of `LADDER`, each trained by the recipe from the seeds 1 on.

    Details: ``ladder`` has the rungs' names in order, ``weights`` how many weights each has; under each name, and under
    ``without positions`` (the last rung without them), stand its validation losses, one for each seed. ``val_loss``
    and the seconds are the last rung's, the recipe's own model.
    """
    rungs = (*LADDER, WITHOUT_POSITIONS)
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings}
    details |= {"ladder": [rung.name for rung in LADDER], "weights": [], "seeds": list(range(1, n_seeds + 1))}
    details |= {rung.name: [] for rung in rungs}
    seconds = []
    with progress_bar(total=len(rungs) * n_seeds, unit="run") as bar:
        for seed in details["seeds"]:
            for rung in rungs:
                bar.set_description(f"seed {seed} of {n_seeds}: {rung.name}")
                trainer = _on_rung(recipe.replace(seed=seed), rung)
                last = list(trainer)[-1]
                details[rung.name].append(round(last.val_loss or math.nan, 4))
                if rung is LADDER[-1]:
                    seconds.append(last.seconds)
                if seed == 1 and rung in LADDER:
                    details["weights"].append(sum(p.numel() for p in trainer.model.parameters()))
                bar.update()
    return seconds, details | {"val_loss": details[LADDER[-1].name]}


def _on_rung(recipe: Recipe, rung: Rung) -> Trainer:
    """The recipe's trainer with the model of a rung. What has no matrix within goes to AdamW, at Muon's rate for it."""
    whole = build_trainer(recipe)
    config = whole.config if rung.heads else whole.config.replace(optimizer="adamw")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        model = PartialGPT(whole.model.config, rung)
    return Trainer(model, whole.batches, config, val_batches=whole.val_batches)
