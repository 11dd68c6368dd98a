from course_lib.losses import cross_entropy
from course_lib.optim import build_adamw


def train_loop(model, batches, steps):
    optimizer = build_adamw(model, lr=0.01)  # one, for the whole loop
    losses = []
    for step in range(steps):
        x, y = batches.batch(step)
        optimizer.zero_grad()  # before backward
        loss = cross_entropy(model(x), y)  # y, not x
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
