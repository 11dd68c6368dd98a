import json
import math

import numpy as np


def read_tensor(data, name):
    if len(data) < 8:
        raise ValueError("no whole length")
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise ValueError("the header should be longer than the data")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    if name not in header or name == "__metadata__":
        raise ValueError(f"there is no tensor {name}")
    entry = header[name]
    begin, end = entry["data_offsets"]
    if entry["dtype"] != "F32":
        raise ValueError(f"{entry['dtype']} is not F32")
    if not 0 <= begin <= end <= len(body):
        raise ValueError("the tensor lies outside the data")
    if end - begin != 4 * math.prod(entry["shape"]):
        raise ValueError("shape and offsets do not fit")
    return np.frombuffer(body[begin:end], dtype="<f4").reshape(entry["shape"])
