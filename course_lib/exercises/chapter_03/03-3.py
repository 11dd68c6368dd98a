may_move = {
    "bigram": [5],
    "gpt": [5, 6, 7],
    "no mask": [0, 1, 2, 3, 4, 5, 6, 7],
    "near, 1 layer": [5, 6],
    "near, 2 layers": [5, 6, 7],  # token 5 is known at position 6 after one layer, at 7 after two
}
