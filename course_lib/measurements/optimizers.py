"""AdamW against Muon, each at its best learning rate: chapter 04's record."""

import math
from typing import Any

import torch

from course_lib.measurements.names import Measured
from course_lib.measurements.runs import Rows, rows_of, step_seconds
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.reference import kept_rows
from course_lib.training import Trainer

LRS = {
    "adamw": (0.001, 0.002, 0.004, 0.008, 0.016, 0.032),
    "muon": (0.005, 0.01, 0.02, 0.04, 0.08, 0.16),
    "adamw_own_rates": (0.001, 0.002, 0.004, 0.008),
}
"""The learning rates that each optimizer is tried with, before the best one counts."""


def measure_optimizers(recipe: Recipe, n_seeds: int) -> Measured:
    """Optimizers in one recipe: each at every rate of `LRS` from seed 0, then at its best from the seeds 1 on.

    ``adamw`` has one rate for all weights. ``adamw_own_rates`` is AdamW everywhere, but only the hidden matrices take
    the rate that is tried: embeddings, head and vectors keep the rates that they have with Muon at its best.

    Details: ``sweep`` has the losses of seed 0 by rate; ``best_lr`` the rates chosen by them; and, one entry for each
    seed, ``val_loss``, ``rows`` and ``step_seconds`` (the median) of the recipe's own optimizer, and the same of each
    other one as ``<name>_val_loss`` and so on. A loss that is not finite ends a run; it stands as None. Losses are the
    same at every run on one machine; seconds are not.
    """
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings}
    details |= {"sweep": {}, "best_lr": {}, "seeds": list(range(1, n_seeds + 1))}
    best_lr: dict[str, float] = details["best_lr"]
    seconds = []
    with progress_bar(total=sum(map(len, LRS.values())) + len(LRS) * n_seeds, unit="run") as bar:
        for name, lrs in LRS.items():
            bar.set_description(f"{name}: sweep")
            runs = {lr: _run(recipe, name, lr, best_lr, 0, bar) for lr in lrs}
            losses = {lr: rows[-1]["val_loss"] if rows else math.inf for lr, rows in runs.items()}
            best_lr[name] = min(losses, key=lambda lr: losses[lr])
            details["sweep"][name] = {
                str(lr): round(loss, 4) if math.isfinite(loss) else None for lr, loss in losses.items()
            }
        for seed in details["seeds"]:  # in turn, so that a machine that slows down slows all of them
            for name, best in best_lr.items():
                bar.set_description(f"{name}: seed {seed} of {n_seeds}")
                rows = _run(recipe, name, best, best_lr, seed, bar)
                prefix = f"{name}_"
                if name == recipe.train.optimizer:
                    prefix = ""
                    seconds.append(rows[-1]["seconds"] if rows else 0.0)
                for what, value in _measured(rows).items():
                    details.setdefault(prefix + what, []).append(value)
    return seconds, details


def _run(recipe: Recipe, name: str, lr: float, best_lr: dict[str, float], seed: int, bar: Any) -> Rows:
    """The rows of a run; none where its loss stopped being finite."""
    if name != "adamw_own_rates":
        trainer = build_trainer(recipe.replace(optimizer=name, max_lr=lr, seed=seed))
    else:
        trainer = build_trainer(recipe.replace(optimizer="muon", max_lr=best_lr["muon"], seed=seed))
        trainer.optimizer = _adamw_for_matrices(trainer, lr)
    rows = rows_of(trainer)
    bar.update()
    return rows if len(rows) == trainer.config.max_steps else []


def _adamw_for_matrices(trainer: Trainer, lr: float) -> torch.optim.AdamW:
    """AdamW in place of a trainer's Muon, with ``lr`` for the hidden matrices; the other weights keep their rates."""
    config, groups = trainer.config, []
    for group in trainer.optimizer.param_groups:
        scale = group.get("lr_scale", lr / config.max_lr)  # Muon's own groups have none
        groups.append({"params": group["params"], "lr_scale": scale, "weight_decay": group["weight_decay"]})
    return torch.optim.AdamW(groups, lr=config.max_lr, betas=(config.beta1, config.beta2), fused=True)


def _measured(rows: Rows) -> dict[str, Any]:
    """The last validation loss (None of a run that diverged), the curve, and the median time of a step."""
    return {
        "val_loss": round(rows[-1]["val_loss"], 4) if rows else None,
        "step_seconds": step_seconds(rows),
        "rows": kept_rows(rows),
    }
