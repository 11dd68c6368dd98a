lr, beta1, beta2 = 0.1, 0.8, 0.99
m = v = 0.0
moves = {}
for t, (name, g) in enumerate([("first", 4.0), ("second", 0.0)], 1):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    moves[name] = -lr * m_hat / v_hat**0.5
