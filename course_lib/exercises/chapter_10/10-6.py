def count_new(drawn, known):
    seen = {tuple(row) for row in known[:, 1:].tolist()}  # without the class's id
    new = [tuple(row) for row in drawn[:, 1:].tolist() if tuple(row) not in seen]
    return len(new), len(set(new))
