"""Runs, and what is counted of them: rows, seconds, floating-point operations, the surprise at each target."""

import dataclasses
import statistics
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.models.mode import evaluating
from course_lib.training import Trainer
from course_lib.training.scoring import Diverged

Rows = list[dict[str, Any]]
"""The records of a run's steps, as dictionaries."""


def rows_of(trainer: Trainer) -> Rows:
    """Train to the end. Where a loss stops being finite there are fewer rows than steps: those before that step."""
    rows = []
    try:
        for record in trainer:
            rows.append(dataclasses.asdict(record))
    except Diverged:
        pass
    return rows


def step_seconds(rows: Rows) -> float | None:
    """The median time of a step that was not followed by an evaluation; None where there are no two rows."""
    times = [row["seconds"] - before["seconds"] for before, row in pairwise(rows) if row["val_loss"] is None]
    return round(statistics.median(times), 4) if times else None


def run_flops(trainer: Trainer) -> float:
    """What a run costs from its first step to its last: its model's `flops_per_token` times its tokens."""
    return trainer.model.flops_per_token() * trainer.config.max_steps * trainer.batches.tokens_per_step


def steps_for(trainer: Trainer, flops: float) -> int:
    """How many of the trainer's steps ``flops`` pay for: the nearest whole number, at least 1."""
    return max(1, round(flops / (trainer.model.flops_per_token() * trainer.batches.tokens_per_step)))


def surprises(trainer: Trainer, windows: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    """-log p of each target of each batch of ``windows`` in nats, (B, T) float64, the model in evaluation mode."""
    with evaluating(trainer.model), torch.no_grad(), trainer.compute.autocast():
        for x, y in windows:
            # (B, T, V) -> (B, V, T): cross_entropy wants the classes second
            yield F.cross_entropy(trainer.model(x).float().mT, y, reduction="none").double()
