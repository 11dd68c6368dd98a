def trapezoid(step, max_lr, warmup_steps, cooldown_steps, max_steps):
    up = (step + 1) / (warmup_steps + 1)
    down = (max_steps - step) / cooldown_steps
    return max_lr * max(0.0, min(1.0, up, down))
