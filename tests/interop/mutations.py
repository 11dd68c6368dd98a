"""Damage, at random but knowing the formats: what a fuzzer does to a run's files."""

import json
import random
import re
import struct
from typing import Any

NUMBERS = [
    *(0, 1, -1, 2, 3, 4, 7, 8, 16, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1),
    *(2**64, 10**30, 1.5, -0.0, 1e308, 1e-320),
]
VALUES = [
    *NUMBERS,
    None,
    True,
    False,
    "",
    "a",
    "gpt",
    "F16",
    "I64",
    "rope",
    "byte",
    [],
    [0],
    [1, 1],
    {},
    {"a": 1},
    [[]],
]
PIECES = [
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\ud83d\\ude00", b"null", b"true"),
    *(b"NaN", b"-", b"1e999", b"00", b"0.", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\n"),
    *(b"[" * 60, b"9" * 400, b'"' + b"a" * 300 + b'"', b'"__metadata__":{},', b'"kind":"gpt",'),
]
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[{}\[\],:]|\w+')


def mutated(draw: random.Random, name: str, content: bytes) -> bytes:
    """One to three changes to the content of the file ``name``."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        ways = [bits, cut, inserted, piece_moved]
        if name.endswith(".json"):
            ways += [token_changed, token_changed, value_changed, value_changed]
        if name == "tokenizer.json" and b'"merges"' in content:
            ways += [merges_changed] * 4 + [bytes_moved] * 2
        if name.endswith(".safetensors") and len(content) > 8:
            ways = [*ways, length_changed, header_tokens, header_values, header_values, header_values, floats_changed]
            ways += [weights_changed, weights_changed]
        if name == "config.json":
            ways += [heads_changed, ngrams_changed]
        if name.endswith(".json"):
            ways += [name_doubled]
        content = draw.choice(ways)(draw, content)
    return content


def bits(draw: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 4))):
        if damaged:  # the beginning holds what matters most
            damaged[draw.randrange(min(len(damaged), draw.choice((16, 600, 10**9))))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def inserted(draw: random.Random, content: bytes) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + draw.choice(PIECES) + content[place:]


def piece_moved(draw: random.Random, content: bytes) -> bytes:
    """A piece is taken out, doubled, or put elsewhere."""
    begin, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    end = min(end, begin + 200)
    place = draw.randrange(len(content) + 1)
    rest = content[:begin] + content[end:] if draw.random() < 0.5 else content
    return rest[:place] + content[begin:end] + rest[place:] if draw.random() < 0.7 else rest


def token_changed(draw: random.Random, content: bytes) -> bytes:
    tokens = list(TOKEN.finditer(content))
    if not tokens:
        return content
    token = draw.choice(tokens)
    new = draw.choice([b"", token[0] * 2, draw.choice(tokens)[0], draw.choice(PIECES), spelled(draw.choice(VALUES))])
    return content[: token.start()] + new + content[token.end() :]


def spelled(value: Any) -> bytes:
    return json.dumps(value).encode()


def value_changed(draw: random.Random, content: bytes) -> bytes:
    """Some value inside valid JSON is another; the JSON stays valid."""
    try:
        root = json.loads(content)
    except (ValueError, RecursionError):
        return bits(draw, content)
    places = list(all_places(root))
    if not places:
        return spelled(draw.choice(VALUES))
    where, key = draw.choice(places)
    old = where[key]
    near = [old + 1, old - 1, old * 2, old // 2] if type(old) is int else [old]
    where[key] = draw.choice([draw.choice(VALUES), draw.choice(NUMBERS), draw.choice(near)])
    if isinstance(where, dict) and draw.random() < 0.1:
        where[draw.choice(["", "x", "__metadata__", "bias"])] = where.pop(key)
    return spelled(root)


def all_places(value: Any) -> Any:
    """Every (container, key) in a JSON value."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from all_places(value[key])


def name_doubled(draw: random.Random, content: bytes) -> bytes:
    """A name of an object is there twice, with the same value or another."""
    names = list(re.finditer(rb'("[^"\\]*"):\s*("[^"\\]*"|[^\s,{}\[\]]+)', content))
    if not names:
        return bits(draw, content)
    found = draw.choice(names)
    value = draw.choice([found[2], spelled(draw.choice(VALUES))])
    return content[: found.start()] + found[1] + b":" + value + b"," + content[found.start() :]


def merges_changed(draw: random.Random, content: bytes) -> bytes:
    """Other pairs: of ids that there are not yet, of the token before (so that tokens double), twice the same, none."""
    try:
        state = json.loads(content)
        merges, special = state["merges"], state["special_tokens"]
        at = draw.randrange(len(merges))
        merges[at] += ""  # it may be no list of texts any more
    except (ValueError, KeyError, TypeError, RecursionError):
        return bits(draw, content)
    new = 256 + at
    pairs = [f"{new} 97", f"97 {new}", f"{new - 1} {new - 1}", "4294967295 97", "97 -1", "97", "97 98 99", "97  98", ""]
    way = draw.randrange(4)
    if way == 0:
        merges[at] = draw.choice(pairs)
    elif way == 1:
        merges[at:] = [f"{max(k - 1, 97)} {max(k - 1, 97)}" for k in range(new, 256 + len(merges))]
    elif way == 2:
        merges[at] = draw.choice(merges[:at] or merges)
        state["special_tokens"] = draw.choice([special, [draw.choice(VALUES)]])
    else:
        merges[:] = [f"{k} {k}" for k in [97, *range(256, 256 + draw.choice((15, 40)))]]
    return spelled(state)


def bytes_moved(draw: random.Random, content: bytes) -> bytes:
    """Ids of bytes in another order, as GPT-2 has them, whole or not."""
    order = list(range(256))
    draw.shuffle(order)
    digits = bytes(order).hex()
    wrong = [digits[:-1], digits[:-2], digits + "00", "00" + digits[2:], "zz" + digits[2:], digits.upper(), "", 5]
    try:
        return spelled(json.loads(content) | {"bytes_by_id": draw.choice([digits, draw.choice(wrong)])})
    except (ValueError, TypeError, RecursionError):
        return bits(draw, content)


def length_changed(draw: random.Random, content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    others = [length + 1, length - 1, len(content), len(content) - 8, len(content) - 7, draw.choice(NUMBERS)]
    return struct.pack("<Q", int(draw.choice(others)) % 2**64) + content[8:]


def with_header(content: bytes, change: Any) -> bytes:
    """The header changed, and its length kept right."""
    length = int.from_bytes(content[:8], "little")
    header = change(content[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def header_tokens(draw: random.Random, content: bytes) -> bytes:
    return with_header(content, lambda header: token_changed(draw, header))


def header_values(draw: random.Random, content: bytes) -> bytes:
    return with_header(content, lambda header: value_changed(draw, header))


def weights_changed(draw: random.Random, content: bytes) -> bytes:
    """The last weight is gone, is there twice, or has another name; the offsets are right all the same."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
        last = max(header, key=lambda name: header[name]["data_offsets"][1])
        begin, end = header[last]["data_offsets"]
        data = content[8 + length :]
        entry = header.pop(last)
        way = draw.choice(["gone", "another name", "one more"])
        if way == "gone":
            data = data[:begin]
        elif way == "another name":
            header[last + draw.choice(["", ".bias", "x"])] = entry
        else:
            more = entry | {"data_offsets": [end, 2 * end - begin]}
            header |= {last: entry, draw.choice([last + ".bias", "x"]): more}
            data += data[begin:end]
    except (ValueError, KeyError, TypeError, RecursionError):
        return bits(draw, content)
    new = spelled(header)
    return struct.pack("<Q", len(new)) + new + data


def heads_changed(draw: random.Random, content: bytes) -> bytes:
    """Another number of heads: no weight's shape depends on it."""
    try:
        root = json.loads(content)
        root["model"]["n_head"] = draw.choice([1, 2, 3, 4, 5, 8, 16])
    except (ValueError, KeyError, TypeError, RecursionError):
        return bits(draw, content)
    return spelled(root)


def ngrams_changed(draw: random.Random, content: bytes) -> bytes:
    """Other n-grams, or another number of rows: of the right kind or not, for these weights or not."""
    orders = [[2, 5], [5, 2], [2, 2], [1, 5], [2, 33], [3, 5], [2, 32], [2], [], [2, 5, 6], [2, True], [2.0, 5], None]
    try:
        root = json.loads(content)
        name = draw.choice(["ngrams", "ngram_rows"])
        numbers = [1, 28, 29, 30, 575, 576, 577, *NUMBERS]
        root["model"][name] = draw.choice([draw.choice(orders), [2, draw.choice(NUMBERS)]])
        if name == "ngram_rows":
            root["model"][name] = draw.choice(numbers)
    except (ValueError, KeyError, TypeError, RecursionError):
        return bits(draw, content)
    return spelled(root)


def floats_changed(draw: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 3))):
        place = len(damaged) - 4 * draw.randrange(1, len(damaged) // 4 + 1)
        values = [float("nan"), float("inf"), 3e38, -3e38, 1e-45, 1e20, 0.0]
        damaged[place : place + 4] = struct.pack("<f", draw.choice(values))
    return bytes(damaged)
