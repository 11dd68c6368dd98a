import math

fair = {
    "patch model, bits per byte": 0.97 / math.log(2),  # its loss is per byte already
    "token model, bits per byte": 3.9 / 4.5 / math.log(2),
    "more bytes per pass": "token model",  # 4.5, against 4
    "million bytes at equal compute": 36 * 100 / 5,  # all operations of the one, over those that a byte costs the other
}
