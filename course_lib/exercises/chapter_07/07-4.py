import torch


def nucleus(probabilities, p):
    ordered, places = probabilities.sort(descending=True, stable=True)  # equals stay in their order
    before = ordered.cumsum(0) - ordered  # what the likelier ones hold together
    kept = ordered.masked_fill(before >= p * (1 - 2e-6), 0.0)  # reached, but for rounding
    return torch.zeros_like(probabilities).scatter_(0, places, kept / kept.sum())  # each back to its own place
