def of(T):
    ratio = 9 ** (1 / T)  # 9 at T = 1
    return ratio / (ratio + 1)


likelier = {0.5: of(0.5), 2: of(2), 1000: of(1000)}  # 0.99, 0.75, 0.50
