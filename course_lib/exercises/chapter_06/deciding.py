"""What must be saved (06-1), which loss is the best (06-3), and an order of examples that resumes (06-4)."""

from collections.abc import Callable
from typing import Any

from course_lib.exercises.chapter_02.rows import need_ids
from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong

WHY = {
    "the weights": (True, "Nothing else knows what was learned."),
    "m and v": (True, "They sum up all gradients so far; to compute them again is to train again."),
    "the learning rate": (False, "The schedule is a function of the step, and the settings say which function."),
    "the number of completed steps": (True, "Nothing else tells where in the schedule and in the text the run is."),
    "the next batch": (False, "It follows from the seed, which is a setting, and from the step."),
    "the gradients": (False, "A step begins by forgetting them."),
    "dropout's chance": (False, "The generator is seeded anew at each step, from the seed and the step."),
    "the alphabet": (True, "Without it nobody knows which number is which character."),
    "the best loss so far": (True, "Otherwise the first loss after a crash is taken for the best, and overwrites it."),
}


def _judge_needed(attempt: Any) -> str:
    if not isinstance(attempt, dict):
        raise Wrong(f"Expected is {NEEDED.expects}. It got {described(attempt)}.")
    for name, (needed, why) in WHY.items():
        if name not in attempt:
            raise Wrong(f"Expected is {NEEDED.expects}; there is no answer for {name!r}.")
        answer = attempt[name]
        if answer is None or answer is ...:
            raise Wrong(f"{name!r} is still missing.")
        if not isinstance(answer, bool):
            raise Wrong(f"{name!r} should be True or False; it is {described(answer)}.")
        if answer != needed:
            verb = "must be saved" if needed else "need not be saved"
            raise Wrong(f"{name!r} {verb}. {why}")
    return (
        "Five things are needed, and four follow from them. What follows from something else is better not saved: two "
        "copies of one truth can differ."
    )


NEEDED = Exercise(
    id="06-1",
    title="Save it or not?",
    difficulty="easy",
    minutes=4,
    attempt="must_be_saved",
    expects="the dict of the cell, with True or False for each of its nine names",
    hints=(
        "For each one ask: could a new program compute it, from the settings and from what else was saved?",
        "The settings (the seed among them) are there. What is a function of the seed and the step?",
        "Four are False: what the schedule gives, what the seed and the step give (two of them), and what every step "
        "throws away.",
    ),
    judge=_judge_needed,
)

NAN = float("nan")
RUNS: tuple[tuple[list[float | None], float | None, list[int], str], ...] = (
    ([2.6, 1.9, 2.2, 1.7], None, [0, 1, 3], "A new run has no best yet: its first loss is the best so far."),
    ([2.3, 2.4, 1.8], 1.9, [2], "The run had a best of 1.9 before it was stopped. What is worse may not replace it."),
    ([2.0, 2.0, 1.5], None, [0, 2], "A loss that is as good is not better: the file that is there can stay."),
    ([None, 2.0, None, 1.0], None, [1, 3], "None means that nothing was measured."),
    ([2.0, NAN, 1.5, NAN], None, [0, 2], "NaN is no number: it is never the best."),
    ([NAN, 2.0, 1.5], None, [1, 2], "If NaN is once taken for the best, nothing is ever better: comparisons with NaN "
     "are False."),
    ([0.5, 0.3], 0.0, [], "0.0 is a best, too. Python takes it for false: ask `is None` instead."),
)  # fmt: skip


def _judge_best(attempt: Any) -> str:
    best_saves = need_function(attempt, "best_saves(losses, best)")
    for losses, best, expected, words in RUNS:
        given = list(losses)
        shown = f"best_saves({losses}, best={best})".replace("nan", "NaN")
        got = need_ids(call(best_saves, given, best, shown=shown), f"What {shown} returned")
        if [repr(loss) for loss in given] != [repr(loss) for loss in losses]:
            raise Wrong(f"{shown} changed the list that it was given.")
        if got != expected:
            if expected and got == [expected[-1]] and len(expected) > 1:
                words = "Every new best is written when it comes: nobody knows yet what will follow."
            elif got and set(got) <= {losses[place] for place in expected}:
                words = "Those are the losses; asked for are their places, counted from 0."
            elif expected and got == [place + 1 for place in expected]:
                words = "Places are counted from 0."
            raise Wrong(f"{shown} should be {expected}; it is {got}. {words}")
    return (
        "The best is written only when something is truly lower than every loss so far, those before a crash included. "
        "So the best loss belongs to the state."
    )


BEST = Exercise(
    id="06-3",
    title="The best so far",
    difficulty="easy",
    minutes=8,
    attempt="best_saves",
    expects="your function best_saves(losses, best) itself, without calling it",
    hints=(
        "Go through the losses with `enumerate`. Two kinds are left out first: None, and NaN (`math.isnan` tells).",
        "A loss is kept if `best is None or loss < best`. Then it is the new best.",
        "`if loss is None or math.isnan(loss): continue`; then the test of hint 2; then `best = loss` and append the "
        "place.",
    ),
    judge=_judge_best,
)

N, B = 24, 4
PER_EPOCH = N // B


def _draw(epoch_batch: Callable[..., Any], seed: int, step: int) -> tuple[int, ...]:
    shown = f"epoch_batch(seed={seed}, step={step}, batch_size={B}, n_examples={N})"
    row = need_ids(call(epoch_batch, seed, step, B, N, shown=shown), f"What {shown} returned")
    if len(row) != B:
        raise Wrong(f"{shown} should return {B} examples; it returned {len(row)}.")
    if outside := [one for one in row if not 0 <= one < N]:
        raise Wrong(f"{shown} should return numbers from 0 to {N - 1}; one is {outside[0]}.")
    return tuple(row)


def _judge_epochs(attempt: Any) -> str:
    epoch_batch = need_function(attempt, "epoch_batch(seed, step, batch_size, n_examples)")
    forward = [_draw(epoch_batch, 3, step) for step in range(3 * PER_EPOCH)]
    if any(_draw(epoch_batch, 3, step) != forward[step] for step in reversed(range(3 * PER_EPOCH))):
        raise Wrong(
            "Asked a second time for the same seed and step, it returned other examples: it depends on what was drawn "
            "before. Make a generator of your own, anew in each call."
        )
    epochs = [sum(forward[i : i + PER_EPOCH], ()) for i in range(0, len(forward), PER_EPOCH)]
    for number, epoch in enumerate(epochs):
        twice = [one for one in epoch if epoch.count(one) > 1]
        if twice:
            raise Wrong(
                f"With {N} examples and batches of {B}, an epoch has {PER_EPOCH} steps. In epoch {number} example "
                f"{twice[0]} comes {epoch.count(twice[0])} times: all steps of an epoch must cut their share out of "
                "one and the same order."
            )
    if epochs[0] == tuple(range(N)):
        raise Wrong("The first epoch is in the order of the data. Mix it: rng.permutation(n_examples).")
    if epochs[0] == epochs[1] or epochs[1] == epochs[2]:
        raise Wrong("Every epoch has the same order. Make the generator from the number of the epoch as well.")
    if epochs[0] == sum((_draw(epoch_batch, 4, step) for step in range(PER_EPOCH)), ()):
        raise Wrong("Seed 3 and seed 4 give the same order. Make the generator from the seed as well.")
    if epochs[1] == sum((_draw(epoch_batch, 4, step) for step in range(PER_EPOCH)), ()):
        raise Wrong(
            "Seed 3, epoch 1 and seed 4, epoch 0 have the same order. Where the two are added, different pairs give "
            "one number: hand both over, [seed, epoch]."
        )
    return (
        "Every example once in each epoch, in another order each time, and still nothing to save: a run that was "
        "killed in the middle of an epoch goes on in the middle, and reads no example twice."
    )


EPOCHS = Exercise(
    id="06-4",
    title="Epochs that can be resumed",
    difficulty="medium",
    minutes=12,
    attempt="epoch_batch",
    expects="your function epoch_batch(seed, step, batch_size, n_examples) itself, without calling it",
    hints=(
        "How many steps has an epoch? From that and `step`: which epoch is it, and which step within the epoch?",
        "`divmod(step, n_examples // batch_size)` gives both numbers.",
        "`np.random.default_rng([seed, epoch]).permutation(n_examples)` is the order of that epoch, the same at every "
        "call. Cut the batch out of it.",
    ),
    judge=_judge_epochs,
)
