import torch


def confusion(labels, answers, n_classes):
    table = torch.zeros(n_classes, n_classes, dtype=torch.long)
    for label, answer in zip(labels.tolist(), answers.tolist()):
        table[label, answer] += 1
    return table
