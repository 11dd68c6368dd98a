from itertools import pairwise


def encode_word(word, merges):
    rank = {pair: i for i, pair in enumerate(merges)}
    pieces = [bytes([byte]) for byte in word]
    while True:
        known = [pair for pair in pairwise(pieces) if pair in rank]
        if not known:
            return pieces
        first, second = min(known, key=rank.get)
        i = 0
        while i < len(pieces) - 1:
            if (pieces[i], pieces[i + 1]) == (first, second):
                pieces[i : i + 2] = [first + second]
            i += 1
