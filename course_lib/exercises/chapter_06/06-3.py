import math


def best_saves(losses, best):
    places = []
    for place, loss in enumerate(losses):
        if loss is None or math.isnan(loss):
            continue
        if best is None or loss < best:
            best = loss
            places.append(place)
    return places
