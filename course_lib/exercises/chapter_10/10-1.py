def epoch_mean(losses, sizes):
    total = sum(loss * size for loss, size in zip(losses, sizes))
    return total / sum(sizes)
