import math

first_losses = {V: math.log(V) for V in (40, 256, 50257)}
