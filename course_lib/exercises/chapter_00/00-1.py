import math

# The mean of the three surprises; by hand (1 + 2 + 3) / 3 * ln 2.
loss_by_hand = (-math.log(1 / 2) - math.log(1 / 4) - math.log(1 / 8)) / 3
