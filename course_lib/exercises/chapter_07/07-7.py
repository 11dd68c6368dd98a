def beam_search(log_probs, start, width, steps, end):
    beams = [(0.0, start)]
    for _ in range(steps):
        candidates = []
        for total, ids in beams:
            if len(ids) > len(start) and ids[-1] == end:
                candidates.append((total, ids))  # finished: it stays as it is
            else:
                candidates += [(total + p, [*ids, token]) for token, p in enumerate(log_probs(ids))]
        beams = sorted(candidates, key=lambda beam: beam[0], reverse=True)[:width]
    return beams[0][1]
