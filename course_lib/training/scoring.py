"""The default loss of a trainer, its mean over text that was not trained on, and what to tell of a failure."""

import math
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.config import TrainConfig
from course_lib.device import Compute, World, device_of, seed_for
from course_lib.errors import CourseError
from course_lib.losses import chunked_cross_entropy, cross_entropy
from course_lib.models.mode import evaluating
from course_lib.training.record import EVALUATION, Loss
from course_lib.training.signals import holding_signals

MOST_LOGITS = 2**28
"""How many logits (B x T x V) are held at once in fp32, 1 GiB of them."""
NO_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""What a RuntimeError says that means no memory; only CUDA's allocator has a class of its own for it."""


class Diverged(CourseError):
    """A loss or a weight is no longer finite, and the run has ended."""


def next_token_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The default loss: cross-entropy of the model's logits, in nats per token.

    Where the logits are too many to be held at once (`MOST_LOGITS`), and the model tells what it has before them, they
    come in chunks. A compiler sees to that by itself. While it trains, a model may add a cost of its own: what its
    ``auxiliary_loss()`` returns after a forward pass, a scalar or None.
    """
    loss = _cross_entropy_of(model, x, y)
    own = getattr(getattr(model, "module", model), "auxiliary_loss", None)  # several processes wrap it
    cost = own() if own is not None and model.training else None
    return loss if cost is None else loss + cost


def _cross_entropy_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    vocab_size = getattr(getattr(model, "config", None), "vocab_size", 0)
    chunked = hasattr(model, "hidden") and x.numel() * vocab_size > MOST_LOGITS
    if chunked and not torch.compiler.is_compiling():
        return chunked_cross_entropy(model.hidden(x), model.scores, y, max(1, MOST_LOGITS // vocab_size))
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

    Args:
        compute: device and arithmetic; None scores in fp32 where the model is.
    """
    compute, world = compute or Compute(str(device_of(model)), "fp32", False, False, ()), world or World()
    losses, counts = list[Tensor](), list[int]()
    with evaluating(model):
        for x, y in windows:
            if stopped():
                return None
            x, y = x.to(compute.device), y.to(compute.device)
            with holding_signals(at_most=1), torch.no_grad(), compute.autocast():
                losses.append(loss(model, x, y).float())
            counts.append(y.numel())
    # They are read here, all at once: a card would have to wait after each batch. Python's numbers have 64 bits.
    each = torch.stack(losses).tolist() if losses else []
    total = math.fsum(value * count for value, count in zip(each, counts, strict=True))
    total_sum, count_sum = world.sum([total, float(sum(counts))])
    if not count_sum:
        raise CourseError("The validation split is empty: a larger val_fraction, or a longer text.")
    return total_sum / count_sum


def validation_loss(
    trainer: Any, seed: Callable[[int], None], stopped: Callable[[], bool], diverged: Callable[[str], CourseError]
) -> float | None:
    """The mean loss of a `Trainer` on its ``val_batches``; None without them, or where ``stopped`` said so.

    Where it draws at all, ``seed`` makes the draws a function of the run's seed and the step. A loss that is not finite
    raises what ``diverged`` makes of it.
    """
    if trainer.val_batches is None:
        return None
    seed(seed_for(trainer.config.seed, trainer.step, EVALUATION - trainer.world.rank))
    windows = val_windows(trainer.val_batches, trainer.config.eval_batches)
    # The compiled loss would be compiled anew for other shapes and for evaluation mode.
    loss = getattr(trainer.loss, "_torchdynamo_orig_callable", trainer.loss)
    value = mean_loss(trainer.model, windows, loss, trainer.compute, trainer.world, stopped)
    if value is not None and not math.isfinite(value):
        raise diverged(f"The validation loss is {value} after {trainer.step} steps")
    return value


def diverged(what: str, config: TrainConfig, kept: str) -> Diverged:
    """The error of a loss or weight that is no longer finite, with what to try; ``kept`` tells of the saves."""
    return Diverged(
        f"{what}: training has diverged, and stops.{kept} Try a lower max_lr (it is {config.max_lr:g}), more "
        f"warmup_steps ({config.warmup_steps}), a smaller grad_clip ({config.grad_clip:g}), or precision fp32."
    )


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether ``error``, or what it was raised from, says that memory ran out, in whoever's words."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def explain_memory(error: RuntimeError, config: TrainConfig) -> Exception:
    """Memory that runs out gets a remedy; any other error stays as it is."""
    if not is_out_of_memory(error):
        return error
    # A notebook keeps its last error. The frames in it would keep the step's activations, and the next try would fail.
    traceback.clear_frames(error.__traceback__)
    b, g = config.batch_size, config.grad_accum
    remedy = (
        f"Halve batch_size from {b} to {b // 2} and double grad_accum from {g} to {2 * g}: the same training with "
        "about half the memory"
    )
    if b == 1:
        remedy = "Halve block_size, or take a smaller model"
    return CourseError(f"The device is out of memory. {remedy}. ({str(error).splitlines()[0]})")
