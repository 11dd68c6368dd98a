import torch


def lion(w, g, state, lr, decay):
    m = state.get("m", 0)
    direction = torch.sign(0.9 * m + 0.1 * g)
    state["m"] = 0.99 * m + 0.01 * g  # after the direction was taken
    return w - lr * (direction + decay * w)
