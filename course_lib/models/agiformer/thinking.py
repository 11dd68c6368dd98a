"""Thinking steps: a patch's latent is refined several times by the same small network."""

import torch
from torch import Tensor, nn

from course_lib.config import AGIFormerConfig
from course_lib.errors import CourseError, need_whole
from course_lib.models.agiformer.parts import MLP, recomputed
from course_lib.models.linear import sized_linear

ENOUGH = 0.99
"""A patch halts when its halting probabilities sum to this."""


class Thinking(nn.Module):
    """z = z + sigmoid(gate(norm z)) * mlp(norm z), ``steps`` times; or as often as a halting gate says, at most.

    Adaptive thinking is that of Graves 2016 (Adaptive Computation Time): after each step a gate says with which
    probability to halt; where those sum to ``enough``, the patch halts. Its latent is the mean of its states, weighted
    by the probabilities, the last one taking what is left of 1. Each patch halts by itself, so nothing is told about
    later ones.
    """

    def __init__(self, config: AGIFormerConfig) -> None:
        super().__init__()
        C = config.n_embd
        self.think_mlp = MLP(C, config.dropout)
        self.norm = nn.LayerNorm(C)
        self.gate = sized_linear(C, C)
        self.halt = nn.Linear(C, 1) if config.thinking == "adaptive" else None
        self.steps, self.enough = config.thinking_steps, ENOUGH if self.halt is not None else None
        self.recompute = config.recompute
        self.ponder: Tensor | None = None
        """Of the last forward pass with adaptive thinking: the mean over patches of steps taken, plus what was left."""

    def change(self, steps: int | None = None, enough: float | None = None) -> None:
        """Think more or less from the next call on; with ``enough`` = 0 each patch halts after one step.

        Raises:
            CourseError: for a negative number, a sum that is not from 0 to 1, or a model without a halting gate.
        """
        if steps is not None:
            self.steps = need_whole("steps", steps, 0)
        if enough is not None:
            if self.halt is None:
                raise CourseError(
                    "enough is for adaptive thinking, and this model has no halting gate: it thinks the same number of "
                    "steps everywhere. Change steps, or train one with thinking = adaptive."
                )
            if not 0 <= enough <= 1:
                raise CourseError(f"enough should be from 0 to 1, a sum of probabilities; it is {enough}.")
            self.enough = enough

    def step(self, z: Tensor) -> Tensor:
        """One thinking step, (B, N, C) -> (B, N, C)."""
        x = self.norm(z)
        return z + torch.sigmoid(self.gate(x)) * self.think_mlp(x)

    def forward(self, z: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        self.ponder = None
        if self.halt is not None and self.steps:
            z, taken, left = self.adaptive(z)
            if self.training:
                self.ponder = (taken + left).float().mean()
            return z
        for _ in range(self.steps):
            z = self._next(z)
        return z

    def _next(self, z: Tensor) -> Tensor:
        return recomputed(self.step, z) if self.recompute else self.step(z)

    def adaptive(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As often as the halting gate says; at least one step.

        Returns:
            The latents (B, N, C), how many steps each patch took (B, N, 1), and the probability that was left for the
            last of them (B, N, 1).
        """
        assert self.halt is not None
        total, out = z.new_zeros((*z.shape[:2], 1)), torch.zeros_like(z)
        taken, left, running = torch.zeros_like(total), torch.ones_like(total), torch.ones_like(total)
        for number in range(1, self.steps + 1):
            z = self._next(z)
            chance = torch.sigmoid(self.halt(self.norm(z)).to(z.dtype))  # (B, N, 1)
            halts = (total + chance >= self.enough) | (number == self.steps)
            left = torch.where(halts & (running > 0), 1 - total, left)
            weight = torch.where(halts, 1 - total, chance) * running
            out, total, taken = out + weight * z, total + weight, taken + running
            running = running * ~halts
            if not self.training and not running.any():
                break
        return out, taken, left
