"""What the model is asked in one name (00-2)."""

from typing import Any

from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong

CASES = (("anna", 8), ("o", 8), ("maximilian", 8), ("anna", 2))
Pairs = list[tuple[str, str]]


def right(name: str, block_size: int) -> Pairs:
    """(what is seen, what comes) for each prediction; the end is ""."""
    return [(name[:i], name[i : i + 1]) for i in range(len(name) + 1)][:block_size]


def _judge_predictions(attempt: Any) -> str:
    predictions = need_function(attempt, "predictions(name, block_size)")
    for name, block_size in CASES:
        shown = f"predictions({name!r}, {block_size})"
        got = call(predictions, name, block_size, shown=shown)
        _compare(got, name, block_size, shown)
    return (
        "A name of n letters is n + 1 questions: the last one asks whether it ends here. Each question may look at all "
        "letters before it, and at none after. maximilian has eleven, and the model sees eight."
    )


def _compare(got: Any, name: str, block_size: int, shown: str) -> None:
    if not isinstance(got, (list, tuple)):
        hint = " Does the function end with return?" if got is None else ""
        raise Wrong(f"{shown} should be a list of pairs; it is {described(got)}.{hint}")
    for i, pair in enumerate(got):
        two_texts = isinstance(pair, (list, tuple)) and [type(part) for part in pair] == [str, str]
        if not two_texts:
            raise Wrong(f"Entry {i} of {shown} should be a pair of two texts; it is {described(pair)}.")
    pairs = [tuple(pair) for pair in got]
    expected = right(name, block_size)
    if pairs == expected:
        return
    every = right(name, len(name) + 1)
    known = (
        (every, f"The model sees {block_size} places at most: a longer name is cut after so many predictions."),
        (every[:-1][:block_size], "The last question is missing: after the whole name the end comes, the text ''."),
        (every[1:][:block_size], "The first question is missing: how does a name begin? Nothing is seen yet: ''."),
        (every[1:-1][:block_size], "The first and the last question are missing: a name begins, and it ends."),
        ([(seen[-1:], comes) for seen, comes in expected], "The model sees all letters so far, not the last alone."),
        ([(comes, seen) for seen, comes in expected], "They are turned round: first what is seen, then what comes."),
        ([(seen + comes, comes) for seen, comes in expected], "What comes is already in what is seen: the answer is "
         "given away."),
        ([(seen, name) for seen, _ in expected], "What comes is one letter, not the whole name."),
        ([(seen, name[len(seen) :]) for seen, _ in expected], "What comes is one letter, not all that is left."),
        (every[-block_size:], "It should be cut at its end: the first predictions count."),
    )  # fmt: skip
    for wrong, words in known:
        if pairs == wrong:
            raise Wrong(f"{shown}: {words}")
    if len(pairs) != len(expected):
        raise Wrong(f"{shown} should have {len(expected)} pairs; it has {len(pairs)}.")
    place = next(i for i, (a, b) in enumerate(zip(pairs, expected)) if a != b)
    raise Wrong(f"Pair {place} (counted from 0) of {shown} should be {expected[place]}; it is {pairs[place]}.")


PREDICTIONS = Exercise(
    id="00-2",
    title="The questions in a name",
    difficulty="easy",
    minutes=6,
    attempt="predictions",
    expects="your function predictions(name, block_size) itself, without calling it",
    hints=(
        "`name[:i]` is what is seen before letter `i`; for i = 0 it is `''`.",
        "Let `i` run from 0 to `len(name)`, that one included. `name[i:i + 1]` is `''` behind the last letter.",
        "Cut the list at its end with `[:block_size]`.",
    ),
    judge=_judge_predictions,
)
