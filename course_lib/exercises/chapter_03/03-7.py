import math

import torch


def copy_head(V):
    copied, dropped = torch.eye(V), torch.zeros(V, V)
    first_half, second_half = torch.cat((copied, dropped)), torch.cat((dropped, copied))
    W_q = 10 * math.sqrt(V) * first_half  # I am this token: who ...
    W_k = second_half  # ... has it before itself?
    W_v = first_half  # that one says which token it is
    return W_q, W_k, W_v
