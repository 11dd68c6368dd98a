"""Which merges a text teaches: byte-pair encoding as Sennrich, Haddow and Birch (2016, arXiv:1508.07909) have it.

Again and again the most frequent pair of neighboring tokens becomes one token. Of pairs that are equally frequent the
lexicographically greatest comes first, compared as two byte strings.

Counting everything anew for each merge takes minutes for what takes a second here: each distinct word is stored once
with its count, a merge visits only the places where its pair stands, and a heap finds the next pair.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from itertools import repeat

SHIFT = 32
"""A pair of ids is one whole number, ``first << SHIFT | second``: such keys are hashed fastest."""
NO_TOKEN = -1
"""Stands between two words."""
GONE = -2
"""Stands where a token was that has become the second half of another."""


class Words:
    """All distinct words, laid flat: a linked list of tokens with `NO_TOKEN` between two words.

    ``token[p]`` is the token at place p, ``before[p]`` and ``after[p]`` are its neighbors' places, and ``weight[p]``
    says how often its word stands in the text. The ids of single bytes are their values.
    """

    def __init__(self, words: Mapping[bytes, int]) -> None:
        self.token: list[int] = []
        self.weight: list[int] = []
        for word, count in words.items():
            if len(word) > 1:  # a single byte has no pair
                self.token.append(NO_TOKEN)
                self.token.extend(word)
                self.weight.extend(repeat(count, len(word) + 1))
        self.token.append(NO_TOKEN)
        self.weight.append(0)
        self.before = list(range(-1, len(self.token) - 1))
        self.after = list(range(1, len(self.token) + 1))

    def pairs(self) -> tuple[dict[int, int], dict[int, list[int]]]:
        """How often each pair stands in the text, and the places of its first tokens, from left to right."""
        counts: dict[int, int] = defaultdict(int)
        places: dict[int, list[int]] = defaultdict(list)
        first = NO_TOKEN
        for place, second in enumerate(self.token):
            if first >= 0 and second >= 0:
                pair = first << SHIFT | second
                counts[pair] += self.weight[place]
                places[pair].append(place - 1)
            first = second
        return counts, places

    def merge(self, first: int, second: int, new: int, places: list[int]) -> tuple[Neighbors, Neighbors]:
        """Put ``new`` wherever ``first`` and ``second`` still stand side by side, from left to right.

        Returns:
            The tokens that now stand before ``new``, and those after it: how often, and at which places the pairs
            with them begin.
        """
        token, before, after, weight = self.token, self.before, self.after, self.weight
        lefts, rights = Neighbors(), Neighbors()
        for place in places:
            if token[place] != first:
                continue  # it has become part of another token
            other = after[place]
            if token[other] != second:
                continue
            left, right, count = before[place], after[other], weight[place]
            neighbor = token[left]
            if neighbor >= 0:
                lefts.counts[neighbor] += count
                lefts.places[neighbor].append(left)
            neighbor = token[right]
            if neighbor >= 0:
                rights.counts[neighbor] += count
                rights.places[neighbor].append(place)
            token[place], token[other] = new, GONE
            after[place], before[right] = right, place
        return lefts, rights


class Neighbors:
    """By token: how often it is a neighbor of the new one, and where the pairs with it begin."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = defaultdict(int)
        self.places: dict[int, list[int]] = defaultdict(list)


def learn_merges(
    words: Mapping[bytes, int], n_merges: int, id_of_byte: bytes = bytes(range(256))
) -> list[tuple[int, int]]:
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
            for pair, where in found.items():
                places[pair] = where
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
