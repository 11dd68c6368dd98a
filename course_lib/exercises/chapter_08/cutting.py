"""Where a text may be cut without a change of its tokens (08-2)."""

from collections.abc import Callable
from typing import Any

from course_lib.exercises.chapter_08.chat import encode
from course_lib.exercises.chapter_08.merging import BCD, CAT, pieces_to_ids
from course_lib.exercises.chapter_08.pieces import ask
from course_lib.exercises.judge.calling import described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import plain

Encode = Callable[[str], list[int]]

CASES: tuple[tuple[str, Encode], ...] = (
    ("abcd", pieces_to_ids(BCD[:4])),
    ("abc", pieces_to_ids(BCD)),
    ("abeabcd", pieces_to_ids(BCD)),
    ("aaa", pieces_to_ids([(b"a", b"a")])),  # cut at 1, it has the ids of the whole in another order
    ("that other", pieces_to_ids(CAT)),
    ("why is the sky blue?", encode),
    ("a 's   z", encode),
    ("what  is é", encode),
    ("x", encode),
    ("", encode),
)


def cuts(text: str, encode: Encode) -> list[int]:
    return [i for i in range(len(text) + 1) if encode(text[:i]) + encode(text[i:]) == encode(text)]


def _judge_safe_cuts(attempt: Any) -> str:
    safe_cuts = need_function(attempt, "safe_cuts(text, encode)")
    for text, encoder in CASES:
        shown = f"safe_cuts({text!r}, encode)"
        got, expected = _need_places(ask(safe_cuts, text, encoder, shown=shown), shown), cuts(text, encoder)
        if got != expected:
            raise Wrong(f"{shown} should return {expected}; it returned {got}. {_why(text, encoder, got, expected)}")
    return (
        "Every safe cut lies between two tokens, but not every cut between two tokens is safe: the split into chunks "
        "looks at what comes next. Mind it where you encode a long file in blocks, and where a prompt ends in a space "
        "or in half a word: then the model reads tokens that a whole text would not have there."
    )


def _need_places(value: Any, shown: str) -> list[int]:
    what = f"What {shown} returned"
    if isinstance(value, (range, set, frozenset)):
        value = sorted(value)
    value = plain(value)  # np.flatnonzero finds places too
    if not isinstance(value, (list, tuple)):
        hint = " Does the function end with return?" if value is None else ""
        raise Wrong(f"{what} should be a list of places, whole numbers; it is {described(value)}.{hint}")
    for place in value:
        if isinstance(place, bool):
            raise Wrong(f"{what} should be the places themselves, such as [0, 3]; it holds {place}.")
        if not isinstance(place, int):
            raise Wrong(f"{what} should hold places, whole numbers; it holds {described(place)}.")
    return list(value)


def _why(text: str, encoder: Encode, got: list[int], expected: list[int]) -> str:
    if sorted(set(got)) == expected:
        return "Those are the right places; name each once, from left to right."
    if extra := [i for i in got if i not in expected]:
        i = extra[0]
        if not 0 <= i <= len(text):
            return f"The places of this text go from 0 to {len(text)}."
        parts = f"{text[:i]!r} is {encoder(text[:i])} and {text[i:]!r} is {encoder(text[i:])}"
        words = f"Cut at {i}: {parts}, but the whole is {encoder(text)}."
        ids, whole = encoder(text[:i]) + encoder(text[i:]), encoder(text)
        if sorted(ids) == sorted(whole):
            return f"{words} The same ids, but in another order, and the order counts."
        return words + (" As many ids, but other ones." if len(ids) == len(whole) else "")
    i = next(i for i in expected if i not in got)
    if i in (0, len(text)):
        return f"The cut at {i} is missing: one part is empty, and the other is the whole text."
    return f"The cut at {i} is missing: {text[:i]!r} and {text[i:]!r} have the ids {encoder(text)} together."


SAFE_CUTS = Exercise(
    id="08-2",
    title="Where to cut a text",
    difficulty="easy",
    minutes=5,
    attempt="safe_cuts",
    expects="your function safe_cuts(text, encode) itself, without calling it",
    hints=(
        "Try every place `i`: the two parts are `text[:i]` and `text[i:]`. Which lists of ids should be equal?",
        "`encode(text[:i]) + encode(text[i:])` puts the ids of both parts into one list.",
        "A text of n characters has n + 1 places: `range(len(text) + 1)`.",
    ),
    judge=_judge_safe_cuts,
)
