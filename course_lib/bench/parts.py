"""What a training step is made of: attention, MLP, output layer and loss, optimizer, data, as shares of its time."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.bench.steps import StepPlan, free_memory
from course_lib.device import Compute, select
from course_lib.models import GPT
from course_lib.peaks import synchronize
from course_lib.training import Trainer

HOW = (
    "each part alone, forward and backward, compiled where the step is, the card waited for before and after; one "
    "layer times the number of layers. Alone a part may be slower or faster than inside the step, so the shares need "
    "not add up to 1: 'rest' is what they leave (embedding, residual stream, and what fuses or overlaps)."
)


def measure_parts(plan: StepPlan, batch_size: int, compile: bool) -> dict[str, Any]:
    """Seconds of each part in one step, and its share of the whole step.

    Args:
        batch_size: windows in a micro-batch; the plan's own is not looked at.
    """
    compute = select(plan.train.device, plan.train.precision)
    if compute.kind == "cuda":
        torch._dynamo.reset()
    torch.manual_seed(plan.train.seed)
    trainer = plan.trainer(GPT(plan.shape), batch_size, compile)
    whole = _seconds(lambda: next(trainer), compute.device, plan.seconds)
    seconds = {
        name: times * _seconds(action, compute.device, plan.seconds / 4)
        for name, (times, action) in _parts(trainer, compute, compile).items()
    }
    free_memory()
    shares = {name: round(value / whole, 3) for name, value in seconds.items()}
    return {
        "unit": "seconds per step",
        "how": HOW,
        "batch_size": batch_size,
        "compile": compile,
        "precision": compute.precision,
        "step": whole,
        "parts": {name: round(value, 6) for name, value in seconds.items()},
        "shares": shares | {"rest": round(1 - sum(shares.values()), 3)},
    }


def _parts(trainer: Trainer, compute: Compute, compile: bool) -> dict[str, tuple[int, Callable[[], object]]]:
    """Name to (how often in a step, one time). The model has trained a step: every weight has its state."""
    model, batches, optimizer = trainer.model, trainer.batches, trainer.optimizer
    model.train()
    block, layers, micro = model.blocks[0], len(model.blocks), trainer.micro_steps
    idx, targets = batches.batch(0)
    n = idx.shape[1]
    rotary = (model.rotary_cos[:n], model.rotary_sin[:n]) if model.position_embedding is None else None

    def attention(x: Tensor) -> Tensor:
        return block.attn(block.norm1(x), rotary, None)

    def mlp(x: Tensor) -> Tensor:
        return block.mlp(block.norm2(x))

    def output(x: Tensor) -> Tensor:
        return model.head(model.norm(x))

    x = torch.randn((*idx.shape, model.config.n_embd), device=compute.device, requires_grad=True)

    def both(function: Callable[[Tensor], Tensor], *modules: nn.Module) -> Callable[[], object]:
        """A forward and a backward pass of a part, gradients handed out and not added to what is there."""
        wanted = [x, *(p for module in modules for p in module.parameters())]
        forward = torch.compile(function) if compile else function

        def action() -> None:
            with compute.autocast():
                y = forward(x) if function is not output else trainer.loss(forward, x, targets)
            torch.autograd.grad(y, wanted, torch.ones_like(y))

        return action

    def update() -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    return {
        "optimizer": (1, update),
        "attention": (layers * micro, both(attention, block.norm1, block.attn)),
        "MLP": (layers * micro, both(mlp, block.norm2, block.mlp)),
        "output layer and loss": (micro, both(output, model.norm, model.head)),
        "data": (micro, lambda: batches.batch(0)),
    }


def _seconds(action: Callable[[], object], device: str, seconds: float) -> float:
    """The median of three looks at ``action``, each about a third of ``seconds`` long, after it was warmed up.

    torch.utils.benchmark.Timer does the like, and needs setuptools, which a bare machine may lack.
    """
    for _ in range(3):
        action()

    def look(n: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(n):
            action()
        synchronize(device)
        return (time.perf_counter() - start) / n

    n = max(3, min(1000, round(seconds / 3 / look(3))))
    return median(look(n) for _ in range(3))
