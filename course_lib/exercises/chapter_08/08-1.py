from collections import Counter
from itertools import pairwise


def pair_counts(words):
    counts = Counter()
    for pieces, count in words.items():
        for pair in pairwise(pieces):
            counts[pair] += count
    return counts
