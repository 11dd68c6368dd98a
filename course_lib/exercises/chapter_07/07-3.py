def exactly_k(probabilities, k):
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])  # equals stay in their order
    places = set(order[:k])
    kept = [p if i in places else 0.0 for i, p in enumerate(probabilities)]
    return [p / sum(kept) for p in kept]
