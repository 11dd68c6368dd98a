"""A safetensors file by hand: the length of its header (06-2), one tensor with all checks (06-5)."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.values import first_match, need_number

LENGTHS = (1192, 88, 2**40 + 5 * 2**20 + 968)


def _judge_length(attempt: Any) -> str:
    header_length = need_function(attempt, "header_length(data)")
    for length in LENGTHS:
        data = length.to_bytes(8, "little") + b'{"a":1} and so on'
        shown = f"header_length(data), for data that begins with {data[:8].hex(' ')},"
        got = need_number(call(header_length, data, shown=shown), f"What {shown} returned")
        if got == length:
            continue
        known = [
            (int.from_bytes(data[:8], "big"), "The lowest byte comes first: little-endian."),
            (length + 8, "That counts the first 8 bytes as well."),
            (length - 8, "The 8 bytes of the length are not part of the header."),
            (len(data), "That is the length of all the data."),
            (data[0], "That is the first byte alone; the number takes 8."),
            (int.from_bytes(data[:2], "little"), "That is the first two bytes alone; the number takes 8."),
            (int.from_bytes(data[:4], "little"), "That is the first four bytes alone; the number takes 8."),
            (int.from_bytes(data, "little"), "That takes all bytes for one number; only the first 8 belong to it."),
            (sum(data[:8]), "The bytes are digits of one number: each counts 256 times as much as the one before."),
        ]
        words = first_match(got, known, rel=1e-15) or "Byte i, counted from 0, counts 256**i."
        raise Wrong(f"{shown} should return {number(length)}; it returned {number(got)}. {words}")
    return "Eight bytes, the lowest first. A reader compares this number with the size of the file before it reads on."


LENGTH = Exercise(
    id="06-2",
    title="How long is the header?",
    difficulty="easy",
    minutes=5,
    attempt="header_length",
    expects="your function header_length(data) itself, without calling it",
    hints=(
        "Only the first 8 bytes count: `data[:8]`.",
        "In a number of two bytes, lowest first, `a8 04` is 0xa8 + 256 · 0x04 = 168 + 1,024 = 1,192.",
        '`int.from_bytes(data[:8], "little")` does it; so does `struct.unpack("<Q", data[:8])`, which returns a tuple.',
    ),
    judge=_judge_length,
)

TENSORS = {
    "first": np.arange(6, dtype="<f4").reshape(2, 3) / 4 - 0.5,
    "second": np.array([1.5, -2.25, 1e-3, 7.0], dtype="<f4"),
    "third": np.arange(24, dtype="<f4").reshape(2, 3, 4) * 3 + 0.125,
}


def _entries() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, tensor in TENSORS.items():
        offsets = [place, place + tensor.nbytes]
        entries[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        place += tensor.nbytes
    return entries


def _file(**changes: Any) -> bytes:
    """A whole file; ``changes`` are those of the second tensor's entry."""
    entries = _entries()
    entries["second"] |= changes
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + b"".join(t.tobytes() for t in TENSORS.values())


def _judge_tensor(attempt: Any) -> str:
    read_tensor = need_function(attempt, "read_tensor(data, name)")
    for name, tensor in TENSORS.items():
        _same(call(read_tensor, _file(), name, shown=f"read_tensor(data, {name!r})"), tensor, name)
    whole, size = _file(), sum(t.nbytes for t in TENSORS.values())
    lies = {
        "data of 5 bytes": (whole[:5], "There is no whole length to be read: ask for at least 8 bytes."),
        "a header that should be longer than all the data": (
            (len(whole)).to_bytes(8, "little") + whole[8:],
            "Compare the length with what is there before you cut the header out.",
        ),
        "data whose last part is missing": (
            whole[: 8 + int.from_bytes(whole[:8], "little") + 32],
            "Slices do not complain when they reach too far. Compare end with the length of what follows the header.",
        ),
        "offsets beyond the end": (
            _file(data_offsets=[size, size + 16]),
            "The tensor should end where the data end, or before.",
        ),
        "offsets that begin below 0": (
            _file(data_offsets=[-20, -4]),
            "Python counts negative places from the end, and reads something else.",
        ),
        "a shape with a negative side": (
            _file(shape=[-1], data_offsets=[24, size + 400]),
            "reshape takes -1 for whatever fits, so the shape fits any slice. Compare end with what is there, and the "
            "product of the shape with the offsets.",
        ),
        "offsets that take fewer bytes than the shape": (
            _file(data_offsets=[24, 32]),
            "A shape of (4,) takes 4 times 4 bytes; the offsets give another number.",
        ),
        "offsets that take more bytes than the shape": (
            _file(data_offsets=[24, 48]),
            "A shape of (4,) takes 4 times 4 bytes; the offsets give another number.",
        ),
        "a dtype of F16": (_file(dtype="F16"), "Those numbers take two bytes each: read as F32 they are nonsense."),
    }
    for lie, (data, words) in lies.items():
        _must_refuse(read_tensor, data, "second", lie, words)
    _must_refuse(read_tensor, whole, "fourth", "a name that is not in the header", "Ask whether it is there.")
    words = "Its entry holds words about the file, no tensor: it has no dtype and no offsets."
    _must_refuse(read_tensor, whole, "__metadata__", 'the name "__metadata__"', words)
    return (
        "A few lines read the numbers; as many ask whether to believe the header. That is the right proportion for a "
        "file that comes from elsewhere."
    )


def _same(got: Any, tensor: np.ndarray, name: str) -> None:
    what = f"What read_tensor(data, {name!r}) returned"
    if hasattr(got, "numpy") and not isinstance(got, np.ndarray):
        got = got.detach().numpy()
    if not isinstance(got, np.ndarray):
        hint = " Does the function end with return?" if got is None else ""
        raise Wrong(f"{what} should be an array of numpy; it is {described(got)}.{hint}")
    if got.shape != tensor.shape:
        words = " reshape(entry['shape']) is missing." if got.size == tensor.size else ""
        raise Wrong(f"{what} should have the shape {tensor.shape}; it has {got.shape}.{words}")
    if got.dtype.kind != "f" or got.dtype.itemsize != 4:
        raise Wrong(f"{what} should hold numbers of the kind float32; it holds {got.dtype}.")
    if np.array_equal(got, tensor):
        return
    words = ""
    if np.array_equal(np.frombuffer(got.astype("<f4").tobytes(), ">f4"), tensor.ravel()):
        words = "The bytes are in the wrong order: '<f4' is little-endian."
    elif name != "first" and got.size <= 6 and np.array_equal(got.ravel(), TENSORS["first"].ravel()[: got.size]):
        words = "Those are the numbers of the first tensor. Where does this one begin?"
    else:
        words = "The offsets are counted from the end of the header, that is from place 8 + its length."
    raise Wrong(f"{what} does not hold the right numbers. {words}")


def _must_refuse(read_tensor: Callable[..., Any], data: bytes, name: str, lie: str, words: str) -> None:
    """ValueError is asked for; another error is told which, and no error is told what was believed."""
    try:
        got = read_tensor(data, name)
    except ValueError:
        return
    except NotImplementedError as error:
        raise Unattempted from error
    except Exception as error:
        kind = type(error).__name__
        raise Wrong(f"For {lie} it raised {kind}; a ValueError is asked for. {words}") from error
    raise Wrong(f"For {lie} it raised no error, and returned {described(got)}. {words}")


TENSOR = Exercise(
    id="06-5",
    title="One tensor, read by hand and not believed",
    difficulty="medium",
    minutes=18,
    attempt="read_tensor",
    expects="your function read_tensor(data, name) itself, without calling it",
    hints=(
        "First without checks, as in this chapter: the length, the header (`json.loads`), the entry of that name, the "
        'bytes between its offsets, `np.frombuffer(..., dtype="<f4").reshape(...)`.',
        "Then ask before each use: are there 8 bytes? Is the header inside the data? Is the name in the header, and "
        "not `__metadata__`? Is the dtype F32? Is 0 <= begin <= end <= len(body)?",
        "The number of bytes must be 4 times the product of the shape: `math.prod(shape)`. Where the answer is no: "
        '`raise ValueError("...")`.',
    ),
    judge=_judge_tensor,
)
