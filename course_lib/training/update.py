"""How a step ends: the gradient is clipped and the weights move, and the host waits for neither."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.device import reading_is_free
from course_lib.optim import AnyOptimizer, can_skip, step_unless


def clip(
    model: nn.Module, optimizer: AnyOptimizer, scaler: torch.amp.GradScaler, longest: float
) -> Tensor | None:  # fmt: skip
    """Shorten the gradient of the true loss to at most ``longest``; its norm before that. 0 clips nothing: None."""
    scaler.unscale_(optimizer)
    return nn.utils.clip_grad_norm_(model.parameters(), longest) if longest else None


def take_step(
    optimizer: AnyOptimizer, scaler: torch.amp.GradScaler, loss: Tensor | None, need_finite: Callable[[float], None]
) -> None:  # fmt: skip
    """The weights move; not where ``loss`` is given and not finite, nor in fp16 where the gradient is not.

    On a card the device sees to both, so the loss can be read when all is launched: the card works on while the host
    waits. Where reading is free, or the optimizer cannot leave it to the device (`can_skip`), the loss is read first,
    and ``need_finite``, which raises, has it.
    """
    if scaler.is_enabled():
        scaler.step(optimizer)
        scaler.update()
    elif loss is not None and can_skip(optimizer) and not reading_is_free(loss.device):
        step_unless(optimizer, (~loss.isfinite()).float())
    else:
        if loss is not None:
            need_finite(loss.item())
        optimizer.step()
