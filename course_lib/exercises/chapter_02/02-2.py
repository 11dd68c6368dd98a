def examples(tokens, start, block_size):
    pairs = []
    for t in range(block_size):
        context = tokens[start : start + t + 1]  # up to place t, and t itself
        target = tokens[start + t + 1]
        pairs.append((context, target))
    return pairs
