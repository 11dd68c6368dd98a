"""Byte-pair encoding as one would write it first: everything is counted anew for each merge. A judge for the tests."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

Word = tuple[bytes, ...]


def joined(word: Word, pair: tuple[bytes, bytes]) -> Word:
    """The word with every such pair made one, from left to right."""
    done: list[bytes] = []
    i = 0
    while i < len(word):
        if word[i : i + 2] == pair:
            done.append(pair[0] + pair[1])
            i += 2
        else:
            done.append(word[i])
            i += 1
    return tuple(done)


def slow_merges(chunks: Iterable[str], n_merges: int) -> list[tuple[bytes, bytes]]:
    """The merges that the chunks of a text teach; of equally frequent pairs the greatest first."""
    words = Counter(tuple(bytes([b]) for b in chunk.encode()) for chunk in chunks)
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < n_merges:
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                counts[pair] += times
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        fewer: Counter[Word] = Counter()
        for word, times in words.items():
            fewer[joined(word, best)] += times
        words = fewer
    return merges


def slow_encode(chunks: Iterable[str], merges: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The tokens of a text: merge after merge, in the order in which they were learned."""
    tokens: list[bytes] = []
    for chunk in chunks:
        word: Word = tuple(bytes([b]) for b in chunk.encode())
        for pair in merges:
            word = joined(word, pair)
        tokens += word
    return tokens
