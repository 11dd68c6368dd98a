"""A loop with three faults in what it saves (06-6): which are left is read off what the resumed run does."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.tensors import alike
from course_lib.exercises.judge.watching import Bigram, watched

FIRST, SECOND = 4, 3
"""Steps before the stop, and after it."""

COUNT = "One batch comes twice: after {n} completed steps, the next step has the number {n}. What should be saved?"
MEMORY = "Adam's memory does not come back: the first step after the stop is that of an optimizer that knows nothing."
ALIAS = "What was saved changes when the model trains on. Is state_dict() a copy?"


class _Batches:
    """Batches that write down which steps were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batch(self, step: int, micro: int = 0) -> tuple[Tensor, Tensor]:
        if isinstance(step, bool) or not isinstance(step, int):
            raise Wrong(f"batches.batch should be asked for a step, a whole number; it was {described(step)}.")
        self.asked.append(step)
        x = torch.randint(5, (2, 4), generator=torch.Generator().manual_seed(100 + step))
        return x, (x + 1) % 5


def _new() -> tuple[Bigram, torch.optim.Optimizer]:
    model = Bigram()
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def _memory(model: Bigram, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in optimizer.state[model.table.weight].items()}


def _same_memory(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(alike(a[name], b[name]) for name in a)


class _Leg:
    """One call of the learner's function: what it asked for, began with and left."""

    def __init__(self, go_on: Callable[..., Any], model: Bigram, optimizer: Any, saved: Any, steps: int) -> None:
        batches = _Batches()
        name = "None" if saved is None else "saved"
        shown = f"go_on(model, optimizer, batches, saved={name}, steps={steps})"
        starts: list[dict[str, Tensor]] = []
        handle = optimizer.register_step_pre_hook(lambda *_: starts.append(_memory(model, optimizer)))
        try:
            with watched(model) as watch:
                self.saved = call(go_on, model, optimizer, batches, saved, steps, shown=shown)
        finally:
            handle.remove()
        if len(watch.of("step")) != steps or len(starts) != steps or len(batches.asked) != steps:
            raise Wrong(
                f"{shown} should take {steps} steps with the optimizer that it is given, one batch each; it asked for "
                f"{len(batches.asked)} batches and took {len(starts)} steps."
            )
        if any(event.gradient is None or not event.gradient.any() for event in watch.of("step")):
            raise Wrong(f"{shown}: a step found no gradient. zero_grad, then backward, then step.")
        self.asked, self.memory = batches.asked, starts[0]
        self.weight = watch.of("forward")[0].weight
        self.left = model.table.weight.detach().clone()


def _judge_repair(attempt: Any) -> str:
    go_on = need_function(attempt, "go_on(model, optimizer, batches, saved, steps)")
    model, optimizer = _new()
    first = _Leg(go_on, model, optimizer, None, FIRST)
    if first.asked != list(range(FIRST)):
        raise Wrong(
            f"A new run of {FIRST} steps should ask for the batches 0 to {FIRST - 1}; it asked for {first.asked}."
        )
    memory = _memory(model, optimizer)
    if first.saved is None or first.saved is ... or isinstance(first.saved, (str, int, float, Tensor)):
        hint = " Does the function end with return?" if first.saved is None else ""
        raise Wrong(
            f"Expected is that go_on returns what must survive, a dict; it returned {described(first.saved)}.{hint}"
        )
    _train_on(model, optimizer)
    second = _leg_from(go_on, first.saved)
    alias = not alike(second.weight, first.left)
    known = set(second.memory) >= {"exp_avg", "exp_avg_sq"}
    alias_of_memory = known and not _same_memory(second.memory, memory)
    faults = {
        MEMORY: not known,
        ALIAS: alias or alias_of_memory,
        COUNT.format(n=FIRST): second.asked[0] != FIRST,
    }
    left = [words for words, is_there in faults.items() if is_there]
    if len(left) == 3:
        raise Unattempted("All three faults are still in the loop.")
    if left:
        mended = 3 - len(left)
        more = " (The model's is a copy now; the optimizer's is not.)" if left[0] == ALIAS and not alias else ""
        raise Wrong(f"{mended} of 3 faults {'is' if mended == 1 else 'are'} mended. What is left: {left[0]}{more}")
    _is_sound(go_on, first, second)
    return (
        "The resumed run is the run that never stopped. None of the three raised an error: a jump of the loss, one "
        "batch read twice, a best that is the last. That is why a resume is tested for equality."
    )


def _train_on(model: Bigram, optimizer: torch.optim.Optimizer) -> None:
    """The old model goes on living, and its optimizer writes into its memory."""
    for step in (70, 71):
        x, y = _Batches().batch(step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
        optimizer.step()


def _leg_from(go_on: Callable[..., Any], saved: Any) -> _Leg:
    model, optimizer = _new()
    with torch.no_grad():
        model.table.weight.zero_()  # what is not restored shows
    return _Leg(go_on, model, optimizer, saved, SECOND)


def _is_sound(go_on: Callable[..., Any], first: _Leg, second: _Leg) -> None:
    """The three faults are gone; no new one should have come."""
    if second.asked != list(range(FIRST, FIRST + SECOND)):
        raise Wrong(f"The three faults are gone, but after {FIRST} steps it asked for the batches {second.asked}.")
    whole = _Leg(go_on, *_new(), None, FIRST + SECOND)
    if not alike(second.left, whole.left):
        raise Wrong(
            "The three faults are gone, but the resumed run ends with other weights than one that never stopped."
        )
    third = _leg_from(go_on, first.saved)
    if third.asked != second.asked or not alike(third.left, second.left):
        raise Wrong(
            "The three faults are gone, but going on from saved a second time gives another run: the first time has "
            "changed it. load_state_dict of an optimizer takes the tensors themselves: give it copies."
        )


REPAIR = Exercise(
    id="06-6",
    title="A save with three faults",
    difficulty="medium",
    minutes=12,
    attempt="go_on",
    expects="your function go_on(model, optimizer, batches, saved, steps) itself, without calling it",
    hints=(
        "Write down what must survive, and look for each piece in `return` and after `if saved`.",
        "After the loop `step` is the number of the last step that was taken. Which one comes next?",
        "`copy.deepcopy(optimizer.state_dict())` is a copy. `load_state_dict` of an optimizer uses the tensors that it "
        "is handed, so hand it a copy there as well.",
    ),
    judge=_judge_repair,
)
