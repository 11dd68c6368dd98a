import math

import torch
from torch.nn import functional as F


def step(state, q, k, v, W, eps):
    E = len(q)
    if state is None:
        state = (torch.zeros(E, E), torch.zeros(E), torch.zeros(0, E), torch.zeros(0, E))
    total, norm, keys, values = state

    seen, asked = F.elu(k) + 1, F.elu(q) + 1
    total = total + seen[:, None] * v  # not +=, which would change the old state
    norm = norm + seen
    everything = (asked @ total) / (asked @ norm + eps)

    keys = torch.cat((keys, k[None]))[-W:]
    values = torch.cat((values, v[None]))[-W:]
    near = (keys @ q / math.sqrt(E)).softmax(dim=0) @ values
    return everything + near, (total, norm, keys, values)
