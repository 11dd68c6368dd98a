from course_lib.models.micro import Value


def fit(data, steps, lr):
    w, b = Value(0.0), Value(0.0)
    losses = []
    for _ in range(steps):
        loss = Value(0.0)
        for x, y in data:
            loss = loss + (w * x + b - y) ** 2  # every pair counts
        loss = loss / len(data)
        loss.backward()
        for p in (w, b):
            p.data = p.data - lr * p.grad  # downhill
            p.grad = 0.0  # the next step begins afresh
        losses.append(loss.data)
    return w.data, b.data, losses
