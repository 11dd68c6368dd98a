def patches(data, size):
    end = len(data) // size * size  # where the last whole patch ends
    whole = [list(data[start : start + size]) for start in range(0, end, size)]
    return whole, list(data[end:])
