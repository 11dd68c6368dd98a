"""What a trainer is at one moment: what `state.json` keeps of it, and settings that move between two steps."""

import math
from typing import Any

from torch import nn

from course_lib import checkpoint
from course_lib.errors import CourseError

STATE = ("tokens", "seconds", "best_val_loss", "train", "min_lr", "dropout", "scaler", "evaluation_owed")
"""What a run needs, besides the step, to go on from a save. `state_of` adds what older saves do not have."""


def dropouts(model: nn.Module) -> list[nn.Dropout]:
    return [module for module in model.modules() if isinstance(module, nn.Dropout)]


def dropout_of(model: nn.Module) -> float | None:
    """The rate in force; None for a model without dropout."""
    return next((module.p for module in dropouts(model)), None)


def move(trainer: Any, max_lr: float | None, dropout: float | None) -> None:
    """Change a setting of a `Trainer` between two steps; None leaves it as it is.

    Raises:
        CourseError: for a rate that is none, or a dropout that a compiled step can no longer change.
    """
    if max_lr is not None:
        trainer.config = trainer.config.replace(max_lr=max_lr, min_lr=min(trainer.min_lr, max_lr))
    if dropout is None:
        return
    if not 0 <= dropout < 1:
        raise CourseError(f"dropout should be at least 0 and below 1; it is {dropout}.")
    if trainer.config.compile and trainer.has_begun and dropout != dropout_of(trainer.model):
        raise CourseError(
            "A compiled model keeps its dropout while it trains: torch.compile would begin anew with each value, and "
            "give up after 8. Stop, and go on with: course train --resume RUN --dropout X; or set compile to false."
        )
    for module in dropouts(trainer.model):
        module.p = dropout


def state_of(trainer: Any) -> dict[str, Any]:
    """The values of `STATE`, as JSON has them, of a `Trainer`."""
    return {
        "tokens": trainer.tokens,
        "seconds": trainer.seconds,
        "best_val_loss": trainer.best_val_loss if math.isfinite(trainer.best_val_loss) else None,
        "train": trainer.config.to_dict(),
        "min_lr": trainer.min_lr,
        "evaluation_owed": trainer.owed is not None and trainer.owed.evaluation,
        "dropout": dropout_of(trainer.model),
        "scaler": trainer.scaler.state_dict(),
        "overflows": trainer.overflows.to_dict(),
        "own_loss": trainer.has_own_loss,
        "own_optimizer": checkpoint.name_of(trainer.optimizer) if trainer.has_own_optimizer else None,
    }
