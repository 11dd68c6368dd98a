def forbidden(tokens, n):
    if len(tokens) < n - 1:
        return set()
    ending = tokens[len(tokens) - n + 1 :]  # the last n - 1 tokens; none for n = 1
    places = range(len(tokens) - n + 1)
    return {tokens[i + n - 1] for i in places if tokens[i : i + n - 1] == ending}
