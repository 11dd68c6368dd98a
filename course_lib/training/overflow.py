"""Updates that fp16's loss scaler skips, and when to give up waiting."""

from typing import Any

import torch
from torch import Tensor

from course_lib.device import read, reading_is_free
from course_lib.errors import CourseError

HOPELESS = 30
"""The run ends after this many steps in a row. The scale begins at 2**16 and is halved each time: after 30 it is below
1e-4, where fairseq gives up too (--min-loss-scale), and a gradient that still overflows is not one of training."""


class Overflows:
    """Counts the steps at which fp16 overflowed, on the device: to count nobody waits for it.

    Where a gradient is not finite, torch's GradScaler leaves the weights as they are and halves its scale. That is how
    the scale finds its place: a few such steps when a run begins, and one now and then, are as it should be.

    Args:
        scaler: the trainer's; where it is not enabled nothing is ever counted.
        device: where the weights are.
    """

    def __init__(self, scaler: torch.amp.GradScaler, device: str) -> None:
        self._scaler, self._device = scaler, torch.device(device)
        self.is_free_to_look = reading_is_free(device)
        """Then it is told of each step whether it was skipped, else only of those that are read."""
        self._total: Tensor | int = 0
        self._in_a_row: Tensor | int = 0
        self._scale = self._scale_now()
        self._seen_in_a_row = 0  # when the host last looked

    @property
    def total(self) -> int:
        """Updates skipped since the run began; a card is waited for."""
        return int(self._total)

    @property
    def in_a_row(self) -> int:
        """Steps since the last good one; a loss that is read and not finite counts as well. A card is waited for."""
        return int(self._in_a_row)

    def _scale_now(self) -> Tensor | None:
        """The scale, a copy on the device; None without a scaler."""
        return self._scaler.scale(torch.ones((), device=self._device)) if self._scaler.is_enabled() else None

    def read(self, loss: Tensor | None, norm: Tensor | None) -> tuple[float | None, float | None, bool | None]:
        """Take note of the step that was just made, and read what is to be told of it: one wait for the device at most.

        Args:
            loss: its loss; None where it is not to be read. Then nothing else is, but where looking costs no wait.
            norm: the gradient's, before clipping; None where it was not clipped.

        Returns:
            Loss and norm, None where they were not read; whether the scaler skipped the update, None where that
            was not read.
        """
        values = [] if loss is None else [loss] if norm is None else [loss, norm]
        asked = len(values)
        if self._scale is not None:
            marks = self._note(loss)
            values += marks if asked or self.is_free_to_look else []
        found = read(values)
        skipped: bool | None = None if self._scale is not None else False
        if len(found) > asked:
            skipped, self._seen_in_a_row = bool(found[asked]), int(found[asked + 1])
        told = [*found[:asked], None, None]
        return told[0], told[1], skipped

    def _note(self, loss: Tensor | None) -> list[Tensor]:
        """Count on; whether the update was skipped, and how many are bad in a row now, both on the device."""
        before, self._scale = self._scale, self._scale_now()
        skipped = self._scale < before  # only a skipped update makes it smaller
        is_bad = skipped if loss is None else skipped | ~loss.isfinite().to(skipped.device)
        self._total = self._total + skipped
        self._in_a_row = (self._in_a_row + 1) * is_bad
        return [skipped, self._in_a_row]

    def check(self, step: int, kept: str) -> None:
        """Raises CourseError where the last `HOPELESS` steps all overflowed; ``kept`` is what it says of the saves.

        It goes by what `read` has seen: on a card that is as old as the last step that was read.
        """
        if self._seen_in_a_row >= HOPELESS:
            raise CourseError(
                f"fp16 has overflowed at {self._seen_in_a_row} steps in a row, up to step {step}: the loss scaler "
                f"skipped their updates, and a smaller scale (now {self._scaler.get_scale():.1e}) does not help.{kept} "
                "Use precision bf16 where the device has it, else fp32."
            )

    def to_dict(self) -> dict[str, int]:
        return {"total": self.total, "in_a_row": self.in_a_row}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what `to_dict` said; the scaler has its scale already."""
        self._total, self._scale = state["total"], self._scale_now()
        self._in_a_row = self._seen_in_a_row = state["in_a_row"] if self._scaler.is_enabled() else 0
