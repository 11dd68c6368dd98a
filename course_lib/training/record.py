"""`StepRecord`, what a step did; `Batches`, what a trainer draws from; what is owed after a step; seeds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Batches(Protocol):
    """What a trainer draws from: `course_lib.data.Batcher`, `LoaderBatches`, or anything with this method."""

    def batch(self, step: int, micro: int = 0) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one micro-batch, the same at every call with the same arguments."""
        ...


@dataclass(frozen=True)
class StepRecord:
    """What one optimizer step did. Also a row of ``metrics.jsonl``."""

    step: int
    """Which step, counted from 0; after it, step + 1 steps are completed."""
    train_loss: float | None
    """The loss of the step's batch before its update; None where it was not read (log_every), or overflowed in fp16."""
    val_loss: float | None
    """The validation loss after the update; None where it was not measured."""
    lr: float
    tokens: int
    """Targets seen since the run began."""
    seconds: float
    """Time since the run began, pauses between two records and stops left out."""
    grad_norm: float | None
    """The gradient's norm before clipping; None where it was not read or is not clipped."""
    dropout: float | None
    best: bool = False
    """Whether val_loss is the lowest so far."""
    skipped: bool | None = False
    """Whether fp16's loss scaler skipped the update, as a gradient overflowed: the step is counted, and the learning
    rate moves on with it, but the weights and what the optimizer remembers are as they were before it. None where it
    was not read: on a card, with the loss."""


@dataclass
class Owed:
    """What is still to be done about the step that was taken last.

    It outlives an interruption: the loop that is run again takes it up where it was.
    """

    record: StepRecord
    evaluation: bool
    """Whether its evaluation is due and not made."""
    row: bool = True
    """Whether its row in the log is not written, or not as ``record`` is now."""
    save: bool = False
    """Whether a save is due and not made."""
    told: bool = False
    """Whether the caller has the record."""


EVALUATION = 2**32 - 1
"""Takes the place of a micro-batch's number in the seed of an evaluation."""
