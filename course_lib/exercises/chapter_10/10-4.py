import torch
from torch.nn import functional as F


def train_epochs(model, optimizer, batches, val_x, val_y, epochs):
    val_losses = []
    for _ in range(epochs):
        model.train()  # in each epoch: the validation of the one before has switched it off
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_losses.append(F.cross_entropy(model(val_x), val_y).item())
    return val_losses
