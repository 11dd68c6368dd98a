"""The optimizer of a trainer: the one that its settings ask for, or one's own."""

import inspect
from collections.abc import Callable

import torch
from torch import nn

from course_lib.config import TrainConfig
from course_lib.errors import CourseError
from course_lib.optim import AnyOptimizer, OptimizerSet, build_optimizer, mark_tables

OwnOptimizer = AnyOptimizer | Callable[[nn.Module], AnyOptimizer]
"""An optimizer over the model's weights; or a function that makes one for a model, where that is not there yet."""


def optimizer_for(
    model: nn.Module, config: TrainConfig, own: OwnOptimizer | None
) -> tuple[AnyOptimizer, TrainConfig]:
    """The optimizer, and the settings with the rate that one's own brings along.

    The schedule sets the rate of every group in every step: ``max_lr`` at its height, times the group's ``lr_scale``.
    A group without one keeps its ratio to the others: those of the highest rate get all of it. Where nobody
    chose ``max_lr``, it is that highest rate.

    Raises:
        CourseError: for what is no optimizer, needs a closure, has no rate, or moves other weights than the model's.
    """
    if own is None:
        return build_optimizer(model, config), config
    mark_tables(model, sparse=False)
    known = torch.optim.Optimizer | OptimizerSet
    optimizer = own if isinstance(own, known | type) or not callable(own) else own(model)
    if not isinstance(optimizer, known):
        raise CourseError(
            "optimizer should be an optimizer, such as torch.optim.SGD(model.parameters(), lr=0.1), or a function that "
            f"makes one: lambda model: torch.optim.SGD(model.parameters(), lr=0.1). It is {optimizer!r}. (Those of the "
            "library go by name: TrainConfig(optimizer='muon').)"
        )
    for member in optimizer.optimizers if isinstance(optimizer, OptimizerSet) else [optimizer]:
        _check(member, model)
    return optimizer, config.with_defaults(**_rates(optimizer))


def _check(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    name = type(optimizer).__name__
    arguments = inspect.signature(optimizer.step).parameters.values()
    if any(a.default is a.empty and a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD) for a in arguments):
        raise CourseError(
            f"{name}.step needs a closure that computes the loss anew, several times in one step; the trainer computes "
            "it once. Take an optimizer whose step() needs nothing, such as AdamW or SGD."
        )
    if any("lr" not in group for group in optimizer.param_groups):
        raise CourseError(f"The groups of {name} have no 'lr', which is what the schedule sets. Give each group one.")
    weights = set(model.parameters())
    if any(p not in weights for group in optimizer.param_groups for p in group["params"]):
        raise CourseError(
            f"{name} moves weights that are not this model's: it was made for another one. Make it for this one; where "
            "that is not there yet, as in resume, give a function: optimizer=lambda model: "
            f"{name}(model.parameters(), ...)."
        )


def _rates(optimizer: AnyOptimizer) -> dict[str, float]:
    """Give each group without ``lr_scale`` its share of the highest rate among them, and return that as ``max_lr``.

    ``initial_lr`` keeps the rate that a group came with, as torch's own schedulers do: a second trainer with the same
    optimizer finds the rate moved, and the ratio lost where it ended at 0.
    """
    plain = [group for group in optimizer.param_groups if "lr_scale" not in group or "initial_lr" in group]
    for group in plain:
        group.setdefault("initial_lr", float(group["lr"]))
    highest = max((group["initial_lr"] for group in plain), default=0.0)
    for group in plain:
        group["lr_scale"] = group["initial_lr"] / highest if highest else 1.0
    return {"max_lr": highest} if highest else {}
