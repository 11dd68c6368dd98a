import copy

from course_lib.losses import cross_entropy


def go_on(model, optimizer, batches, saved, steps):
    first = 0
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))  # it would write into what was saved
        first = saved["step"]
    for step in range(first, first + steps):
        x, y = batches.batch(step)
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": first + steps}
    return copy.deepcopy(state)  # a picture of this moment, not a window on the living model
