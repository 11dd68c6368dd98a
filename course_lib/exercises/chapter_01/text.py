"""Between text and ids: an error that helps (01-4), and a cut that breaks no character (01-5)."""

import math
import re
from collections.abc import Callable
from typing import Any

from course_lib.exercises.judge.calling import call, described, first_line, need_function
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.values import plain, same_row

VOCABULARY = " abdenr"
KNOWN = ("bread", "banana bread", "", " ")
UNKNOWN = (
    ("a! bee", "!", ()),
    ("bad idea", "i", ()),
    ("Anna", "A", ()),
    ("bend ü", "ü", ()),
    ("b!adéa", "!", ("é",)),
    ("büadéa", "ü", ("é",)),
    ("b!ab!a", "!", ("!",)),
)
"""Texts, the first unknown character of each, and the unknown ones after it: one that Unicode has later, or earlier,
or the same once more."""


def _judge_strict(attempt: Any) -> str:
    strict_encode = need_function(attempt, "strict_encode(text, characters)")
    for text in KNOWN:
        shown = f"strict_encode({text!r}, {VOCABULARY!r})"
        got = call(strict_encode, text, VOCABULARY, shown=shown)
        expected = [VOCABULARY.index(character) for character in text]
        if got == [id_ + 1 for id_ in expected] and expected:
            raise Wrong(f"{shown} should return {expected}; it returned {got}. Ids begin at 0.")
        same_row(got, expected, f"What {shown} returned")
    messages = [_stops(strict_encode, *case) for case in UNKNOWN]
    if all(map(_counts_from_1, messages, UNKNOWN)):
        position, said = UNKNOWN[0][0].index(UNKNOWN[0][1]), first_line(ValueError(messages[0]))
        before = f"{position + 1} before {position}"
        raise Wrong(f"The message for {UNKNOWN[0][0]!r} says {said!r}, {before}. Count positions from 0.")
    return (
        "Known text becomes ids, and at the first unknown character it stops and says which one, and where. Who gets "
        "this message can mend the text; who gets wrong ids learns of it after the training."
    )


def _stops(function: Callable[..., Any], text: str, character: str, later: tuple[str, ...]) -> str:
    """The message of the ValueError that names the first unknown character and its position, before any later one."""
    position = text.index(character)
    shown = f"strict_encode({text!r}, {VOCABULARY!r})"
    expected = f"{shown} should raise a ValueError about {character!r} at position {position}"
    try:
        got = function(text, VOCABULARY)
    except (Wrong, Unattempted):
        raise
    except ValueError as error:
        said = str(error)
    except KeyError as error:
        raise Wrong(
            f"{expected}; it raised KeyError: {first_line(error)}. That is the dictionary's own error: ask before you "
            "look up, or catch it, and raise ValueError(...) with a message."
        ) from error
    except Exception as error:
        raise Wrong(f"{expected}; it raised {type(error).__name__}: {first_line(error)}.") from error
    else:
        raise Wrong(f"{expected}; {_instead(got, text)}")
    numbers = _numbers(said)
    named = max(_first(said, numbers, character, position))
    if any(_of_later(said, numbers, text, other) < named for other in later):
        first = f"The first unknown character is {character!r} at position {position}"
        raise Wrong(f"{expected}; its message says {first_line(ValueError(said))!r}. {first}; your message names a "
                    "later one.")  # fmt: skip
    if character not in said:
        what = "the message is empty" if not said else f"the message says {first_line(ValueError(said))!r}"
        raise Wrong(f"{expected}; {what}, without the character.")
    if position not in numbers.values():
        known = {position + 1: "Count positions from 0.", len(text): "That is the length of the text."}
        else_ = "enumerate(text) gives each character with its own."
        words = next((known[n] for n in numbers.values() if n in known), else_)
        raise Wrong(f"{expected}; its message says {first_line(ValueError(said))!r}, not that position. {words}")
    return said


def _numbers(said: str) -> dict[int, int]:
    """The whole numbers of a message, each by the place where it begins; 2nd and its like are none."""
    return {match.start(): int(match[0]) for match in re.finditer(r"\d+(?!\d|st|nd|rd|th)", said)}


def _first(said: str, numbers: dict[int, int], character: str, position: int) -> tuple[float, float]:
    """Where a message has the character, and where its position; infinitely far away where it has not."""
    places = [place for place, number in numbers.items() if number == position]
    return (said.find(character) if character in said else math.inf), min(places, default=math.inf)


def _of_later(said: str, numbers: dict[int, int], text: str, later: str) -> float:
    """Where a message first names the unknown character ``later``; it may well quote the text, or its end."""
    for start in range(len(text) - 1):
        said = said.replace(text[start:], " " * len(text[start:]))
    named, placed = _first(said, numbers, later, text.rindex(later))
    return min(named, placed) if text.count(later) == 1 else placed  # else only the position tells which one is meant


def _counts_from_1(said: str, case: tuple[str, str, tuple[str, ...]]) -> bool:
    """Whether a message has the position counted from 1 first, and the right one only behind it."""
    numbers, position = list(_numbers(said).values()), case[0].index(case[1])
    return position + 1 in numbers and numbers.index(position + 1) < numbers.index(position)


def _instead(got: Any, text: str) -> str:
    """What came in place of an error, in words."""
    ids = [VOCABULARY.find(character) for character in text]
    if got == [i for i in ids if i >= 0]:
        return "it left the character out and said nothing."
    if got == ids:
        return "it returned -1 for it, as find() does. -1 is no id: as an index it means the last entry."
    if isinstance(got, list) and len(got) == len(text) and None in got:
        return "it returned None for it, as a dictionary's get() does."
    if isinstance(got, str):
        return f"it returned a text, {got!r}: raise the error, do not return or print its message."
    if isinstance(got, Exception):
        return "it returned the error: raise it."
    return f"it returned {described(got)} and raised nothing."


STRICT = Exercise(
    id="01-4",
    title="An error that helps",
    difficulty="medium",
    minutes=10,
    attempt="strict_encode",
    expects="your function strict_encode(text, characters) itself, without calling it",
    hints=(
        "Go through the text with `enumerate(text)`: it gives each character with its position.",
        "Before you look a character up, ask whether it is there: `if character not in number_of:`",
        '`raise ValueError(f"the character {character!r} at position {position} is unknown")` has both in its message.',
    ),
    judge=_judge_strict,
)

TEXTS = ("fox", "café", "日本", "a🦊b", "é", "🦊", "")


def _judge_safe_cut(attempt: Any) -> str:
    safe_cut = need_function(attempt, "safe_cut(ids, most)")
    for text in TEXTS:
        ids = list(text.encode("utf-8"))
        for most in range(len(ids) + 2):
            _is_safe(safe_cut, text, ids, most)
    return (
        "One way is to step back over bytes that begin with 10 to where a character begins. At most three are lost, "
        "and a model that writes bytes needs just this to show its text while the last character is still on its way."
    )


def _is_safe(safe_cut: Callable[..., Any], text: str, ids: list[int], most: int) -> None:
    """Whether the cut of one text at one place is as long as it can be, and whole."""
    shown = f"safe_cut({ids}, {most})"
    given = list(ids)
    got = call(safe_cut, given, most, shown=shown)
    got = list(got) if isinstance(got, (bytes, bytearray)) else plain(got)
    if isinstance(got, str):
        raise Wrong(f"What {shown} returned should be a list of bytes; it is the text {got!r}. encode() leads back.")
    if given != ids:
        raise Wrong(f"{shown} changed the list that it was given. Work on a copy, such as ids[:most].")
    expected = list(bytes(ids[:most]).decode("utf-8", "ignore").encode("utf-8"))
    if got == expected:
        return
    words = ""
    if isinstance(got, list) and got == ids[: len(got)]:
        if len(got) > most:
            words = f"Those are {len(got)} ids, and at most {most} were allowed."
        elif len(got) > len(expected):
            words = f"The last character of {text!r} is in pieces: the cut went through the middle of it."
        else:
            words = "More would fit: a character that is whole may stay."
    elif isinstance(got, list) and got and got == ids[-len(got) :]:
        words = "That is the end of the text; the front was asked for."
    elif isinstance(got, list) and len(got) < len(ids) and all(value < 128 for value in got if isinstance(value, int)):
        words = "Bytes are missing in the middle: only what does not fit should go, and all of it stands at the end."
    if not words:
        same_row(got, expected, f"What {shown} returned")
    raise Wrong(f"{shown} should return {expected}; it returned {got}. {words}")


SAFE_CUT = Exercise(
    id="01-5",
    title="A cut that breaks nothing",
    difficulty="medium",
    minutes=10,
    attempt="safe_cut",
    expects="your function safe_cut(ids, most) itself, without calling it",
    hints=(
        "Where may one cut? Just before a byte that begins a character. All bytes of a character except its first "
        "begin with `10`.",
        "Bytes that begin with `10` are those from 128 to 191.",
        "Begin with `end = min(most, len(ids))`. While `ids[end]` is there and is such a byte, lower `end` by one.",
    ),
    judge=_judge_safe_cut,
)
