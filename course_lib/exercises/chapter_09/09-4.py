import torch


def band(N, W):
    i = torch.arange(N)[:, None]  # a column: the queries
    j = torch.arange(N)  # a row: the keys
    return (j <= i) & (j > i - W)
