"""What several judges of this chapter need: pairs counted, a pair merged, a word encoded, merges that were learned."""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

Pair = tuple[bytes, bytes]
Word = tuple[bytes, ...]


def counted(words: Mapping[Word, int]) -> Counter[Pair]:
    """How often each pair of neighbors occurs, over all words."""
    counts: Counter[Pair] = Counter()
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += times
    return counts


def merged(word: Sequence[bytes], pair: Pair, same: Callable[[Word, Pair], bool] = operator.eq) -> Word:
    """``pair`` as one piece wherever it occurs, from left to right; ``same`` says where (at the end, of one piece)."""
    done: list[bytes] = []
    i = 0
    while i < len(word):
        size = 2 if same(tuple(word[i : i + 2]), pair) else 1
        done.append(b"".join(word[i : i + size]))
        i += size
    return tuple(done)


def single(word: bytes) -> Word:
    return tuple(bytes([byte]) for byte in word)


def encoded(word: bytes, merges: Iterable[Pair]) -> Word:
    """``word`` in pieces: every merge in the order in which it was learned."""
    pieces = single(word)
    for pair in merges:
        pieces = merged(pieces, pair)
    return pieces


def pieces_to_ids(merges: Sequence[Pair]) -> Callable[[str], list[int]]:
    """An encoder of texts that are not split before: the 256 bytes have the first ids."""
    ids = {bytes([byte]): byte for byte in range(256)} | {b"".join(pair): 256 + i for i, pair in enumerate(merges)}
    return lambda text: [ids[piece] for piece in encoded(text.encode(), merges)]


BCD = [(b"b", b"c"), (b"bc", b"d"), (b"a", b"b"), (b"ab", b"e"), (b"a", b"bcd")]
CAT = [
    (b"t", b"h"), (b"th", b"e"), (b"a", b"t"), (b"the", b"r"), (b"th", b"at"), (b"o", b"ther"), (b"h", b"at"),
    (b"ther", b"e"), (b"the", b"n"), (b"i", b"n"), (b"c", b"at"),
]  # fmt: skip
BANANA = [
    (b"a", b"n"), (b"an", b"a"), (b"an", b"ana"), (b"b", b"anana"), (b"anana", b"s"), (b"d", b"ana"), (b"b", b"an"),
    (b"ban", b"dana"),
]  # fmt: skip
MISS = [
    (b"i", b"s"), (b"is", b"s"), (b"m", b"iss"), (b"i", b"p"), (b"s", b"ip"), (b"miss", b"is"), (b"s", b"is"),
    (b"p", b"i"), (b"miss", b"iss"),
]  # fmt: skip
BBB = [(b"b", b"b"), (b"bb", b"b"), (b"bbb", b"a"), (b"n", b"bbb"), (b"n", b"b"), (b"nb", b"a"), (b"nba", b"bbba")]
CAFE = [
    (b"\xc3", b"\xa9"), (b"f", b"\xc3\xa9"), (b"c", b"a"), (b"ca", b"f\xc3\xa9"), (b"f\xc3\xa9", b"e"),
    (b"caf\xc3\xa9", b"s"),
]  # fmt: skip
LEARNED: tuple[tuple[dict[str, int], list[Pair]], ...] = (
    ({"the": 3, "cat": 1, "in": 1, "that": 2, "hat": 2, "then": 1, "there": 1, "other": 2}, CAT),
    ({"banana": 3, "bandana": 2, "ananas": 3, "anna": 1}, BANANA),
    ({"mississippi": 1, "missis": 2, "miss": 1, "sip": 2, "sis": 1}, MISS),
    ({"nbabbba": 4, "bbbabbn": 2, "nbbb": 4, "bbaa": 2}, BBB),
    ({"bcd": 10, "bc": 6, "abe": 5, "ab": 4, "abcd": 1}, BCD),
    ({"café": 3, "fée": 2, "cafés": 1}, CAFE),
)
"""Words with their counts, and the merges that they teach (the tests learn them anew)."""
