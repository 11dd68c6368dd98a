weights = [1 / 8, 3 / 8, 4 / 8, 0]  # e^(ln 1), e^(ln 3), e^(ln 4), over their sum; nothing for the future
token_2 = {"weights": weights, "mix": 8 * 1 / 8 + 0 * 3 / 8 + 4 * 4 / 8}
