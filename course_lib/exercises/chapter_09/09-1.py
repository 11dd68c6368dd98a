sees = {
    0: (0, 0),  # nothing is known yet: the model begins with a latent of its own
    5: (4, 1),
    8: (8, 0),  # the first byte of its patch
    11: (8, 3),
}
