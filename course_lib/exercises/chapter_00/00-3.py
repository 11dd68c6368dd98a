# p = 6, d = 1, L = 4. From the right: the gradient of d is 2d = 2, and d = p + b hands 2 on to p and to b.
gradients_by_hand = {
    "w": 2 * 2 + 1,  # through p: 2 times x; and 1 by the last +
    "x": 2 * 3,  # through p: 2 times w
    "b": 2,
}
