import torch


def write_on(model, idx, length, temperature, block_size, generator):
    for _ in range(length):
        logits = model(idx[:, -block_size:])[:, -1]  # the last tokens, and what follows the last of them
        probabilities = (logits / temperature).softmax(dim=-1)
        token = torch.multinomial(probabilities, 1, generator=generator)  # (B, 1)
        idx = torch.cat((idx, token), dim=1)
    return idx
