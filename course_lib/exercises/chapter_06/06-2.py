def header_length(data):
    return int.from_bytes(data[:8], "little")
