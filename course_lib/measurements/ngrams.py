"""What choices behind `shakespeare_char_cpu` are worth: the recipe, and rows that differ from it in one."""

import statistics
from typing import Any

from course_lib.measurements.names import Measured
from course_lib.measurements.runs import rows_of, step_seconds
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer

CHOICES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no n-grams": {"ngrams": ()},
    "2-grams": {"ngrams": (2,)},
    "2 and 3": {"ngrams": (2, 3)},
    "2 to 4": {"ngrams": (2, 3, 4)},
    "2 to 6": {"ngrams": (2, 3, 4, 5, 6)},
    "at most 8,192 rows": {"ngram_rows": 8192},
    "at most 131,072 rows": {"ngram_rows": 131_072},
    "tables at a third of their rate": {"ngram_lr_scale": 0.1},
    "tables at three times their rate": {"ngram_lr_scale": 1.0},
    "1 layer": {"n_layer": 1},
    "4 layers": {"n_layer": 4},
    "half the batch, twice the steps": {"batch_size": 0.5, "max_steps": 2, "cooldown_steps": 2},
    "twice the batch, half the steps": {"batch_size": 2, "max_steps": 0.5, "cooldown_steps": 0.5},
    "a plateau until half of the run": {"cooldown_steps": 0.5},
    "AdamW at 0.006": {"optimizer": "adamw", "max_lr": 0.3, "ngram_lr_scale": 1.0},
    "AdamW at 0.002": {"optimizer": "adamw", "max_lr": 0.1, "ngram_lr_scale": 3.0},
    "AdamW at 0.0006": {"optimizer": "adamw", "max_lr": 0.03, "ngram_lr_scale": 10.0},
    "momentum 0.95": {"momentum": 0.95},
}
"""Each row's name, and in what it differs: a value; or, of batch, steps and rate, what its number is multiplied by.

With AdamW the tables keep their own rate.
"""
MULTIPLIED = ("batch_size", "max_steps", "cooldown_steps", "max_lr")


def measure_ngrams(recipe: Recipe, n_seeds: int) -> Measured:
    """Each row of `CHOICES` from the seeds 1 on.

    Details: ``choices``, an entry for each row: its ``name`` and ``changes``; for each seed ``val_loss``, nats per
    character over the whole validation split after the last step, and ``step_seconds``, the median; the weights, all
    of them and those that one token meets; ``mean_val_loss``. The seconds of the record are the recipe's own.
    """
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "seeds": [*range(1, n_seeds + 1)]}
    entries: list[dict[str, Any]] = []
    seconds = []
    with progress_bar(total=n_seeds * len(CHOICES), unit="run") as bar:
        for name, differences in CHOICES.items():
            bar.set_description(name)
            changes = _settings(recipe, differences)
            entry: dict[str, Any] = {"name": name, "changes": changes, "val_loss": [], "step_seconds": []}
            for seed in details["seeds"]:
                trainer = build_trainer(recipe.replace(seed=seed, **changes))
                rows = rows_of(trainer)
                bar.update()
                entry["val_loss"].append(round(rows[-1]["val_loss"], 4))
                entry["step_seconds"].append(step_seconds(rows))
                if not changes:
                    seconds.append(trainer.seconds)
            entry["weights"] = trainer.model.num_parameters()
            entry["active_weights"] = trainer.model.num_active_parameters()
            entries.append(entry | {"mean_val_loss": round(statistics.fmean(entry["val_loss"]), 4)})
    return seconds, details | {"choices": entries, "val_loss": entries[0]["val_loss"]}


def _settings(recipe: Recipe, differences: dict[str, Any]) -> dict[str, Any]:
    """The settings that differ, with their values."""
    own = recipe.all_settings()
    return {
        name: type(own[name])(round(own[name] * value, 12)) if name in MULTIPLIED else value
        for name, value in differences.items()
    }
