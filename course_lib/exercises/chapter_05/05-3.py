from torch.nn.utils import clip_grad_norm_

from course_lib.losses import cross_entropy


def clipped_step(model, optimizer, x, y, max_norm):
    optimizer.zero_grad()
    logits = model(x)
    loss = cross_entropy(logits, y)
    loss.backward()
    clip_grad_norm_(model.parameters(), max_norm)  # after the gradients are written, before they are used
    optimizer.step()
    return loss.item()
