"""By hand: where the last window starts (02-1), and what one window teaches (02-2)."""

from typing import Any

from course_lib.exercises.chapter_02.rows import need_ids, need_pairs
from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import by_case, first_match, need_number, plain

CASES = ((6, 2), (9, 8), (1000, 64))


def _judge_last_starts(attempt: Any) -> str:
    for (n, size), value in by_case(attempt, CASES, LAST_STARTS.expects).items():
        what = f"The last start for N = {n:,} and T = {size}"
        if value is None or value is ...:
            raise Wrong(f"{what} is still missing.")
        got = need_number(value, what)
        if got == n - size - 1:
            continue
        known = [
            (n - size, "That is the number of legal starts. They are counted from 0, so the last one is one less. A "
             "window there would have its T tokens, and no target for the last of them."),
            (n - size + 1, "That is too far by two: a window needs T + 1 tokens, and positions are counted from 0."),
            (n - size - 2, "One more fits: the last target may be the last token of the text."),
            (n - 1, "That is where the last token stands; the window has to fit in from its start on."),
            (n - 2 * size, "Windows may overlap: they need not stand side by side."),
        ]  # fmt: skip
        words = first_match(got, known, rel=1e-9) or (
            "Write down the positions 0, 1, 2, ...; a window takes T + 1 of them, and the last it may take is N - 1."
        )
        raise Wrong(f"{what} should be another number; it is {number(got)}. {words}")
    return (
        "The last window ends with the last token: start + T = N - 1, so start = N - T - 1. In the second text there "
        "is exactly one legal start, since N is T + 1: the shortest text that a batcher takes."
    )


LAST_STARTS = Exercise(
    id="02-1",
    title="The last legal start",
    difficulty="easy",
    minutes=3,
    attempt="last_starts",
    expects="a dict with three whole numbers, {(6, 2): ..., (9, 8): ..., (1000, 64): ...}",
    hints=(
        "Draw six boxes, 0 to 5. A window with T = 2 needs three boxes: two go in, and one more is the last target.",
        "Push the window to the right until its last box is box 5. Where is its first?",
        "The last box of a window is start + T, and it may be N − 1 at most. Solve for start.",
    ),
    judge=_judge_last_starts,
)

TOKENS = [7, 3, 9, 9, 4, 1, 8, 2]
WINDOWS = ((0, 3), (2, 4), (3, 4))


def _judge_examples(attempt: Any) -> str:
    examples = need_function(attempt, "examples(tokens, start, block_size)")
    for start, size in WINDOWS:
        tokens = list(TOKENS)
        shown = f"examples({TOKENS}, start={start}, block_size={size})"
        returned = call(examples, tokens, start, size, shown=shown)
        got = need_pairs(returned, f"What {shown} returned", "(context, target)")
        if tokens != TOKENS:
            raise Wrong(f"{shown} changed the list of tokens that it was given. Copy the part that you need.")
        expected = [(TOKENS[start : start + t + 1], TOKENS[start + t + 1]) for t in range(size)]
        for t, (pair, (context, target)) in enumerate(zip(got, expected)):
            _same_example(pair, context, target, t, start, shown)
        if len(got) != size:
            less = "One window holds T examples, one for each of its positions."
            raise Wrong(f"{shown} should return {size} pairs; it returned {len(got)}. {less}")
    return (
        "One window of T tokens holds T examples, from a context of one token to one of T. A batch of 16 windows of 64 "
        "is not 16 questions, but 1,024."
    )


def _same_example(pair: Any, context: list[int], target: int, t: int, start: int, shown: str) -> None:
    what = f"Pair {t} of {shown}"
    got = need_ids(pair[0], f"{what}: its context")
    if got != context:
        words = ""
        if not got:
            words = "The first context is not empty: it holds the token at the window's start."
        elif got == [*context, target]:
            words = "The target stands in its own context: the answer is in the question."
        elif got == TOKENS[: start + t + 1]:
            words = "The context begins at the window's start; the model sees nothing before that."
        elif got == context[-1:]:
            words = "The context is all that stands in the window up to here, not the last token alone."
        raise Wrong(f"{what}: the context should be {context}; it is {got}. {words}".rstrip())
    answer = plain(pair[1])
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise Wrong(f"{what}: the target should be one id; it is {described(pair[1])}.")
    if answer != target:
        words = ""
        if answer == context[-1]:
            words = "That is the last token of the context: the target is the one after it."
        elif answer in TOKENS[start + t + 2 : start + t + 3]:
            words = "That is one token too far."
        raise Wrong(f"{what}: after {context} comes {target}; your target is {answer}. {words}".rstrip())


EXAMPLES = Exercise(
    id="02-2",
    title="Every prefix is an example",
    difficulty="easy",
    minutes=5,
    attempt="examples",
    expects="your function examples(tokens, start, block_size) itself, without calling it",
    hints=(
        "Do it on paper for tokens 5, 6, 7 and T = 2: the pairs are ([5], 6) and ([5, 6], 7).",
        "Loop over t from 0 to T − 1. The context ends with the token at `start + t`.",
        "A slice leaves its end out: `tokens[start : start + t + 1]`. The target is the token at `start + t + 1`.",
    ),
    judge=_judge_examples,
)
