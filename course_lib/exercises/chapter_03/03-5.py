def count_weights(block_size, vocab_size, n_layer, n_embd, tied):
    C = n_embd
    tables = vocab_size * C + block_size * C
    attention = (3 * C * C + 3 * C) + (C * C + C)  # qkv and proj, each with a bias
    mlp = (4 * C * C + 4 * C) + (4 * C * C + C)  # up and down
    norm = 2 * C  # gain and bias
    head = 0 if tied else vocab_size * C
    return tables + n_layer * (norm + attention + norm + mlp) + norm + head
