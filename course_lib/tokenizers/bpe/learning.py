"""Which merges a text teaches: byte-pair encoding as Sennrich, Haddow and Birch (2016, arXiv:1508.07909) have it.

Again and again the most frequent pair of neighboring tokens becomes one token. Of pairs that are equally frequent the
lexicographically greatest comes first, compared as two byte strings.

Counting everything anew for each merge takes minutes for what takes a second here: each distinct word is stored once
with its count, a merge visits only the places where its pair stands, and a heap finds the next pair.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

SHIFT = 32
"""A pair of ids is one whole number, ``first << SHIFT | second``: such keys are hashed fastest."""
NO_TOKEN = -1
"""Stands between two words."""
GONE = -2
"""Stands where a token began that has become the second half of another."""


class Words:
    """All distinct words, laid flat, with `NO_TOKEN` between two of them.

    A token of n bytes has n places, and its id stands at the first and at the last of them: so the token after it is
    found n places on, and the one before it a place back. ``weight[p]`` says how often the word at place p stands in
    the text. The ids of single bytes are their values.
    """

    def __init__(self, words: Mapping[bytes, int]) -> None:
        long = {word: count for word, count in words.items() if len(word) > 1}  # a single byte has no pair
        lengths = np.fromiter((len(word) + 1 for word in long), dtype=np.int64, count=len(long))
        self._bytes = np.frombuffer(b"".join(b" " + word for word in long) + b" ", dtype=np.uint8)
        self._gaps = np.concatenate(([0], np.cumsum(lengths)))
        self._weight = np.repeat(np.fromiter(long.values(), dtype=np.int64, count=len(long)), lengths)
        self.token: list[int] = self._bytes.tolist()
        for gap in self._gaps.tolist():
            self.token[gap] = NO_TOKEN
        self.weight: list[int] = self._weight.tolist()
        self.size = [1] * 256

    def pairs(self) -> tuple[dict[int, int], dict[int, list[int]]]:
        """Before any merge: how often each pair stands in the text, and where its first bytes are, left to right."""
        is_pair = np.ones(len(self._bytes), dtype=bool)
        is_pair[self._gaps] = False  # a gap is neither the first of a pair
        is_pair[self._gaps[1:] - 1] = False  # nor the second
        where = np.flatnonzero(is_pair)
        pair = self._bytes[where].astype(np.uint16) << 8 | self._bytes[where + 1]
        order = np.argsort(pair, kind="stable")
        pair, where = pair[order], where[order]
        bounds = np.flatnonzero(np.diff(pair.astype(np.int64), prepend=-1, append=-1))
        totals = np.concatenate(([0], np.cumsum(self._weight[where])))
        counts: dict[int, int] = defaultdict(int)
        places: dict[int, list[int]] = {}
        for begin, end in itertools.pairwise(bounds.tolist()):
            key = int(pair[begin])
            key = key >> 8 << SHIFT | key & 255
            counts[key] = int(totals[end] - totals[begin])
            places[key] = where[begin:end].tolist()
        return counts, places

    def merge(self, first: int, second: int, new: int, places: list[int]) -> tuple[Neighbors, Neighbors]:
        """Put ``new`` wherever ``first`` and ``second`` still stand side by side, from left to right.

        Returns:
            The tokens that now stand before ``new``, and those after it: how often, and at which places the pairs
            with them begin.
        """
        token, weight, size = self.token, self.weight, self.size
        to_second, to_end = size[first], size[first] + size[second]
        size.append(to_end)
        lefts, rights = Neighbors(), Neighbors()
        left_counts, left_places, right_counts, right_places = lefts.counts, lefts.places, rights.counts, rights.places
        for place in places:
            if token[place] != first or token[place + to_second] != second:
                continue  # one of them has become part of another token
            neighbor, count = token[place - 1], weight[place]
            if neighbor >= 0:
                left_counts[neighbor] += count
                left_places[neighbor].append(place - size[neighbor])
            neighbor = token[place + to_end]
            if neighbor >= 0:
                right_counts[neighbor] += count
                right_places[neighbor].append(place)
            token[place + to_second] = GONE
            token[place] = token[place + to_end - 1] = new
        return lefts, rights


class Neighbors:
    """By token: how often it is a neighbor of the new one, and where the pairs with it begin."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = defaultdict(int)
        self.places: dict[int, list[int]] = defaultdict(list)


def learn_merges(words: Mapping[bytes, int], n_merges: int) -> list[tuple[int, int]]:
    """The first ``n_merges`` merges of a text, each two ids; the k-th makes the id ``256 + k``.

    Args:
        words: each distinct chunk of the text, and how often it is there.

    Returns:
        Fewer than ``n_merges`` where no pair is left.
    """
    chain = Words(words)
    counts, places = chain.pairs()
    order = Order()
    heap = [(-count, order.of_pair(pair), pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    while len(merges) < n_merges and heap:
        count, key, pair = heap[0]
        now = counts[pair]
        if now <= 0:
            heapq.heappop(heap)
        elif now != -count:  # it has become rarer since it was pushed
            heapq.heapreplace(heap, (-now, key, pair))
        else:
            heapq.heappop(heap)
            first, second, new = pair >> SHIFT, pair & (1 << SHIFT) - 1, 256 + len(merges)
            merges.append((first, second))
            order.add(first, second)
            lefts, rights = chain.merge(first, second, new, places.pop(pair))
            # What stood beside the new token stood beside one of its halves before.
            for token, count in lefts.counts.items():
                counts[token << SHIFT | first] -= count
                counts[token << SHIFT | new] += count
            for token, count in rights.counts.items():
                counts[second << SHIFT | token] -= count
                counts[new << SHIFT | token] += count
            counts[pair] = 0
            found = {token << SHIFT | new: where for token, where in lefts.places.items()}
            found |= {new << SHIFT | token: where for token, where in rights.places.items()}
            places |= found
            for pair in found:
                heapq.heappush(heap, (-counts[pair], order.of_pair(pair), pair))
    return merges


class Order:
    """A text for each token that sorts in reverse of its bytes, so that the greatest comes first from a heap.

    Each byte b becomes the character 255 - b, and a last character beyond all of these makes the shorter of two that
    begin alike the later one. So the texts of two tokens, joined, sort as the pair does.
    """

    END = chr(256)

    def __init__(self) -> None:
        self.keys = [chr(255 - byte) + self.END for byte in range(256)]

    def add(self, first: int, second: int) -> None:
        """One more token, made of two."""
        self.keys.append(self.keys[first][:-1] + self.keys[second])

    def of_pair(self, pair: int) -> str:
        return self.keys[pair >> SHIFT] + self.keys[pair & (1 << SHIFT) - 1]
