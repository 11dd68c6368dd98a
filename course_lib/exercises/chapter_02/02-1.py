last_starts = {(N, T): N - T - 1 for N, T in ((6, 2), (9, 8), (1000, 64))}
