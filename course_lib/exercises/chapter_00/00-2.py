def predictions(name, block_size):
    pairs = []
    for i in range(len(name) + 1):  # one more than letters: the last question is whether it ends
        pairs.append((name[:i], name[i : i + 1]))
    return pairs[:block_size]
