"""A pair becomes one piece (08-2), and a word becomes pieces, by the merges that were learned (08-4)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from course_lib.exercises.chapter_08.pieces import Pair, ask, need_pieces
from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.patience import patience

Pieces = list[bytes]


def cut(word: str) -> Pieces:
    """A word in its letters; where it has spaces, in what stands between these."""
    return [piece.encode() for piece in (word.split() if " " in word else word)]


def merged(pieces: Sequence[bytes], pair: Pair) -> Pieces:
    done: Pieces = []
    i = 0
    while i < len(pieces):
        size = 2 if tuple(pieces[i : i + 2]) == pair else 1
        done.append(b"".join(pieces[i : i + size]))
        i += size
    return done


MERGES: tuple[tuple[Pieces, Pair], ...] = (
    (cut("thethe"), (b"t", b"h")),
    (cut("hugs"), (b"u", b"g")),
    (cut("aaa"), (b"a", b"a")),
    (cut("aaaa"), (b"a", b"a")),
    (cut("baaab"), (b"a", b"a")),
    (cut("ababa"), (b"a", b"b")),
    (cut("th e th e"), (b"th", b"e")),
    (cut("t h e"), (b"th", b"e")),
    (cut("a bc ab c"), (b"ab", b"c")),
    (cut("ab"), (b"b", b"a")),
    ([b"x"], (b"x", b"y")),
    ([], (b"x", b"y")),
)


def _judge_merge(attempt: Any) -> str:
    merge = need_function(attempt, "merge(pieces, pair)")
    for pieces, pair in MERGES:
        shown = f"merge({pieces}, {pair})"
        got, expected = need_pieces(_asked(merge, pieces, pair, shown), shown), merged(pieces, pair)
        if got != expected:
            words = _why_not_merged(pieces, pair, got)
            raise Wrong(f"{shown} should return {expected}; it returned {got}. {words}".rstrip())
    _is_new(merge)
    return (
        "What was merged is passed over, so no byte is in two pieces, and the pieces joined are still the text. Pieces "
        "are compared, not what they spell: (b'ab', b'c') and (b'a', b'bc') spell the same and are two pairs."
    )


def _asked(merge: Callable[..., Any], pieces: Pieces, pair: Pair, shown: str) -> Any:
    """What it returns; the error that this task leads to is told with its reason."""
    try:
        return ask(merge, pieces, pair, shown=shown)
    except Wrong as told:
        if isinstance(told.__cause__, IndexError):
            raise Wrong(f"Was it pieces[i + 1]? The last piece has no neighbor after it.\n{told}") from told
        raise


def _why_not_merged(pieces: Pieces, pair: Pair, got: Pieces) -> str:
    both = b"".join(pair)
    places = [i for i, two in enumerate(pairwise(pieces)) if two == pair]
    if b"".join(got) != b"".join(pieces):
        if got == merged(pieces[:-1], pair):
            return "The last piece is lost: nothing comes after it, but it belongs to the text."
        if len(b"".join(got)) > len(b"".join(pieces)):
            return "Some bytes are in it twice: after a merge, go on behind both of its pieces."
        return "Some bytes are lost: the pieces joined should be the same as before."
    if not places:
        return (
            "The pair does not occur in it, so nothing is merged: it is the two pieces that count, not what they spell."
        )
    backwards = [piece[::-1] for piece in merged([p[::-1] for p in pieces[::-1]], (pair[1][::-1], pair[0][::-1]))][::-1]
    if got == backwards:
        return "Go from left to right: the first two are merged first."
    if got.count(both) > merged(pieces, pair).count(both):
        return "It is the two pieces that count, not what they spell."
    first = [*pieces[: places[0]], both, *pieces[places[0] + 2 :]]
    if got == first:
        return "Only the first place was merged; the pair occurs again later."
    if got == pieces:
        return "Nothing was merged. A pair of neighbors is (pieces[i], pieces[i + 1])."
    if any(len(piece) > len(both) and both in piece for piece in got):
        return "One merge makes one piece of two. More than that has been joined."
    return ""


def _is_new(merge: Callable[..., Any]) -> None:
    given, pair = [b"a", b"b"], (b"x", b"y")
    shown = f"merge({given}, {pair})"
    with patience(merge, shown):
        returned = call(merge, given, pair, shown=shown)
    if returned is given:
        raise Wrong(
            f"{shown} returned the very list that it was given: whoever changes one of them changes the other. Return "
            "a new list, also where nothing is merged."
        )


MERGE = Exercise(
    id="08-2",
    title="Merging a pair",
    difficulty="easy",
    minutes=6,
    attempt="merge",
    expects="your function merge(pieces, pair) itself, without calling it",
    hints=(
        "A `for` loop goes on by one piece each time. Here it is sometimes one and sometimes two: take a `while` loop "
        "with an `i` of your own, and a new list to append to.",
        "If `(pieces[i], pieces[i + 1])` is the pair, append `pair[0] + pair[1]` and go on by 2; else append "
        "`pieces[i]` and go on by 1.",
        "At the last piece there is no `pieces[i + 1]`. A slice does not mind: `tuple(pieces[i : i + 2]) == pair`.",
    ),
    judge=_judge_merge,
)

LOW = [
    (b"s", b"t"), (b"e", b"st"), (b"o", b"w"), (b"l", b"ow"), (b"w", b"est"), (b"n", b"e"), (b"ne", b"west"),
    (b"w", b"i"), (b"wi", b"d"), (b"wid", b"est"),
]  # fmt: skip
BANANA = [
    (b"a", b"n"), (b"b", b"an"), (b"an", b"a"), (b"ban", b"ana"), (b"ana", b"s"), (b"an", b"anas"), (b"d", b"ana"),
    (b"ban", b"dana"),
]  # fmt: skip
BCD = [(b"b", b"c"), (b"bc", b"d"), (b"a", b"b"), (b"ab", b"e"), (b"a", b"bcd")]
LEARNED: tuple[tuple[dict[str, int], list[Pair]], ...] = (
    ({"low": 5, "lower": 2, "newest": 6, "widest": 3}, LOW),
    ({"banana": 5, "bandana": 2, "ananas": 3, "ban": 3}, BANANA),
    ({"bcd": 10, "bc": 6, "abe": 5, "ab": 4, "abcd": 1}, BCD),
)
"""Words with their counts, and the merges that they teach (the tests learn them anew)."""
WORDS: tuple[tuple[str, list[Pair]], ...] = (
    ("west", LOW[:5]), ("newnew", LOW), ("bana", BANANA), ("ananas", BANANA), ("danas", BANANA), ("abcd", BCD[:4]),
    ("abcabcd", BCD), ("bandanabanana", BANANA), ("nanana", BANANA[:3]), ("lowest", LOW), ("xyz", LOW), ("é", LOW),
    ("b", BCD), ("", BCD), ("low", []),
)  # fmt: skip


def encoded(word: bytes, merges: Sequence[Pair], choose: Callable[..., Pair] = min, rounds: int = 99) -> Pieces:
    """``word`` in pieces; of the pairs that are there, ``choose`` takes one by its rank."""
    rank = {pair: i for i, pair in enumerate(merges)}
    pieces = [bytes([byte]) for byte in word]
    for _ in range(rounds):
        known = [pair for pair in pairwise(pieces) if pair in rank]
        if not known:
            break
        pieces = merged(pieces, choose(known, key=rank.__getitem__))
    return pieces


def _judge_encode_word(attempt: Any) -> str:
    encode_word = need_function(attempt, "encode_word(word, merges)")
    for text, merges in WORDS:
        word = text.encode()
        shown = f"encode_word({word!r}, {merges})"
        got, expected = need_pieces(ask(encode_word, word, merges, shown=shown), shown), encoded(word, merges)
        if got != expected:
            words = _why_not_encoded(word, merges, got)
            raise Wrong(f"{shown} should return {expected}; it returned {got}. {words}".rstrip())
    return (
        "It merges in the order in which training merged, so a word is cut just as training cut it. Whoever goes "
        "through the merges once, in their order, gets the same: a merge only joins pieces that earlier ones made. But "
        "GPT-2 has 50,000 merges, and a word only a few pairs: it is faster to ask the word."
    )


def _why_not_encoded(word: bytes, merges: list[Pair], got: Pieces) -> str:
    if b"".join(got) != word:
        return "Joined, the pieces should be the word again."
    if got == _longest(word, merges):
        return (
            "You take the longest piece that fits. BPE does not look for long pieces: it repeats the merges, in order."
        )
    if got == _leftmost(word, merges):
        return "You merge whatever comes first in the word. It is the pair that was learned first that is merged first."
    if got == encoded(word, merges, max):
        return "You merge the pair that was learned last. Training merged the first one first, and so must you."
    if len(word) > 1 and not any(len(piece) > 1 for piece in got):
        return "Nothing was merged. Pairs of neighbors are itertools.pairwise(pieces); which of them are in merges?"
    if got == _one_place_each(word, merges):
        return "The pair occurs more than once, and every place is merged."
    if got == encoded(word, merges, rounds=1):
        return "You stop after one merge. Look again: the new piece has new neighbors."
    left = [pair for pair in pairwise(got) if pair in merges]
    if left:
        return f"You stop too early: the pair {left[0]} was learned too, and its pieces are still side by side."
    return _first_departure(word, merges)


def _leftmost(word: bytes, merges: Sequence[Pair]) -> Pieces:
    """Wrong: whichever pair comes first in the word."""
    pieces = [bytes([byte]) for byte in word]
    while found := [i for i, pair in enumerate(pairwise(pieces)) if pair in merges]:
        pieces[found[0] : found[0] + 2] = [b"".join(pieces[found[0] : found[0] + 2])]
    return pieces


def _longest(word: bytes, merges: Sequence[Pair]) -> Pieces:
    """Wrong: the longest piece of the vocabulary that the rest begins with."""
    vocabulary = {b"".join(pair) for pair in merges}
    pieces, start = [], 0
    while start < len(word):
        ends = [end for end in range(start + 1, len(word) + 1) if word[start:end] in vocabulary]
        end = max(ends, default=start + 1)
        pieces.append(word[start:end])
        start = end
    return pieces


def _one_place_each(word: bytes, merges: Sequence[Pair]) -> Pieces:
    """Wrong: once through the merges, and only one place of each."""
    pieces = [bytes([byte]) for byte in word]
    for pair in merges:
        places = [i for i, two in enumerate(pairwise(pieces)) if two == pair]
        if places:
            pieces[places[0] : places[0] + 2] = [b"".join(pair)]
    return pieces


def _first_departure(word: bytes, merges: Sequence[Pair]) -> str:
    """The first merge that should have happened."""
    rank = {pair: i for i, pair in enumerate(merges)}
    known = [pair for pair in pairwise([bytes([byte]) for byte in word]) if pair in rank]
    if not known:
        return "None of its pairs was ever learned, so it stays in single bytes."
    return f"Of the pairs in it at first, {min(known, key=rank.__getitem__)} was learned first."


ENCODE_WORD = Exercise(
    id="08-4",
    title="Encoding a word",
    difficulty="medium",
    minutes=12,
    attempt="encode_word",
    expects="your function encode_word(word, merges) itself, without calling it",
    hints=(
        "`[bytes([byte]) for byte in word]` are the first pieces. `rank = {pair: i for i, pair in enumerate(merges)}` "
        "says of each pair when it was learned.",
        "In a loop: which pairs of neighbors are in `rank`? If none, you are done.",
        "Else take `min(known, key=rank.get)`, and merge it wherever it stands: that is your `merge` of 08-2.",
    ),
    judge=_judge_encode_word,
)
