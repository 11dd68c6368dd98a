"""What is set up around a model before the loop begins."""

import torch
from torch import nn

from course_lib.config import TrainConfig
from course_lib.device import World
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


def wrap(model: nn.Module, compile: bool, world: World) -> nn.Module:
    """The model as the forward pass calls it: compiled, and with gradients shared, where that is asked for.

    The weights are the model's own; saving and scoring use the model itself.

    Raises:
        CourseError: for compile=true where nothing can be compiled.
    """
    if compile:
        need_compiler(next(model.parameters()).device)
    forward: nn.Module = torch.compile(model) if compile else model
    if world.size == 1:
        return forward
    cards = [world.local_rank] if world.backend == "nccl" else None
    return nn.parallel.DistributedDataParallel(forward, device_ids=cards)


def need_compiler(device: torch.device | str) -> None:
    """Compile and run a line for ``device``.

    torch.compile itself only begins in the first step, when a run has its folder already. What it needs differs from
    system to system (a C++ compiler and Python's headers for a CPU, Triton and a C compiler for a GPU): trying is sure.

    Raises:
        CourseError: where torch.compile does not work here.
    """
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        needs = "Triton" if torch.device(device).type == "cuda" else "a C++ compiler, such as g++"
        raise CourseError(
            f"compile=true needs torch.compile, which does not work here ({reason}). Set compile to false, or install "
            f"what it needs ({needs})."
        ) from error
