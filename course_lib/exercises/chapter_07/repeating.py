"""No run of n tokens twice (07-5): which tokens may not come next."""

from typing import Any

from course_lib.exercises.chapter_07.rows import plain
from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong

CASES = (
    ([1, 2, 3, 1, 2], 3), ([1, 2, 3, 1, 2, 4, 1, 2], 3), ([5, 6, 7, 8], 3), ([4, 4, 4], 2), ([1, 4, 4], 2),
    ([1, 2, 1, 3, 1], 2),
    ([7, 8, 7], 1), ([9], 3), ([], 2), ([1, 2], 3), ([0, 1, 0, 1, 0], 4), ([2, 2, 2, 2], 3),
)  # fmt: skip


def _forbidden(tokens: list[int], n: int) -> set[int]:
    ending = tokens[len(tokens) - n + 1 :] if n > 1 else []
    if len(tokens) < n - 1:
        return set()
    return {tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == ending}


def _judge_forbidden(attempt: Any) -> str:
    forbidden = need_function(attempt, "forbidden(tokens, n)")
    for tokens, n in CASES:
        given = list(tokens)
        shown = f"forbidden({tokens}, n={n})"
        returned = call(forbidden, given, n, shown=shown)
        if given != tokens:
            raise Wrong(f"{shown} changed the list of tokens that it was given.")
        got, expected = _need_set(returned, f"What {shown} returned"), _forbidden(tokens, n)
        if got == expected:
            continue
        words = _words(tokens, n, got, expected)
        raise Wrong(f"{shown} should return {_told(expected)}; it returned {_told(got)}. {words}".rstrip())
    return (
        "With this a loop cannot go on: its second round would be a run that stands there already. But names and "
        "phrases may well come twice in a story, and are forbidden too: so it is a rough cure. "
        "(Hugging Face's transformers call it no_repeat_ngram_size.)"
    )


def _need_set(value: Any, what: str) -> set[int]:
    hint = " Does the function end with return?" if value is None else ""
    row = list(value) if isinstance(value, (set, frozenset)) else plain(value)
    if isinstance(row, dict) and not row:
        raise Wrong(f"{what} should be a set of ids; it is an empty dict. An empty set is set().")
    if not isinstance(row, list):
        raise Wrong(f"{what} should be a set of ids; it is {described(value)}.{hint}")
    for one in row:
        if isinstance(one, (tuple, list)):
            raise Wrong(f"{what} should hold single ids, the ones that may not come next; it holds whole runs.")
        if isinstance(one, bool) or not isinstance(one, int):
            raise Wrong(f"{what} should be a set of ids; it holds {described(one)}.")
    return set(row)


def _told(ids: set[int]) -> str:
    return "{" + ", ".join(map(str, sorted(ids))) + "}" if ids else "the empty set"


def _words(tokens: list[int], n: int, got: set[int], expected: set[int]) -> str:
    if n == 1:
        return "For n = 1 a run is one token. Careful: tokens[-0:] is the whole list, not an empty one."
    if len(tokens) < n - 1:
        return "The text is too short for the beginning of any run of n."
    ending = tokens[-(n - 1) :]
    if expected - got:
        missing = min(expected - got)
        words = f"The last n - 1 = {n - 1} tokens are {ending}; {[*ending, missing]} stands there already."
        starts = [i for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == ending]
        if len(starts) > 1 and got:
            return f"{words} Look at every place, not only at one."
        if starts and starts[-1] + n - 1 >= len(tokens) - (n - 1):
            return f"{words} Runs may overlap with the end."
        return words
    extra = min(got - expected)
    return f"With {extra} the text would end with {[*ending, extra]}, and that stands nowhere in it yet."


FORBIDDEN = Exercise(
    id="07-5",
    title="No run twice",
    difficulty="medium",
    minutes=10,
    attempt="forbidden",
    expects="your function forbidden(tokens, n) itself, without calling it",
    hints=(
        "A run of n that is about to be closed begins with the last n − 1 tokens. Where else do these stand?",
        "For every i from 0 to len(tokens) − n: if `tokens[i : i + n - 1]` is that ending, then `tokens[i + n - 1]` "
        "is forbidden.",
        "`ending = tokens[len(tokens) - n + 1 :]` is right for n = 1 too, where `tokens[-(n - 1) :]` is not. For a "
        "text shorter than n − 1 tokens nothing is forbidden.",
    ),
    judge=_judge_forbidden,
)
