"""The training loop: `Trainer`, one iterator of step records, and what it takes care of around its five steps."""

from course_lib.config import TrainConfig
from course_lib.device import seed_for
from course_lib.training.optimizer import OwnOptimizer
from course_lib.training.pictures import Answers, ask, class_loss, l1_loss, mse_loss, toward
from course_lib.training.record import Batches, Loss, StepRecord
from course_lib.training.scoring import mean_loss, next_token_loss
from course_lib.training.signals import stopping_on_signals
from course_lib.training.trainer import Trainer

__all__ = [
    "Answers",
    "Batches",
    "Loss",
    "OwnOptimizer",
    "StepRecord",
    "TrainConfig",
    "Trainer",
    "ask",
    "class_loss",
    "l1_loss",
    "mean_loss",
    "mse_loss",
    "next_token_loss",
    "seed_for",
    "stopping_on_signals",
    "toward",
]
