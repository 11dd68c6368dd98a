def safe_cuts(text, encode):
    whole = encode(text)
    return [i for i in range(len(text) + 1) if encode(text[:i]) + encode(text[i:]) == whole]
