import math


def clip_all(model, max_norm):
    gradients = [w.grad for w in model.parameters() if w.grad is not None]
    norm = math.sqrt(sum((g**2).sum().item() for g in gradients))
    if not math.isfinite(norm):
        for w in model.parameters():
            w.grad = None
    elif norm > max_norm:
        for g in gradients:
            g *= max_norm / norm  # one factor for all
    return norm
