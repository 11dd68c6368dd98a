"""What is set up around a model before the loop begins."""

import torch
from torch import nn

from course_lib.config import TrainConfig
from course_lib.device import Compute, World, select
from course_lib.errors import CourseError
from course_lib.training.record import Batches


def adopt(config: TrainConfig, batches: Batches, world: World) -> TrainConfig:
    """``config`` with what the batches have decided already, so that it tells what really happens.

    Raises:
        CourseError: for batches that were not made for this number of processes: all would draw the same.
    """
    made_for = getattr(batches, "world_size", 1)
    if made_for != world.size:
        raise CourseError(
            f"There are {world.size} processes, and the batches are made for {made_for}. Give Batcher rank and "
            "world_size, so that each process draws its share."
        )
    drawn = ("batch_size", "grad_accum", "seed")
    return config.replace(**{name: getattr(batches, name) for name in drawn if hasattr(batches, name)})


def compute_for(config: TrainConfig, world: World) -> Compute:
    """Device and arithmetic as ``config`` asks for them; of several processes on cards, each has its own card."""
    device = f"cuda:{world.local_rank}" if world.backend == "nccl" else config.device
    return select(device, config.precision, config.tf32)


def wrap(model: nn.Module, compile: bool, world: World) -> nn.Module:
    """The model as the forward pass calls it: compiled, and with gradients shared, where that is asked for.

    The weights are the model's own; saving and scoring use the model itself.
    """
    forward: nn.Module = torch.compile(model) if compile else model
    if world.size == 1:
        return forward
    cards = [world.local_rank] if world.backend == "nccl" else None
    return nn.parallel.DistributedDataParallel(forward, device_ids=cards)
