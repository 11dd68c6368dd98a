def times_read(steps, batch_size, block_size, grad_accum, n_characters):
    characters_per_step = batch_size * block_size * grad_accum
    return steps * characters_per_step / n_characters
