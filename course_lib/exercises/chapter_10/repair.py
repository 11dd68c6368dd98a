"""An epoch loop with three faults (10-4): which are left is read off the losses and weights that it leads to."""

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.patience import patience
from course_lib.exercises.judge.values import near, need_number

EPOCHS, LR = 3, 0.1
SHOWN = f"train_epochs(model, optimizer, batches, val_x, val_y, epochs={EPOCHS})"
Batches = list[tuple[Tensor, Tensor]]

ADDS_UP = (
    "Gradients add up over all batches so far: the third step follows the sum of three. backward() adds to what is "
    "there; somebody has to clear it."
)
NOT_BACK = (
    "From the second epoch on the model trains in evaluation mode: BatchNorm no longer uses its batch, and dropout "
    "drops nothing. Validation switched it, and nobody switched it back."
)
IN_TRAINING = (
    "Validation runs in training mode: BatchNorm then looks at the validation batch, remembers it as if it had been "
    "trained on, and dropout spoils the score."
)
FAULTS = (ADDS_UP, NOT_BACK, IN_TRAINING)


def _setting() -> tuple[nn.Module, Batches, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(28, 4, generator=generator), torch.randint(3, (28,), generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    return model, [(x[i : i + 6], y[i : i + 6]) for i in (0, 6, 12)], x[18:], y[18:]


def _reference(faults: tuple[bool, bool, bool]) -> tuple[list[float], list[Tensor]]:
    """Validation losses, and weights and statistics afterwards, of a loop with those of `FAULTS`."""
    model, batches, val_x, val_y = _setting()
    optimizer = torch.optim.SGD(model.parameters(), LR)
    adds_up, not_back, in_training = faults
    torch.manual_seed(0)
    losses = []
    model.train()
    for _ in range(EPOCHS):
        if not not_back:
            model.train()
        for x, y in batches:
            if not adds_up:
                optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        if not in_training:
            model.eval()
        with torch.no_grad():
            losses.append(F.cross_entropy(model(val_x), val_y).item())
    return losses, list(model.state_dict().values())


def _same(got: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-6) for a, b in zip(got, expected))


def _judge_repair(attempt: Any) -> str:
    train_epochs = need_function(attempt, "train_epochs(model, optimizer, batches, val_x, val_y, epochs)")
    model, batches, val_x, val_y = _setting()
    before = copy.deepcopy(list(model.state_dict().values()))
    optimizer = torch.optim.SGD(model.parameters(), LR)
    torch.manual_seed(0)
    with patience(train_epochs, SHOWN):
        returned = call(train_epochs, model, optimizer, batches, val_x, val_y, EPOCHS, shown=SHOWN)
    after = list(model.state_dict().values())
    if _same(after, before):
        raise Wrong(f"{SHOWN} moved no weight. The five steps should be taken for each batch.")
    left = _left(after, returned)
    if left is None:
        raise Wrong(
            "The weights afterwards are those of no loop that I know. In each epoch: model.train(), the five steps for "
            "each batch (zero_grad, model, loss, backward, step), model.eval(), and the validation loss without "
            "gradients."
        )
    if len(left) == len(FAULTS):
        raise Unattempted("All three faults are still in the loop.")
    if left:
        mended = len(FAULTS) - len(left)
        raise Wrong(f"{mended} of 3 faults {'is' if mended == 1 else 'are'} mended. What is left: {left[0]}")
    _need_losses(returned)
    return (
        "None of the three raises an error, and the loss may even fall with all of them. Each mode belongs to its "
        "part: train() at the start of every epoch, eval() before every validation. Who writes train() once above the "
        "loop has it for one epoch."
    )


def _left(after: list[Tensor], returned: Any) -> list[str] | None:
    """The faults of the loop that leads to what came; None where it is none of the eight.

    Without ``eval()`` nothing has to be switched back, so that loop has the fault of not doing so as well.
    """
    losses = [float(v) for v in returned] if _are_numbers(returned) else None
    fitting = []
    for faults in itertools.product((False, True), repeat=3):
        expected, state = _reference(faults)
        if _same(after, state):
            exact = losses is not None and all(near(a, b) for a, b in zip(losses, expected))
            fitting.append((not exact, sum(faults), faults))
    if not fitting:
        return None
    faults = min(fitting)[2]
    if faults == (True, False, True):
        faults = (True, True, True)
    return [words for words, is_there in zip(FAULTS, faults) if is_there]


def _are_numbers(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(v, (int, float)) for v in value)


def _need_losses(returned: Any) -> None:
    expected = _reference((False, False, False))[0]
    if not isinstance(returned, (list, tuple)):
        raise Wrong(
            f"The loop itself is right. {SHOWN} should return its list of validation losses; it is expected with "
            f"{EPOCHS} entries, and it is {described(returned)}."
        )
    if len(returned) != EPOCHS:
        raise Wrong(f"The loop itself is right. It should return {EPOCHS} losses; it returned {number(len(returned))}.")
    for epoch, (loss, right) in enumerate(zip(returned, expected)):
        got = need_number(loss, f"The validation loss of epoch {epoch}")
        if not near(got, right):
            raise Wrong(f"The validation loss of epoch {epoch} should be {number(right)}; it is {number(got)}.")


REPAIR = Exercise(
    id="10-4",
    title="An epoch loop with three faults",
    difficulty="medium",
    minutes=12,
    attempt="train_epochs",
    expects="your function train_epochs(model, optimizer, batches, val_x, val_y, epochs) itself, without calling it",
    hints=(
        "Count the five steps of the inner loop aloud. One is missing.",
        "In which mode is the model when it is validated? Say it for the first epoch.",
        "And once validation has its mode: in which mode does the second epoch train? Where does the line belong that "
        "switches back?",
    ),
    judge=_judge_repair,
)
