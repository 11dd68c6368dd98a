"""Scoring without learning: the validation loss (05-4), and the loss at each place of the window (05-7)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import alike, need_tensor, same_tensor
from course_lib.exercises.judge.values import same_number
from course_lib.exercises.judge.watching import Bigram, Watch, loss_at, watched

Batches = list[tuple[Tensor, Tensor]]

UNEVEN: Batches = [
    (rows[:, :-1], rows[:, 1:])
    for rows in (
        torch.tensor([[0, 1, 2, 3, 3], [4, 3, 2, 0, 2], [1, 1, 4, 2, 0]]),
        torch.tensor([[3, 0, 0, 1, 3], [2, 4, 0, 3, 1]]),
        torch.tensor([[4, 2, 4]]),
    )
]
"""12, 8 and 2 targets: the tail of a text is rarely a full batch."""


def _score(function: Callable[..., Any], shown: str, batches: Any, training: bool = True) -> tuple[Any, Watch, Bigram]:
    model = Bigram(vocab_size=7, dropout=0.5).train(training)
    with watched(model) as watch:
        returned = call(function, model, batches, shown=shown)
    return returned, watch, model


def _is_careful(watch: Watch, model: Bigram, n_batches: int) -> None:
    """Whether every batch was scored, in evaluation mode, without gradients, and the model left as it was."""
    calls = watch.of("forward")
    if len(calls) < n_batches:
        look = " Is there a return inside the loop?" if calls else " The guesses are model(x)."
        raise Wrong(f"There are {n_batches} batches, and the model was called {len(calls)} times.{look}")
    if any(event.training for event in calls):
        raise Wrong(
            "The model was in training mode while it was scored: dropout switched off a part of it at random. Call "
            "model.eval() before the loop."
        )
    if any(event.recorded for event in calls):
        raise Wrong(
            "Gradients were recorded while the model was scored. Nobody will ask for them, and they cost memory: put "
            "the loop under `with torch.no_grad():`."
        )
    if watch.of("step") or watch.of("backward"):
        raise Wrong("Scoring must not train: there is a backward() or a step() too many.")
    if not model.training:
        raise Wrong(
            "The model was in training mode before, and is in evaluation mode now: training would go on without "
            "dropout. Remember model.training at the start, and put it back with model.train(...)."
        )


def _stays_in_evaluation(function: Callable[..., Any], shown: str, batches: Batches) -> None:
    if _score(function, shown, batches, training=False)[2].training:
        raise Wrong(
            "The model was in evaluation mode before, and is in training mode now. Do not always end with "
            "model.train(): remember model.training at the start, and put that back."
        )


def _takes_a_generator(function: Callable[..., Any], shown: str, batches: Batches, expected: Any) -> None:
    """The library's batches come one by one: there is no len(), and they can be gone through only once."""
    with_a_list = "With a list of batches it works. The library's batches come one by one, from a generator, and then"
    try:
        came = torch.as_tensor(_score(function, shown, (batch for batch in batches))[0])
    except Wrong as what:
        raise Wrong(f"{with_a_list} {what}") from None
    if not alike(came, torch.as_tensor(expected)):
        raise Wrong(f"{with_a_list} it returns something else: go through the batches once, in one loop.")


def _judge_validation(attempt: Any) -> str:
    validation_loss = need_function(attempt, "validation_loss(model, batches)")
    sizes = ", ".join(str(y.numel()) for _, y in UNEVEN)
    shown = f"validation_loss(model, batches), with batches of {sizes} targets,"
    returned, watch, model = _score(validation_loss, shown, UNEVEN)
    _is_careful(watch, model, len(UNEVEN))
    weight = model.table.weight.detach()
    losses = [loss_at(weight, x, y) for x, y in UNEVEN]
    targets, rows = [y.numel() for _, y in UNEVEN], [len(y) for _, y in UNEVEN]
    total = sum(loss * n for loss, n in zip(losses, targets))
    by_rows = sum(loss * n for loss, n in zip(losses, rows)) / sum(rows)
    known = [
        (sum(losses) / len(losses), "That is the mean of the batches' losses: a batch of 2 targets counts as much as "
         "one of 12. Weight each by its number of targets, y.numel()."),
        (by_rows, "Each batch was weighted by its rows; rows may be shorter. Count targets: y.numel()."),
        (sum(losses), "That is the sum of the batches' losses, not a mean."),
        (total, "That is the sum over all targets: divide by how many there are."),
        (total / len(losses), "Divide by the number of targets, not by the number of batches."),
        (losses[-1], "That is the last batch alone."),
        (losses[0], "That is the first batch alone."),
    ]  # fmt: skip
    same_number(returned, total / sum(targets), f"What {shown} returned", known)
    _stays_in_evaluation(validation_loss, shown, UNEVEN)
    _takes_a_generator(validation_loss, shown, UNEVEN, returned)
    return (
        "Evaluation mode, no gradients, every target counted once, and the model given back as it was. The library's "
        "mean_loss does the same; show(mean_loss) to compare."
    )


VALIDATION = Exercise(
    id="05-4",
    title="The validation loss",
    difficulty="medium",
    minutes=10,
    attempt="validation_loss",
    expects="your function validation_loss(model, batches) itself, without calling it",
    hints=(
        "Before the loop: note `model.training`, then `model.eval()`. Around it: `with torch.no_grad():`.",
        "Two running sums do it: the loss times the number of targets, and the number of targets, `y.numel()`.",
        "After the loop: `model.train(was_training)`, then return one sum over the other. `.item()` makes a loss a "
        "number.",
    ),
    judge=_judge_validation,
)

SAME_LENGTH: Batches = UNEVEN[:2]
"""Three windows and two windows, of four places; seven tokens: no two sizes are alike."""


def _judge_by_position(attempt: Any) -> str:
    loss_by_position = need_function(attempt, "loss_by_position(model, batches)")
    T = SAME_LENGTH[0][0].shape[1]
    shown = f"loss_by_position(model, batches), with batches of 3 and 2 windows of {T} places,"
    returned, watch, model = _score(loss_by_position, shown, SAME_LENGTH)
    _is_careful(watch, model, len(SAME_LENGTH))
    result = need_tensor(returned, f"What {shown} returned")
    if result.ndim == 0:
        raise Wrong("It returned one number: the places were averaged too. Take the mean over windows only, dim=0.")
    if tuple(result.shape) in {(len(y),) for _, y in SAME_LENGTH} | {(sum(len(y) for _, y in SAME_LENGTH),)}:
        raise Wrong(
            f"It returned the shape {tuple(result.shape)}, one loss for each window: it was averaged over the places. "
            f"Average over the windows, dim=0, so that {T} places are left."
        )
    need_tensor(result, f"What {shown} returned", (T,), "(T,): one loss for each place of the window")
    weight = model.table.weight.detach()
    parts = [_losses(weight, x, y) for x, y in SAME_LENGTH]  # each (B, T)
    joined = torch.cat(parts)
    same_tensor(result, joined.mean(dim=0), "The loss by place", _known_slips(weight, parts))
    _stays_in_evaluation(loss_by_position, shown, SAME_LENGTH)
    _takes_a_generator(loss_by_position, shown, SAME_LENGTH, returned)
    return (
        "One mean for each place, over all windows. In a trained model the first places are the worst: there is little "
        "to go by yet. That is why a longer block_size helps, and why it helps less and less."
    )


def _losses(weight: Tensor, x: Tensor, y: Tensor, dim: int = -1) -> Tensor:
    """(B, T): the loss at each place of each window; ``dim`` is where the softmax is taken."""
    return -weight[x].log_softmax(dim=dim).gather(-1, y[..., None]).squeeze(-1)


def _known_slips(weight: Tensor, parts: list[Tensor]) -> list[tuple[Tensor, str]]:
    joined = torch.cat(parts)
    over_places = torch.cat([_losses(weight, x, y, dim=1) for x, y in SAME_LENGTH]).mean(dim=0)
    over_windows = torch.cat([_losses(weight, x, y, dim=0) for x, y in SAME_LENGTH]).mean(dim=0)
    softmax = "The softmax was taken over the {}: probabilities should sum to 1 over the vocabulary, dim=-1."
    return [
        (over_places, softmax.format("places")),
        (over_windows, softmax.format("windows")),
        (torch.stack([part.mean(dim=0) for part in parts]).mean(dim=0), "That is the mean of two batches' means, and "
         "they have 3 and 2 windows. Weight each batch by its windows, or join them all first."),
        (joined.sum(dim=0), "That is the sum over the windows: divide by how many there are."),
        (torch.stack([part.mean(dim=0) for part in parts]).sum(dim=0), "That is the sum of the batches' means."),
        (-joined.mean(dim=0), "The sign is wrong: a loss is minus the logarithm of a probability."),
        ((-joined).exp().mean(dim=0), "These are probabilities of the truth: the loss is minus their logarithm."),
        (parts[-1].mean(dim=0), "That is the last batch alone."),
        (parts[0].mean(dim=0), "That is the first batch alone."),
    ]  # fmt: skip


BY_POSITION = Exercise(
    id="05-7",
    title="Loss by place",
    difficulty="hard",
    minutes=20,
    attempt="loss_by_position",
    expects="your function loss_by_position(model, batches) itself, without calling it",
    hints=(
        "The first cells of this chapter compute the loss by hand, with `softmax` and `gather`. Stop before the mean: "
        "there is one loss for each window and place, (B, T).",
        "`log_softmax(dim=-1)` is over the vocabulary. After `gather`, `squeeze(-1)` takes the last dimension away.",
        "Add up `.sum(dim=0)` of each batch, (T,), and count the windows. Divide at the end. The care is that of 05-4: "
        "evaluation mode, no gradients, and the mode put back.",
    ),
    judge=_judge_by_position,
)
