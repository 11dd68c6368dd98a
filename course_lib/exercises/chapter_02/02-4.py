def share_of(starts, batch_size, rank, world_size, micro):
    grad_accum = len(starts) // batch_size  # micro-batches of the whole step
    micro_steps = grad_accum // world_size  # those of one process
    first = (rank * micro_steps + micro) * batch_size
    return starts[first : first + batch_size]
