import numpy as np


def epoch_batch(seed, step, batch_size, n_examples):
    epoch, within = divmod(step, n_examples // batch_size)
    order = np.random.default_rng([seed, epoch]).permutation(n_examples)  # the same at every step of the epoch
    return order[within * batch_size : (within + 1) * batch_size].tolist()
