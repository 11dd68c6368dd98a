"""The loss on text that the model was not trained on."""

import traceback
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.config import TrainConfig
from course_lib.device import Compute, World
from course_lib.errors import CourseError
from course_lib.losses import cross_entropy
from course_lib.training.record import Loss
from course_lib.training.signals import holding_signals

NO_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What a RuntimeError says that means no memory; only CUDA's allocator has a class of its own for it."""


def next_token_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The default loss: cross-entropy of the model's logits, in nats per token."""
    return cross_entropy(model(x), y)


def val_windows(val_batches: Any, eval_batches: int | None) -> Iterable[tuple[Tensor, Tensor]]:
    """What to score: ``val_batches.windows(eval_batches)``, or that many of its batches.

    Raises:
        CourseError: where val_batches has no ``windows`` and eval_batches does not say how many to take.
    """
    if hasattr(val_batches, "windows"):
        return val_batches.windows(eval_batches)
    if eval_batches is None:
        raise CourseError("val_batches without windows() needs eval_batches: how many batches to score.")
    return (val_batches.batch(i) for i in range(eval_batches))


def mean_loss(
    model: nn.Module,
    windows: Iterable[tuple[Tensor, Tensor]],
    loss: Loss = next_token_loss,
    compute: Compute | None = None,
    world: World | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> float | None:
    """The mean loss per target over ``windows``, the model in evaluation mode for that time.

    Batches count by their number of targets. Several processes each score a share and add up.
    Returns None where ``stopped`` said so between two batches.
    """
    compute, world = compute or Compute("cpu", "fp32", False, False, ()), world or World()
    was_training = model.training
    total, count = torch.zeros((), dtype=torch.float64), 0
    try:
        model.eval()
        for x, y in windows:
            if stopped():
                return None
            x, y = x.to(compute.device), y.to(compute.device)
            with holding_signals(at_most=1), torch.no_grad(), compute.autocast():
                total += loss(model, x, y).cpu().double() * y.numel()  # Apple's GPU has no float64
            count += y.numel()
    finally:
        model.train(was_training)
    total_sum, count_sum = world.sum([total.item(), float(count)])
    if not count_sum:
        raise CourseError("The validation split is empty: a larger val_fraction, or a longer text.")
    return total_sum / count_sum


def diverged(what: str, config: TrainConfig, last_good: str | None) -> CourseError:
    """The error of a loss or weight that is no longer finite, with what to try."""
    kept = f" The last good save is {last_good}." if last_good else ""
    return CourseError(
        f"{what}: training has diverged, and stops.{kept} Try a lower max_lr (it is {config.max_lr:g}), more "
        f"warmup_steps ({config.warmup_steps}), a smaller grad_clip ({config.grad_clip:g}), or precision fp32."
    )


def explain_memory(error: RuntimeError, config: TrainConfig) -> Exception:
    """Memory that runs out gets a remedy; any other error stays as it is."""
    if not isinstance(error, torch.OutOfMemoryError) and not any(words in str(error) for words in NO_MEMORY):
        return error
    # A notebook keeps its last error: the frames in it would keep the step's activations, and the next try fail too.
    traceback.clear_frames(error.__traceback__)
    b, g = config.batch_size, config.grad_accum
    remedy = (
        f"Halve batch_size from {b} to {b // 2} and double grad_accum from {g} to {2 * g}: the same training with "
        "about half the memory"
    )
    if b == 1:
        remedy = "Halve block_size, or take a smaller model"
    return CourseError(f"The device is out of memory. {remedy}. ({str(error).splitlines()[0]})")
