"""One recipe trained from several seeds: what a learner's own run is compared with."""

import dataclasses
from typing import Any

from course_lib.data.datasets import find_corpus
from course_lib.measurements.names import Measured
from course_lib.measurements.writing import sentence_share
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.reference import kept_rows
from course_lib.training import Trainer


def measure_seeds(recipe: Recipe, n_seeds: int) -> Measured:
    """Train the recipe from seeds 1 to ``n_seeds``: a learner compares a run with these."""
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "seeds": []}
    seconds = []
    max_steps = recipe.train.max_steps
    with progress_bar(total=n_seeds * max_steps, unit="step", smoothing=0.1) as bar:
        for seed in range(1, n_seeds + 1):
            bar.set_description(f"{recipe.name}, seed {seed} of {n_seeds}")
            trainer = build_trainer(recipe.replace(seed=seed))
            rows = []
            for record in trainer:
                rows.append(dataclasses.asdict(record))
                bar.update()
            details["seeds"].append(seed)
            seconds.append(rows[-1]["seconds"])
            for name, value in _outcome(trainer, rows, recipe.data.dataset, seed).items():
                details.setdefault(name, []).append(value)
    return seconds, details


def _outcome(trainer: Trainer, rows: list[dict[str, Any]], dataset: str, seed: int) -> dict[str, Any]:
    """What one run came to; the share of sentences where the text has a grammar that can judge them."""
    outcome = {"val_loss": round(rows[-1]["val_loss"], 4)}
    if find_corpus(dataset).grade is not None:
        outcome["sentence_share"] = round(sentence_share(trainer, dataset, seed), 4)
    return outcome | {"rows": kept_rows(rows)}
