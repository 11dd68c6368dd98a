import math

import torch


def half_block(x, gain, qkv, proj, n_head):
    B, T, C = x.shape
    variance = x.var(dim=-1, correction=0, keepdim=True)  # over the numbers of each token
    normed = (x - x.mean(dim=-1, keepdim=True)) / (variance + 1e-5).sqrt() * gain
    q, k, v = (normed @ qkv.T).split(C, dim=-1)
    q = q.reshape(B, T, n_head, C // n_head).transpose(1, 2)  # cut C, not time
    k = k.reshape(B, T, n_head, C // n_head).transpose(1, 2)
    v = v.reshape(B, T, n_head, C // n_head).transpose(1, 2)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = (q @ k.mT / math.sqrt(C // n_head)).masked_fill(future, -math.inf)  # the root of head_dim
    mixes = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(B, T, C)
    return x + mixes @ proj.T
