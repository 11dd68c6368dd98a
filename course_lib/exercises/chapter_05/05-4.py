import torch

from course_lib.losses import cross_entropy


def validation_loss(model, batches):
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for x, y in batches:
            total += cross_entropy(model(x), y).item() * y.numel()
            count += y.numel()
    model.train(was_training)
    return total / count
