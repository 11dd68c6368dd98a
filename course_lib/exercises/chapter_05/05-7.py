import torch


def loss_by_position(model, batches):
    was_training = model.training
    model.eval()
    total, windows = 0.0, 0
    with torch.no_grad():
        for x, y in batches:
            log_probabilities = model(x).log_softmax(dim=-1)  # (B, T, V)
            losses = -log_probabilities.gather(-1, y[..., None]).squeeze(-1)  # (B, T)
            total = total + losses.sum(dim=0)  # (T,)
            windows += len(y)
    model.train(was_training)
    return total / windows
