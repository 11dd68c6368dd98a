"""Adam on plain lists of numbers (Kingma and Ba, 2015, algorithm 1), and its learning rate."""

import math
from collections.abc import Sequence

from course_lib.errors import CourseError


class Adam:
    """Each parameter moves by its mean gradient, over the root of its mean squared gradient.

    Both means forget: of what they held, ``beta1`` and ``beta2`` remain at each step.
    """

    def __init__(self, size: int, beta1: float = 0.9, beta2: float = 0.95, eps: float = 1e-8) -> None:
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps
        self.means = [0.0] * size
        self.squares = [0.0] * size
        self.steps = 0

    def step(self, parameters: Sequence[float], gradients: Sequence[float], lr: float) -> list[float]:
        """The parameters after one step, (n,); ``lr`` is about how far each of them moves at most.

        Raises:
            CourseError: if there are not as many parameters and gradients as at the start.
        """
        expected = len(self.means)
        if len(parameters) != expected or len(gradients) != expected:
            came = f"{len(parameters)} parameters and {len(gradients)} gradients"
            raise CourseError(f"This Adam was made for {expected} parameters; it got {came}.")
        self.steps += 1
        beta1 = self.beta1
        beta2 = self.beta2
        self.means = [beta1 * m + (1 - beta1) * g for m, g in zip(self.means, gradients)]
        self.squares = [beta2 * v + (1 - beta2) * g**2 for v, g in zip(self.squares, gradients)]
        # Both means began at 0. These two undo what that start still weighs.
        weight1 = 1 - beta1**self.steps
        weight2 = 1 - beta2**self.steps
        eps = self.eps
        return [
            p - lr * (m / weight1) / ((v / weight2) ** 0.5 + eps)
            for p, m, v in zip(parameters, self.means, self.squares)
        ]


def cosine(step: int, num_steps: int, max_lr: float = 1e-2) -> float:
    """The learning rate of step 0, 1, ...: half a cosine from ``max_lr`` down to 0 (Loshchilov and Hutter, 2017)."""
    return max_lr * 0.5 * (1 + math.cos(math.pi * step / num_steps))
