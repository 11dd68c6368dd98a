"""With paper and pencil: the ids of a word (01-1), and the bytes of a character (01-2)."""

from collections.abc import Sequence
from typing import Any

from course_lib.exercises.judge.calling import described
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import plain

SOURCE, WORD = "banana bread", "bread"
VOCABULARY = sorted(set(SOURCE))
EURO_BYTES = (0xE2, 0x82, 0xAC)


def whole_numbers(attempt: Any, length: int, exercise: Exercise) -> list[int]:
    """``attempt`` as so many whole numbers; numpy's and torch's own count too."""
    row = list(attempt) if isinstance(attempt, (bytes, bytearray)) else plain(attempt)
    if not isinstance(row, list):
        raise Wrong(f"Expected {exercise.expects}, but got {described(attempt)}.")
    if len(row) != length:
        raise Wrong(f"Expected {length} numbers, one after another, but got {len(row)}.")
    for place, value in enumerate(row):
        if value is None or value is ...:
            raise Wrong(f"The number at position {place} (counted from 0) is still missing.")
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"At position {place} (counted from 0) expected a whole number, but got {described(value)}.")
    return row


def same_numbers(got: list[int], expected: Sequence[int], mistakes: Sequence[tuple[Sequence[int], str]]) -> None:
    """Nothing, if all numbers are right; else `Wrong`: a known mistake, or the first place that differs."""
    if got == list(expected):
        return
    for wrong, words in mistakes:
        if got == list(wrong):
            raise Wrong(words)
    place = next(i for i, (here, there) in enumerate(zip(got, expected)) if here != there)
    right = sum(here == there for here, there in zip(got, expected))
    first = f"{got[place]}, at position {place} (from 0)"
    raise Wrong(f"{right} of {len(expected)} are right. The first wrong one: {first}.")


def _judge_bread(attempt: Any) -> str:
    got = whole_numbers(attempt, len(WORD), BREAD)
    in_order_of_coming = list(dict.fromkeys(SOURCE))
    letters = [character for character in VOCABULARY if character != " "]
    known = [
        ([in_order_of_coming.index(c) for c in WORD], "You numbered the characters as they come in the text. Sort them "
         "first: then the ids are the same for every text with these characters."),
        ([letters.index(c) for c in WORD], "The space is missing from your vocabulary, or stands last in it. It is a "
         "character like any other, and in Unicode it comes before all letters."),
        ([VOCABULARY.index(c) + 1 for c in WORD], "You counted from 1. Ids begin at 0, as positions in a list do."),
        ([VOCABULARY.index(c) for c in reversed(WORD)], "That is the word read backwards."),
        ([sorted(WORD).index(c) for c in WORD], "That is the vocabulary of bread alone. It comes from banana bread."),
        ([ord(c) for c in WORD], "Those are the code points in Unicode. An id is the position in the vocabulary."),
    ]  # fmt: skip
    same_numbers(got, [VOCABULARY.index(c) for c in WORD], known)
    return (
        "The vocabulary is the space, a, b, d, e, n, r: seven ids, 0 to 6. The n has an id too, though the word has "
        "none: a vocabulary belongs to a whole text, not to a word."
    )


BREAD = Exercise(
    id="01-1",
    title="Ids by hand",
    difficulty="easy",
    minutes=3,
    attempt="bread_ids",
    expects="a list of five whole numbers, one for each letter of bread",
    hints=(
        "Write down the different characters of *banana bread*. There are seven, and one of them is not a letter.",
        "Sort them, the space first, and number them from 0.",
        "The space is 0, `a` is 1, `b` is 2, and so on. *bread* begins with 2.",
    ),
    judge=_judge_bread,
)


def _judge_euro(attempt: Any) -> str:
    if isinstance(attempt, (list, tuple)) and len(attempt) == 2:
        raise Wrong("Two bytes hold code points up to U+07FF only. Expected three: see the third row of the table.")
    got = whole_numbers(attempt, 3, EURO)
    parts = (0b0010, 0b000010, 0b101100)
    too_large = next((value for value in got if not 0 <= value <= 255), None)
    if too_large is not None:
        raise Wrong(f"A byte is a number from 0 to 255; {too_large} is not one. Each has eight binary digits.")
    known = [
        (parts, "The digits are cut rightly, 0010 000010 101100. Now put the marks of the pattern before them."),
        (parts[::-1], "These are the parts, without their marks, and in the wrong order."),
        (EURO_BYTES[::-1], "The bytes are right and stand backwards: the one that begins with 1110 comes first."),
        ((0b11100010, parts[1], parts[2]), "The first is right. Each later byte begins with the mark 10."),
        ((*EURO_BYTES[:2], parts[2]), "In the last byte the leading bits 10 are missing."),
        ((EURO_BYTES[0], parts[1], EURO_BYTES[2]), "In the second byte the leading bits 10 are missing."),
        ((0b11000010, *EURO_BYTES[1:]), "The first byte of three begins with 1110; yours begins with 110."),
        ((0b11101000, 0b10001010, 0b10101100), "The fourteen digits were filled in from the left. They are fewer than "
         "the sixteen positions: put zeros in front, or fill in from the right."),
        ((0b11101000, 0b10001010, 0b10110000), "The fourteen digits were filled in from the left. They are fewer than "
         "the sixteen positions: put zeros in front, or fill in from the right."),
    ]  # fmt: skip
    same_numbers(got, EURO_BYTES, known)
    return (
        "0010 000010 101100 in the pattern of three: 226, 130, 172. Every later byte begins with 10, so a reader who "
        "starts in the middle of a text can find where the next character begins."
    )


EURO = Exercise(
    id="01-2",
    title="The bytes of €",
    difficulty="easy",
    minutes=5,
    attempt="euro_bytes",
    expects="a list of three whole numbers from 0 to 255",
    hints=(
        "U+20AC is larger than U+07FF and smaller than U+FFFF: three bytes, with 4 + 6 + 6 positions for digits.",
        "The fourteen binary digits need two zeros in front: 0010 000010 101100.",
        "Put `1110` before the first part and `10` before the others. `0b11100010` is how Python reads binary; it is "
        "226.",
    ),
    judge=_judge_euro,
)
