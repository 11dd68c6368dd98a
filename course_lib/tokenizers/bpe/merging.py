"""Merges applied to one word: which tokens a chunk of text becomes."""

import heapq
import itertools
from collections.abc import Mapping, Sequence


def merged(ids: Sequence[int], merges: Mapping[tuple[int, int], int]) -> list[int]:
    """``ids`` after all merges that apply, the earliest merge first, and from left to right.

    The work grows as n log n, so that a megabyte without a space is no trap.

    Args:
        ids: the ids of the word's bytes.
        merges: pair of ids -> the id of what it becomes; earlier merges have smaller ids.
    """
    token = [*ids, -1]
    before, after = list(range(-1, len(token) - 1)), list(range(1, len(token) + 1))
    waiting = [(merges[pair], place) for place, pair in enumerate(itertools.pairwise(ids)) if pair in merges]
    heapq.heapify(waiting)
    while waiting:
        new, place = heapq.heappop(waiting)
        other = after[place]
        if other >= len(ids) or merges.get((token[place], token[other])) != new:
            continue  # one of the two has become part of another token
        left, right = before[place], after[other]
        token[place], token[other] = new, -1
        after[place], before[right] = right, place
        if left >= 0 and (found := merges.get((token[left], new))):
            heapq.heappush(waiting, (found, left))
        if right < len(ids) and (found := merges.get((new, token[right]))):
            heapq.heappush(waiting, (found, place))
    return [i for i in token if i >= 0]
