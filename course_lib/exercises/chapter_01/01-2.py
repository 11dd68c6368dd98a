digits = f"{0x20AC:016b}"  # 0010000010101100, cut into 4 + 6 + 6
euro_bytes = [int("1110" + digits[:4], 2), int("10" + digits[4:10], 2), int("10" + digits[10:], 2)]
