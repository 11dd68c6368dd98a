"""Each optimizer of the race at its best learning rate: many rates walk side by side, by the rules written out."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.widgets.surfaces import FAR, NAMES, NEAR, SURFACES, Path, Setting, lowest_places

EPS = 1e-8
"""Adam's, as torch has it."""


def best_rates(setting: Setting, rates: Sequence[float]) -> dict[str, float]:
    """Each optimizer's best rate among ``rates``, from this start over this surface in so many steps.

    Best is the rate that brings it to a lowest place after the fewest steps; where none does, the one with the lowest
    loss in the end. Of equals the lower loss counts, then the lower rate.
    """
    places, near = lowest_places(setting), NEAR * SURFACES[setting.surface].width

    def rank(path: Path) -> tuple[float, float]:
        arrival = path.arrival(places, near)
        return math.inf if arrival is None else arrival, math.inf if path.diverged else path.losses[-1]

    ranks = {name: map(rank, walk(setting, name, rates)) for name in NAMES}
    return {name: min(zip(ranked, rates, strict=True))[1] for name, ranked in ranks.items()}


def walk(setting: Setting, name: str, rates: Sequence[float]) -> list[Path]:
    """The paths of one optimizer at several learning rates, as `surfaces.race` has each; torch's classes take one rate.

    The sum of the losses has each walker's own gradient.
    """
    lr = torch.tensor(rates, dtype=torch.float64)[:, None]  # (R, 1)
    weights = torch.tensor(setting.start, dtype=torch.float64).repeat(len(rates), 1).requires_grad_()  # (R, 2)
    update, form = _rule(setting, name), setting.form
    points, losses = [], []
    with torch.enable_grad():
        for step in range(1, setting.steps + 2):
            loss = form(weights[:, 0], weights[:, 1])  # (R,)
            points.append(weights.detach().clone())
            losses.append(loss.detach())
            (gradient,) = torch.autograd.grad(loss.sum(), weights)
            with torch.no_grad():
                update(weights, gradient, lr, step)
    ways = zip(torch.stack(points, dim=1).tolist(), torch.stack(losses, dim=1).tolist(), strict=True)
    return [_cut(setting, *way) for way in ways]


def _rule(setting: Setting, name: str) -> Callable[[Tensor, Tensor, Tensor, int], Any]:
    """What moves all weights (R, 2) in place, given gradients, rates (R, 1), and the number of the step from 1 on."""
    b1, b2 = setting.beta1, setting.beta2
    if name == "SGD":
        return lambda w, g, lr, step: w.sub_(lr * g)
    if name == "momentum":
        speed = torch.zeros(())

        def roll(w: Tensor, g: Tensor, lr: Tensor, step: int) -> None:
            nonlocal speed
            speed = b1 * speed + g
            w.sub_(lr * speed)

        return roll
    m, v, decay = torch.zeros(()), torch.zeros(()), setting.weight_decay if name == "AdamW" else 0.0

    def adam(w: Tensor, g: Tensor, lr: Tensor, step: int) -> None:
        nonlocal m, v
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w.mul_(1 - lr * decay)
        w.sub_(lr * (m / (1 - b1**step)) / ((v / (1 - b2**step)).sqrt() + EPS))

    return adam


def _cut(setting: Setting, points: list[list[float]], losses: list[float]) -> Path:
    """A path as far as it can be seen, as `surfaces.race` ends it."""
    far = FAR * SURFACES[setting.surface].width
    for i, ((x, y), loss) in enumerate(zip(points, losses, strict=True)):
        if not math.isfinite(loss) or math.hypot(x, y) > far:
            return Path([(x, y) for x, y in points[:i]], losses[:i], diverged=True)
    return Path([(x, y) for x, y in points], losses, diverged=False)
