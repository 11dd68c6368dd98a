def adamw_step(weights, gradients, state, lr, decay):
    t = state["t"] = state.get("t", 0) + 1  # once a step
    moved = []
    for i, (w, g) in enumerate(zip(weights, gradients)):
        m = state["m", i] = 0.9 * state.get(("m", i), 0) + 0.1 * g
        v = state["v", i] = 0.95 * state.get(("v", i), 0) + 0.05 * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.95**t)
        w = w * (1 - lr * decay)  # the weight itself, not its gradient
        moved.append(w - lr * m_hat / (v_hat.sqrt() + 1e-8))
    return moved
