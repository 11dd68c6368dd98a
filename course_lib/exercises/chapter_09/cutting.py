"""Any bytes as whole patches, and what is left over (09-2)."""

from typing import Any

from course_lib.exercises.judge.asking import ask
from course_lib.exercises.judge.calling import described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import plain

CASES = (
    (b"abcdefghij", 4),
    (b"abcdefgh", 4),
    (b"abc", 4),
    (b"aaaa", 4),
    (b"", 4),
    ("é là".encode(), 4),
    (b"\xff\x00\x80", 1),
    (bytes(range(7)), 3),
)
Cut = tuple[list[list[int]], list[int]]


def cut(data: bytes, size: int) -> Cut:
    end = len(data) // size * size
    return [list(data[i : i + size]) for i in range(0, end, size)], list(data[end:])


def _judge_patches(attempt: Any) -> str:
    patches = need_function(attempt, "patches(data, size)")
    for data, size in CASES:
        shown = f"patches({data!r}, {size})"
        returned = ask(patches, data, size, shown=shown)
        got, expected = _need_cut(returned, shown, data, size), cut(data, size)
        if got != expected:
            words = next((words for wrong, words in _known_slips(data, size) if got == wrong), _why(got, expected))
            raise Wrong(f"{shown} should return {expected}; it returned {got}. {words}")
    return (
        "Whole patches go to the encoder; what is left over waits in the byte decoder until its patch is whole. No "
        "padding is needed, and no byte is lost. A patch does not ask what its bytes mean: é has two, and a border may "
        "lie between them."
    )


def _need_cut(value: Any, shown: str, data: bytes, size: int) -> Cut:
    what = f"What {shown} returned"
    if data and plain(value) == cut(data, size)[0]:
        raise Wrong(f"{what} is the whole patches alone. Return a pair: those, and the bytes that are left over.")
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        hint = " Does the function end with return?" if value is None else ""
        raise Wrong(f"{what} should be a pair, (whole patches, bytes left over); it is {described(value)}.{hint}")
    whole, rest = (plain(part) for part in value)
    if not isinstance(whole, (list, tuple)):
        raise Wrong(f"{what} should begin with a list of patches; it begins with {described(value[0])}.")
    found = []
    for place, patch in enumerate(whole):
        if isinstance(patch, int) and not isinstance(patch, bool):
            two = " Are the two the wrong way round?" if list(whole) == cut(data, size)[1] else ""
            raise Wrong(f"{what}: patch {place} should be a list of bytes; it is {described(patch)}.{two}")
        found.append(_bytes(patch, f"{what}: patch {place}"))
    return found, _bytes(rest, f"{what}: what is left over")


def _bytes(value: Any, what: str) -> list[int]:
    """A list of bytes, written as one or as a byte string."""
    if isinstance(value, str):
        raise Wrong(f"{what} should be a list of bytes; it is {described(value)}. A character may have several bytes.")
    if not isinstance(value, (list, tuple, bytes, bytearray)):
        how_many = " The bytes themselves are wanted, not how many." if isinstance(value, int) else ""
        raise Wrong(f"{what} should be a list of bytes; it is {described(value)}.{how_many}")
    for byte in value:
        if isinstance(byte, str):
            raise Wrong(f"{what} should hold bytes, numbers from 0 to 255; it holds {described(byte)}. Leave out "
                        "decode and chr: list(data) gives the numbers.")  # fmt: skip
        if isinstance(byte, bool) or not isinstance(byte, int):
            raise Wrong(f"{what} should hold bytes, numbers from 0 to 255; it holds {described(byte)}.")
    return list(value)


def _known_slips(data: bytes, size: int) -> list[tuple[Cut, str]]:
    whole, rest = cut(data, size)
    n, length = len(data), len(rest)
    every = [list(data[i : i + size]) for i in range(0, n, size)]
    padded = [patch + [0] * (size - len(patch)) for patch in every]
    sliding = [list(data[i : i + size]) for i in range(n - size + 1)]
    apart = [list(data[i::size]) for i in range(size)]
    side_by_side = [list(data[i :: n // size])[:size] for i in range(n // size)] if n >= size else []
    short = "A patch with fewer bytes than size is not whole: those bytes belong to what is left over."
    return [
        ((every, rest), f"{short} Now they stand in both."),
        ((every, []), short),
        ((whole, []), "What is left over is lost. Nothing may be lost: those bytes are part of the text."),
        ((padded, []), "Padding makes bytes that the text does not have. What is left over stays as it is."),
        ((padded, rest), "Padding makes bytes that the text does not have. What is left over stays as it is."),
        ((whole, list(data[-length:])), "With nothing left over, data[-0:] is all of data: -0 is 0. Slice from where "
         "the last whole patch ends."),
        ((whole, list(data)), "All the bytes are left over, and in patches as well. Slice from where the last whole "
         "patch ends."),
        *(((sliding, left), "Patches do not overlap: the next one begins where the one before ended, size bytes on.")
          for left in (rest, [])),
        *(((apart, left), "data[i::size] takes every size-th byte. A patch is size bytes that stand side by side.")
          for left in (rest, [])),
        ((side_by_side, rest), "A patch is size bytes that stand side by side in the text."),
        (([list(data[i : i + size]) for i in range(length, n, size)], list(data[:length])), "Begin at the beginning: "
         "what is left over stands at the end of the text."),
        ((whole[:-1], list(data[(len(whole) - 1) * size :]) if whole else rest), "The last patch is whole too: size "
         "bytes are enough."),
        ((whole[:-1], rest), "The last whole patch is lost: up to where does the loop go?"),
        ((whole[::-1], rest), "The patches stand in the order of the text."),
        (([list(p[::-1]) for p in whole], rest), "The bytes of a patch stand in the order of the text."),
    ]  # fmt: skip


def _why(got: Cut, expected: Cut) -> str:
    if got[0] == expected[0]:
        return "The patches are right. What is left over is the bytes after the last of them."
    if got[1] == expected[1]:
        return "What is left over is right. A patch is size bytes that stand side by side, and the next one begins "\
               "where it ends."  # fmt: skip
    return "How many patches are whole? len(data) // size."


PATCHES = Exercise(
    id="09-2",
    title="Patches of any text",
    difficulty="easy",
    minutes=6,
    attempt="patches",
    expects="your function patches(data, size) itself, without calling it",
    hints=(
        "How many patches are whole? `len(data) // size`. Where does the last of them end?",
        "`data[start : start + size]` is one patch, and `range(0, end, size)` gives their starts. `list(...)` of a "
        "byte string gives its numbers.",
        "What is left over begins at `end`: `data[end:]`. That is right with nothing left over too, and for no data.",
    ),
    judge=_judge_patches,
)
