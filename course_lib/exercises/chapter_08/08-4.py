def recover_merges(vocab):
    merges = []
    for token in sorted(vocab, key=vocab.get):
        pieces = [bytes([byte]) for byte in token]
        for pair in merges:  # those that were learned before
            i = 0
            while i < len(pieces) - 1:
                if (pieces[i], pieces[i + 1]) == pair:
                    pieces[i : i + 2] = [b"".join(pair)]
                i += 1
        if len(pieces) == 2:
            merges.append(tuple(pieces))
    return merges
