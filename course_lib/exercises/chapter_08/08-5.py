import math


def best_run(runs):
    scores = {name: nats * tokens / math.log(2) / n_bytes for name, (nats, tokens, n_bytes) in runs.items()}
    best = min(scores, key=scores.get)
    return best, scores[best]
