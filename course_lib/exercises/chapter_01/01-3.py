def vocabulary_share(V, C, other, tied):
    tables = V * C * (1 if tied else 2)
    return tables / (tables + other)
