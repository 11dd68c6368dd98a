steps_seen = {"A": (0.1, 1.0, 0.7), "B": (0.02, 5.0, -2.5), "C": (0.5, -4.0, -3.9)}
edges = {}
for name, (lr, before, after) in steps_seen.items():
    curvature = (1 - after / before) / lr
    edges[name] = 2 / curvature
