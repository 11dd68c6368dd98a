def split(stories, n_val):
    cut = len(stories) - n_val
    val = stories[cut:]
    held_out = set(val)
    train = [story for story in stories[:cut] if story not in held_out]
    return train, val
