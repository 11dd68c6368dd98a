"""One step of training: with a clipped gradient (05-3), and from several small batches (05-5)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import call, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import alike, difference
from course_lib.exercises.judge.values import near, same_number
from course_lib.exercises.judge.watching import Bigram, Event, Watch, gradient_at, loss_at, watched

X = torch.tensor([[0, 1, 2, 3], [4, 3, 2, 0]])
Y = torch.tensor([[1, 2, 3, 3], [3, 2, 0, 2]])
SHORT, LONG = 0.1, 10.0
"""A max_norm that the gradient is far above, and one that it is far below."""


def _leftover(model: Bigram) -> Tensor:
    """Plant the gradient of an earlier round, as a loop would have left it."""
    leftover = torch.zeros_like(model.table.weight)
    leftover[0, 0] = 0.5
    model.table.weight.grad = leftover.clone()
    return leftover


def _run(function: Callable[..., Any], shown: str, *args: Any) -> tuple[Any, Watch, Bigram, Tensor]:
    """Let a learner's function take its step: what it returned, what happened, the model, the planted leftover."""
    model = Bigram()
    leftover = _leftover(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with watched(model) as watch:
        returned = call(function, model, optimizer, *args, shown=shown)
    return returned, watch, model, leftover


def _the_step(watch: Watch) -> Event:
    """The one step, after a forward and a backward, with a gradient; `Wrong` where it is not like that."""
    for kind, words in {
        "forward": "The model was never called: step two is model(x).",
        "backward": "loss.backward() was never called, so there is no new gradient.",
        "step": "optimizer.step() was never called: no weight has moved.",
    }.items():
        if not watch.of(kind):
            raise Wrong(words)
    (step, *further) = watch.of("step")
    if watch.index(step) < watch.index(watch.of("backward")[0]):
        raise Wrong("optimizer.step() came before backward(): it moved the weights by an old gradient.")
    if further:
        raise Wrong(f"optimizer.step() was called {1 + len(further)} times; once is asked for, at the end.")
    if step.gradient is None or not step.gradient.any():
        raise Wrong(
            "backward() wrote the gradients, and optimizer.step() found none: zero_grad() stands between the two. It "
            "belongs at the beginning."
        )
    return step


def _judge_clipped(attempt: Any) -> str:
    clipped_step = need_function(attempt, "clipped_step(model, optimizer, x, y, max_norm)")
    shown = f"clipped_step(model, optimizer, x, y, max_norm={SHORT})"
    returned, watch, model, leftover = _run(clipped_step, shown, X, Y, SHORT)
    step = _the_step(watch)
    written = watch.of("backward")[-1].gradient
    _same_gradient(written, watch[0].weight, leftover)
    _is_clipped(step.gradient, written, model.table.weight.grad)
    before, after = loss_at(watch[0].weight, X, Y), loss_at(model.table.weight.detach(), X, Y)
    late = (after, "That is the loss after the step. Return the one that was computed before it.")
    same_number(returned, before, f"What {shown} returned", [late])
    _, watch, _, _ = _run(clipped_step, shown, X, Y, LONG)
    if not alike(_the_step(watch).gradient, watch.of("backward")[-1].gradient):
        raise Wrong(
            f"With max_norm={number(LONG)} the gradient, of norm {number(written.norm().item())}, is short enough and "
            "should reach step() as it is; yours was changed. Only a longer one is shortened."
        )
    return (
        "Forget, forward, loss, backward, clip, step. Clipping keeps the gradient's direction and limits its length, "
        "so one strange batch cannot throw the weights far away."
    )


def _same_gradient(written: Tensor, weight: Tensor, leftover: Tensor) -> None:
    """Whether backward wrote the gradient of the mean loss on (X, Y), and that alone."""
    expected = gradient_at(weight, X, Y)
    if alike(written, expected):
        return
    known = [
        (expected + leftover, "A gradient of the round before is still in it: begin with optimizer.zero_grad()."),
        (gradient_at(weight, X, X), "The loss compares the guesses with x. The targets are y."),
        (gradient_at(weight, X[:, :-1], Y[:, 1:]), "y is x shifted already: do not shift it once more."),
        (gradient_at(weight, X, Y, "sum"), "That is the gradient of the sum over all places; the loss is their mean."),
        (-expected, "It has the wrong sign: the loss itself goes backward, not its negative."),
    ]
    words = next((words for wrong, words in known if alike(written, wrong)), "")
    if not words and alike(written - expected, leftover * (written - expected).norm() / leftover.norm()):
        words = known[0][1]  # what was left over, shortened: clipped before backward
    raise Wrong(
        f"The gradient after backward() is not that of cross_entropy(model(x), y): {difference(written, expected)}. "
        f"{words}".rstrip()
    )


def _is_clipped(used: Tensor, written: Tensor, left: Tensor | None) -> None:
    """Whether the gradient that step() used is the written one, shortened to SHORT."""
    length = used.norm().item()
    if alike(used, written):
        late = left is not None and left.norm().item() <= SHORT * 1.001
        words = (
            "It was clipped after the step, when the weights had moved already."
            if late
            else "Clip between backward() and step(): before backward() there is nothing to clip yet."
        )
        raise Wrong(f"The gradient came to step() with the norm {number(length)}, and max_norm is {SHORT}. {words}")
    cosine = (used * written).sum() / (used.norm() * written.norm())
    if cosine < 0.9999:
        raise Wrong(
            "The clipped gradient points another way than before: its entries were cut one by one. clip_grad_norm_ "
            "shortens the whole and keeps its direction; clip_grad_value_ does not."
        )
    if not near(length, SHORT, rel=0.01):
        raise Wrong(
            f"The gradient came to step() with the norm {number(length)}; max_norm is {SHORT}, and a longer gradient "
            "should be shortened to exactly that."
        )


CLIPPED = Exercise(
    id="05-3",
    title="A step that cannot leap",
    difficulty="easy",
    minutes=8,
    attempt="clipped_step",
    expects="your function clipped_step(model, optimizer, x, y, max_norm) itself, without calling it",
    hints=(
        "Write the five steps first. Which of them writes the gradients, and which uses them? Clip between the two.",
        "`torch.nn.utils.clip_grad_norm_(parameters, max_norm)` shortens all gradients together, in place.",
        "The weights are `model.parameters()`. `loss.item()` turns the loss into a plain number.",
    ),
    judge=_judge_clipped,
)

MICRO = tuple(zip(X.split(1), Y.split(1), strict=True)) + (
    (torch.tensor([[1, 1, 4, 2]]), torch.tensor([[1, 4, 2, 0]])),
    (torch.tensor([[3, 0, 0, 1]]), torch.tensor([[0, 0, 1, 3]])),
)
"""Four micro-batches of one window each."""


def _judge_accumulated(attempt: Any) -> str:
    accumulated_step = need_function(attempt, "accumulated_step(model, optimizer, micro_batches)")
    shown = f"accumulated_step(model, optimizer, micro_batches), with {len(MICRO)} micro-batches,"
    returned, watch, _, leftover = _run(accumulated_step, shown, list(MICRO))
    if any(event.idx.shape[0] > 1 for event in watch.of("forward")):
        raise Wrong("The model was given several micro-batches at once: that takes the memory you want to spare.")
    forwards, backwards = len(watch.of("forward")), len(watch.of("backward"))
    if watch.of("step") and 0 < forwards < len(MICRO):
        raise Wrong(f"Of {len(MICRO)} micro-batches the model was given {forwards}. Look at the loop.")
    if len(watch.of("step")) > 1:
        raise Wrong(
            f"optimizer.step() was called {len(watch.of('step'))} times. Each call moves the weights; one large batch "
            "would move them once. It belongs after the loop."
        )
    step = _the_step(watch)
    if backwards < forwards:
        raise Wrong(
            f"The model was called {forwards} times and backward() ran {backwards} times. Until backward() runs, all "
            "that the forward pass computed stays in memory: call it for each micro-batch, inside the loop."
        )
    _same_accumulated(step.gradient, step.weight, leftover)
    losses = [loss_at(step.weight, x, y) for x, y in MICRO]
    mean = sum(losses) / len(losses)
    known = [
        (sum(losses), "That is the sum; the loss of the large batch is the mean."),
        (mean / len(MICRO), "It was divided twice."),
        (losses[-1], "That is the last micro-batch alone."),
        (losses[-1] / len(MICRO), "That is the last micro-batch alone, divided."),
    ]
    same_number(returned, mean, f"What {shown} returned", known)
    return (
        "Gradients add up until someone forgets them, and here that is wanted. Dividing each loss by the number of "
        "micro-batches turns the sum into the mean, so the weights move exactly as by one large batch."
    )


def _same_accumulated(used: Tensor, weight: Tensor, leftover: Tensor) -> None:
    """Whether step() used the gradient of the mean loss over all micro-batches, and that alone."""
    count = len(MICRO)
    expected = gradient_at(weight, torch.cat([x for x, _ in MICRO]), torch.cat([y for _, y in MICRO]))
    if alike(used, expected):
        return
    last = gradient_at(weight, *MICRO[-1])
    undivided = f"It is {count} times as long: divide each loss by the number of micro-batches, before backward()."
    inside = "It is that of the last micro-batch alone: zero_grad() inside the loop threw the others away."
    kept = "A gradient of the round before is still in it: begin with optimizer.zero_grad(), once, before the loop."
    known = [
        (expected * count, undivided),
        (expected / count, "It was divided by the number of micro-batches twice; once is enough."),
        (last, inside),
        (last / count, inside),
        (expected + leftover, kept),
        (expected * count + leftover, kept),
    ]
    words = next((words for wrong, words in known if alike(used, wrong)), "")
    raise Wrong(
        f"The gradient that step() used is not that of one batch with all windows: {difference(used, expected)}. "
        f"{words}".rstrip()
    )


ACCUMULATED = Exercise(
    id="05-5",
    title="Many small batches make a large one",
    difficulty="medium",
    minutes=12,
    attempt="accumulated_step",
    expects="your function accumulated_step(model, optimizer, micro_batches) itself, without calling it",
    hints=(
        "`backward()` adds to the gradients that are there. Call it once for each micro-batch.",
        "`zero_grad()` comes once, before the loop, and `step()` once, after it.",
        "The loss of the large batch is the mean of the small losses: divide each by `len(micro_batches)` before "
        "`backward()`, and add up `.item()` of each for what you return.",
    ),
    judge=_judge_accumulated,
)
