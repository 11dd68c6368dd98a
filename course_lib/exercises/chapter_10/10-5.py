import random


def maybe_mirrored(image, index, epoch, seed):
    coin = random.Random(f"{seed}, {epoch}, {index}")  # a generator of its own, and all three decide
    return image.flip(2) if coin.random() < 0.5 else image
