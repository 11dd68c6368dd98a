"""Reads a save, and puts a trainer back into the state that it holds."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import nn

from course_lib import checkpoint
from course_lib.config import RunConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.paths import quoted
from course_lib.tokenizers import Tokenizer
from course_lib.training.optimizer import OwnOptimizer
from course_lib.training.record import Owed, StepRecord
from course_lib.training.state import STATE


@dataclass
class Save:
    """A save as it was read, without weights and the optimizer's state. `Trainer.resume` takes one for a run's folder,
    and does not read it again, where the run has been locked since."""

    run_dir: Path
    folder: Path
    about: RunConfig
    tokenizer: Tokenizer | None
    state: dict[str, Any]

    @classmethod
    def read(cls, run_dir: Path, which: str | int) -> Self:
        """The save ``which`` of a run; CourseError where it is not there or damaged."""
        about, tokenizer = checkpoint.read_config(run_dir)
        folder = checkpoint.find_save(run_dir, which)
        return cls(run_dir, folder, about, tokenizer, checkpoint.read_state(folder, needed=STATE))

    def weighed(self, model: nn.Module | None, optimizer: OwnOptimizer | None) -> nn.Module:
        """The model with the save's weights: ``model``, where one is given.

        Raises:
            CourseError: where the weights are damaged; where the model, or the optimizer, is one that only the run's
                program knows, and None here.
        """
        run_dir = self.run_dir
        if optimizer is None:
            refuse_without_optimizer(run_dir, self.state)
        call = "Trainer.resume({run}, batches, val_batches, model=your_model)"
        model = checkpoint.blank_model(run_dir, self.about, model, call)
        checkpoint.load_weights(model, self.folder)
        return model


def refuse_without_optimizer(run_dir: Path, state: dict[str, Any]) -> None:
    """CourseError for a run that was trained with an optimizer of its own."""
    if name := state.get("own_optimizer"):
        raise CourseError(
            f"{quoted(run_dir)} is trained with an optimizer of its own, {name}, which only its program knows. Go on "
            f"with it in Python: Trainer.resume({str(run_dir)!r}, batches, val_batches, optimizer=lambda model: "
            f"{name}(model.parameters()))"
        )


def split(optimizer: OwnOptimizer | str | None, changes: dict[str, Any]) -> tuple[OwnOptimizer | None, dict[str, Any]]:
    """One's own optimizer, and the settings that change: a name is the setting ``optimizer`` of `TrainConfig`."""
    return (None, changes | {"optimizer": optimizer}) if isinstance(optimizer, str) else (optimizer, changes)


def take_up(trainer: Any, save: Save, changes: dict[str, Any]) -> None:
    """Bring a new `Trainer` to where ``save`` was made; its settings and its weights have been read already."""
    state = save.state
    load = checkpoint.load_own_optimizer if trainer.has_own_optimizer else checkpoint.load_optimizer
    load(trainer.optimizer, trainer.model, save.folder)
    trainer.run_dir, trainer.before = save.run_dir, TrainConfig.from_dict(state["train"])
    trainer.min_lr = changes.get("min_lr", state["min_lr"])
    if trainer.compute.scaler and state["scaler"]:
        trainer.scaler.load_state_dict(state["scaler"])
    trainer.overflows.take_up(state.get("overflows", {"total": 0, "in_a_row": 0}))
    trainer.step, trainer.tokens, trainer.seconds = state["step"], state["tokens"], state["seconds"]
    trainer.best_val_loss = math.inf if state["best_val_loss"] is None else state["best_val_loss"]
    if state["dropout"] is not None:
        trainer.change(dropout=state["dropout"])
    if state["evaluation_owed"]:
        trainer.owed = Owed(_record(save.run_dir, state), evaluation=True, row=False, told=True)


def _record(run_dir: Path, state: dict[str, Any]) -> StepRecord:
    """The record of the step before the save, as the log tells it."""
    step = state["step"] - 1
    rows = [row for row in checkpoint.read_metrics(run_dir) if row["step"] == step]
    if rows:
        return StepRecord(**rows[-1])
    return StepRecord(step, None, None, state["train"]["max_lr"], state["tokens"], state["seconds"], None, None)
