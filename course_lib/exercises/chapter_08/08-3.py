def best_pair(counts):
    return max(counts, key=lambda pair: (counts[pair], pair))
