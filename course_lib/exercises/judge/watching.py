"""What happens to a model while a learner's function has it: forward, backward and step, in their order."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook


class Bigram(nn.Module):
    """The smallest language model: row i of a table (V, V) holds the scores of what follows token i.

    It has one weight, so its gradient can be read at a glance; dropout is there to tell the modes apart.
    """

    def __init__(self, vocab_size: int = 5, dropout: float = 0.0, seed: int = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = nn.Embedding(vocab_size, vocab_size)
        self.table.weight.data = torch.randn(vocab_size, vocab_size, generator=generator)
        self.dropout = nn.Dropout(dropout)

    def forward(self, idx: Tensor) -> Tensor:
        """(B, T) -> (B, T, V)."""
        return self.dropout(self.table(idx))


@dataclass(frozen=True)
class Event:
    """One thing that happened, and how things stood at that moment."""

    kind: str
    """forward, backward or step."""
    weight: Tensor
    """The model's first weight, a copy."""
    gradient: Tensor | None
    """The gradient of that weight, a copy; None where there is none."""
    training: bool
    recorded: bool
    """Whether gradients were being recorded."""
    idx: Tensor | None = None
    """What the model was given, for a forward."""
    optimizer: torch.optim.Optimizer | None = None
    """Which optimizer stepped; held, so that a second one cannot take its place in memory."""


class Watch(list[Event]):
    """The events so far, in order."""

    def of(self, kind: str) -> list[Event]:
        return [event for event in self if event.kind == kind]


@contextlib.contextmanager
def watched(model: nn.Module) -> Iterator[Watch]:
    """Note every forward, backward and step of ``model`` within the block; nothing is changed by it.

    Any optimizer that moves the model's first weight is seen, wherever it was made.
    """
    watch = Watch()
    weight = next(model.parameters())

    def note(kind: str, **more: object) -> None:
        gradient = None if weight.grad is None else weight.grad.detach().clone()
        now = (weight.detach().clone(), gradient, model.training, torch.is_grad_enabled())
        watch.append(Event(kind, *now, **more))  # type: ignore[arg-type]

    def before_step(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        if any(p is weight for group in optimizer.param_groups for p in group["params"]):
            note("step", optimizer=optimizer)

    handles = [
        model.register_forward_pre_hook(lambda module, args: note("forward", idx=args[0])),
        weight.register_post_accumulate_grad_hook(lambda p: note("backward")),
        register_optimizer_step_pre_hook(before_step),
    ]
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


def gradient_at(weight: Tensor, x: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """The gradient (V, V) of a `Bigram`'s loss, by the formula: softmax minus one-hot, summed over the rows.

    Worked out without autograd, so that it does not depend on what a learner did to it.
    """
    scores = weight[x.flatten()]  # (B * T, V)
    errors = scores.softmax(dim=-1) - nn.functional.one_hot(y.flatten(), weight.shape[1])
    total = torch.zeros_like(weight).index_add_(0, x.flatten(), errors.to(weight.dtype))
    return total / y.numel() if reduction == "mean" else total


def loss_at(weight: Tensor, x: Tensor, y: Tensor) -> float:
    """The mean loss of a `Bigram` in nats per token."""
    return -weight[x].log_softmax(dim=-1).gather(-1, y[..., None]).mean().item()
