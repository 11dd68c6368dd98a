import numpy as np


def load_batch(tokens, part, batch_size, block_size, step):
    cut = len(tokens) * 9 // 10
    tokens = tokens[:cut] if part == "train" else tokens[cut:]  # behind the cut, and nothing before it
    places = len(tokens) - block_size
    starts = np.random.default_rng(step).integers(places, size=batch_size)  # another step, other windows
    rows = np.array([tokens[start : start + block_size + 1] for start in starts])
    return rows[:, :-1], rows[:, 1:]  # moved by one
