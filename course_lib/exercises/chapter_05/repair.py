"""A loop with three faults (05-6): which are left is read off what the loop does, not off its text."""

from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.tensors import alike, difference
from course_lib.exercises.judge.values import need_number, same_number
from course_lib.exercises.judge.watching import Bigram, Watch, gradient_at, loss_at, watched

STEPS = 4
SHOWN = f"train_loop(model, batches, steps={STEPS})"


class ToyBatches:
    """Batches of two windows of three places, the same for a step."""

    def batch(self, step: int, micro: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(100 + step)
        rows = torch.randint(5, (2, 4), generator=generator)
        return rows[:, :-1], rows[:, 1:]


TARGETS = (
    "The loss compares the guesses with the tokens that went in. Copying them is easy, and its loss falls fast; what "
    "should be guessed is what comes next."
)
NO_GRADIENT = (
    "backward() writes gradients, and optimizer.step() finds none: they are thrown away in between. No weight moves, "
    "and the loss of one and the same batch never changes."
)
NEW_OPTIMIZER = (
    "Each step has a new optimizer. AdamW remembers earlier gradients, and here it forgets them all, every time: one "
    "optimizer should live as long as the loop."
)


def _judge_repair(attempt: Any) -> str:
    train_loop = need_function(attempt, "train_loop(model, batches, steps)")
    model, batches = Bigram(), ToyBatches()
    with watched(model) as watch:
        returned = call(train_loop, model, batches, STEPS, shown=SHOWN)
    _is_a_loop(watch)
    left = _faults(watch, batches)
    if len(left) == 3:
        raise Unattempted("All three faults are still in the loop.")
    if left:
        mended = 3 - len(left)
        raise Wrong(f"{mended} of 3 faults {'is' if mended == 1 else 'are'} mended. What is left: {left[0]}")
    _is_sound(watch, batches)
    _returns_losses(returned, watch, batches)
    return (
        "None of the three raised an error, and each has its sign: a loss too good too soon, a loss that never moves, "
        "a loss that falls more slowly than it should. Watching the loss is how such faults are found."
    )


def _is_a_loop(watch: Watch) -> None:
    for kind, name in {"forward": "The model was called", "backward": "backward() ran", "step": "step() ran"}.items():
        count = len(watch.of(kind))
        if count != STEPS:
            raise Wrong(f"In {SHOWN} {name} {count} times; it should be once a step, {STEPS} times.")


def _faults(watch: Watch, batches: ToyBatches) -> list[str]:
    """Which of the three faults the loop still has, in the order in which they hide one another."""
    x, y = batches.batch(0)
    start, first = watch.of("forward")[0].weight, watch.of("backward")[0].gradient
    steps = watch.of("step")
    found = {
        NO_GRADIENT: all(event.gradient is None or not event.gradient.any() for event in steps),
        TARGETS: not alike(first, gradient_at(start, x, y)) and alike(first, gradient_at(start, x, x)),
        NEW_OPTIMIZER: len({id(event.optimizer) for event in steps}) > 1,
    }
    return [words for words, is_there in found.items() if is_there]


def _is_sound(watch: Watch, batches: ToyBatches) -> None:
    """Whether each step used the gradient of its own batch, and nothing else."""
    for step, event in enumerate(watch.of("step")):
        expected = gradient_at(event.weight, *batches.batch(step))
        if event.gradient is None:
            raise Wrong(f"At step {step} optimizer.step() found no gradient. Forgetting belongs before backward().")
        if alike(event.gradient, expected):
            continue
        words = ""
        if step:
            words = "From step 1 on gradients add up where nobody forgets them: is there one zero_grad() in each round?"
        raise Wrong(
            f"The three faults are gone, but at step {step} the gradient is not that of batch {step}: "
            f"{difference(event.gradient, expected)}. {words}".rstrip()
        )


def _returns_losses(returned: Any, watch: Watch, batches: ToyBatches) -> None:
    if not isinstance(returned, (list, tuple)):
        raise Wrong(f"The loop itself is right. {SHOWN} should return its list of losses; it is {described(returned)}.")
    if len(returned) != STEPS:
        raise Wrong(f"The loop itself is right. It should return {STEPS} losses; it returned {number(len(returned))}.")
    for step, (loss, event) in enumerate(zip(returned, watch.of("forward"))):
        what = f"The loss of step {step}"
        same_number(need_number(loss, what), loss_at(event.weight, *batches.batch(step)), what)


REPAIR = Exercise(
    id="05-6",
    title="A loop with three faults",
    difficulty="medium",
    minutes=10,
    attempt="train_loop",
    expects="your function train_loop(model, batches, steps) itself, without calling it",
    hints=(
        "Say the five steps aloud and put a finger on each line. One line stands in the wrong place.",
        "Look at what goes into `cross_entropy`: which of its two should be the truth?",
        "What does AdamW remember from one step to the next, and where is it kept? How long does `optimizer` live?",
    ),
    judge=_judge_repair,
)
