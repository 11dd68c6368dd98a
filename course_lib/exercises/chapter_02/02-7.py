def side_by_side(tokens, block_size):
    windows = []
    for start in range(0, len(tokens) - 1, block_size):
        y = tokens[start + 1 : start + block_size + 1]  # the last one may be shorter
        x = tokens[start : start + len(y)]
        windows.append((x, y))
    return windows
