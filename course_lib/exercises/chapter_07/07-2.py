import math


def safe_softmax(scores):
    top = max(scores)  # taken from all, it changes no probability, and no power is above 1
    exps = [math.exp(score - top) for score in scores]
    return [e / sum(exps) for e in exps]
