def numeric_gradients(f, xs):
    h = 1e-5
    gradients = []
    for i in range(len(xs)):
        up = list(xs)
        up[i] += h
        down = list(xs)
        down[i] -= h
        gradients.append((f(up) - f(down)) / (2 * h))
    return gradients
