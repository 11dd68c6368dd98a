def safe_cut(ids, most):
    end = min(most, len(ids))
    while 0 < end < len(ids) and 128 <= ids[end] < 192:  # the middle of a character: step back
        end -= 1
    return ids[:end]
