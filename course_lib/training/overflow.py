"""Updates that fp16's loss scaler skips, and when to give up waiting."""

import math
from typing import Any

import torch

from course_lib.errors import CourseError

HOPELESS = 30
"""The run ends after this many steps in a row. The scale begins at 2**16 and is halved each time: after 30 it is below
1e-4, where fairseq gives up too (--min-loss-scale), and a gradient that still overflows is not one of training."""


class Overflows:
    """Counts the steps at which fp16 overflowed.

    Where a gradient is not finite, torch's GradScaler leaves the weights as they are and halves its scale. That is how
    the scale finds its place: a few such steps when a run begins, and one now and then, are as it should be.

    Args:
        scaler: the trainer's; where it is not enabled nothing is ever counted, and no GPU is made to wait.
    """

    def __init__(self, scaler: torch.amp.GradScaler) -> None:
        self.total = 0
        """Updates skipped since the run began."""
        self.in_a_row = 0
        """Steps since the last good one; a loss that is not finite counts as well."""
        self._scaler, self._scale = scaler, scaler.get_scale()

    def count(self, loss: float | None) -> tuple[float | None, bool]:
        """Take note of the step that was just made.

        Args:
            loss: its loss; None where it was not read.

        Returns:
            The loss, None where it is not finite; and whether the scaler skipped the update.
        """
        before, self._scale = self._scale, self._scaler.get_scale()
        skipped = self._scale < before  # only a skipped update makes it smaller
        has_overflowed = loss is not None and not math.isfinite(loss)
        self.total += skipped
        self.in_a_row = self.in_a_row + 1 if skipped or has_overflowed else 0
        return None if has_overflowed else loss, skipped

    def check(self, step: int, kept: str) -> None:
        """Raises CourseError where the last `HOPELESS` steps all overflowed; ``kept`` is what it says of the saves."""
        if self.in_a_row >= HOPELESS:
            raise CourseError(
                f"fp16 has overflowed at {self.in_a_row} steps in a row, up to step {step}: the loss scaler skipped "
                f"their updates, and a smaller scale (now {self._scale:.1e}) does not help.{kept} Use precision bf16 "
                "where the device has it, else fp32."
            )

    def to_dict(self) -> dict[str, int]:
        return {"total": self.total, "in_a_row": self.in_a_row}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what `to_dict` said; the scaler has its scale already."""
        self.total, self._scale = state["total"], self._scaler.get_scale()
        self.in_a_row = state["in_a_row"] if self._scaler.is_enabled() else 0
