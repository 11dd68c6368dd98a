probabilities = {"is": 2 / 3, "ip": 1 / 3, "si": 2 / 4, "mi": 1 / 1}  # the last i has nothing after it
