from torch import nn


def sort_weights(model, weight_decay):
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    decaying, still = [], []
    for w in model.parameters():  # a tied weight comes once
        if w.requires_grad:
            (decaying if w.ndim >= 2 and id(w) not in tables else still).append(w)
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": still, "weight_decay": 0.0}]
