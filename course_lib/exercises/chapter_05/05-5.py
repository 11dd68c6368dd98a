from course_lib.losses import cross_entropy


def accumulated_step(model, optimizer, micro_batches):
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = cross_entropy(model(x), y) / len(micro_batches)
        loss.backward()  # adds to the gradients of the micro-batches before
        total += loss.item()
    optimizer.step()
    return total
