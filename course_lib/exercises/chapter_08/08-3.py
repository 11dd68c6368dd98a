from collections import Counter
from itertools import pairwise


def changes(word, pair):
    merged, i = [], 0
    while i < len(word):
        size = 2 if word[i : i + 2] == pair else 1
        merged.append(b"".join(word[i : i + size]))
        i += size
    change = Counter(pairwise(merged))
    change.subtract(pairwise(word))  # not the minus sign, which leaves out what is below 0
    return {pair: by for pair, by in change.items() if by}
