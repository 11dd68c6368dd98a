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
    if not longest:
        return None
    weights = [p for p in model.parameters() if p.grad is not None]
    if not any(p.grad.is_sparse for p in weights):
        return nn.utils.clip_grad_norm_(weights, longest)
    for p in weights:
        p.grad = p.grad.coalesce() if p.grad.is_sparse else p.grad  # each row once, or the norm would be another
    grads = [p.grad.values() if p.grad.is_sparse else p.grad for p in weights]
    norm = nn.utils.get_total_norm(grads)
    torch._foreach_mul_(grads, (longest / (norm + 1e-6)).clamp(max=1.0))  # as clip_grad_norm_ does it
    return norm


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
