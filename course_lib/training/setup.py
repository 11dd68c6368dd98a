"""What is set up before the loop: settings taken from the batches, precision, compiling, several processes."""

from typing import Any

import torch
from torch import nn

from course_lib.config import TrainConfig
from course_lib.device import Compute, World, device_of, select
from course_lib.errors import CourseError
from course_lib.training.record import Batches, Loss

DRAWN = ("batch_size", "grad_accum", "seed")
"""Settings of `TrainConfig` that the batches may have decided already."""


def adopt(config: TrainConfig, model: nn.Module, batches: Batches, val_batches: Any, world: World) -> TrainConfig:
    """``config`` with what the batches have decided already, so that it tells what really happens.

    Raises:
        CourseError: for batches that were not made for this number of processes: all would draw the same; for a
            setting that was given in both places, with two values; for ids that the model does not know.
    """
    made_for = getattr(batches, "world_size", 1)
    if made_for != world.size:
        raise CourseError(
            f"There are {world.size} processes, and the batches are made for {made_for}. Give Batcher rank and "
            "world_size, so that each process draws its share."
        )
    drawn = {name: getattr(batches, name) for name in DRAWN if hasattr(batches, name)}
    for name, value in drawn.items():
        if name in config.given and getattr(config, name) != value:
            raise CourseError(
                f"{name} is {value} in the batches and {getattr(config, name)} in the training settings (TrainConfig, "
                "or those of the run that goes on). Give both the same, or leave it out of TrainConfig."
            )
    vocab_size = getattr(getattr(model, "config", None), "vocab_size", None)
    for part in (batches, val_batches):
        if vocab_size is not None and hasattr(part, "check_ids"):
            part.check_ids(vocab_size)
    return config.with_defaults(**drawn)


def compute_for(config: TrainConfig, world: World) -> Compute:
    """Device and arithmetic as ``config`` asks for them; each of several processes on cards has its own card."""
    device = f"cuda:{world.local_rank}" if world.backend == "nccl" else config.device
    return select(device, config.precision, config.tf32)


def wrap(model: nn.Module, loss: Loss, compile: bool, world: World) -> tuple[nn.Module, Loss]:
    """Model and loss as a training step calls them: gradients shared, and compiled as one, where that is asked for.

    Compiled by itself, a model hands its logits over in memory; together with the loss they need not all be there in
    fp32. The weights are the model's own; saving and scoring use the model itself.

    Raises:
        CourseError: for compile=true where nothing can be compiled.
    """
    if compile:
        need_compiler(device_of(model))
        loss = torch.compile(loss)
    if world.size == 1:
        return model, loss
    cards = [world.local_rank] if world.backend == "nccl" else None
    # Buffers that change while it trains are BatchNorm's running means, which all take from the main process; others
    # (RoPE's tables) are constants. Gradients need no second copy.
    changing = any(isinstance(part, nn.modules.batchnorm._NormBase) for part in model.modules())
    shared = nn.parallel.DistributedDataParallel(
        model, device_ids=cards, broadcast_buffers=changing, gradient_as_bucket_view=True
    )
    return shared, loss


def compiler_problem(device: torch.device | str) -> str | None:
    """Compile and run a line for ``device``: None where that works, else what torch says.

    torch.compile itself only begins in the first step, when a run has its folder already. What it needs differs from
    system to system (a C++ compiler and Python's headers for a CPU, Triton and a C compiler for a GPU): trying is sure.
    """
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:  # of many kinds, by what is missing
        return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return None


def need_compiler(device: torch.device | str) -> None:
    """Raises CourseError where torch.compile does not work here."""
    if problem := compiler_problem(device):
        needs = "Triton" if torch.device(device).type == "cuda" else "a C++ compiler, such as g++"
        raise CourseError(
            f"compile=true needs torch.compile, which does not work here ({problem}). Set compile to false, or install "
            f"what it needs ({needs})."
        )
