import math


def loss_gradients(logits, target):
    largest = max(logits)
    exps = [math.exp(logit - largest) for logit in logits]
    gradients = [e / sum(exps) for e in exps]
    gradients[target] -= 1
    return gradients
