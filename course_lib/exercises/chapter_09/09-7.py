def halting(chances, enough):
    weights = [0.0] * len(chances)
    total = 0.0
    for i, chance in enumerate(chances):
        if total + chance >= enough or i == len(chances) - 1:
            weights[i] = 1 - total  # the last step takes what is left
            break
        weights[i] = chance
        total += chance
    return weights, i + 1
