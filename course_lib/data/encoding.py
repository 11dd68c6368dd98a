"""Text to ids on disk, block by block and by several processes: they are never in memory as a whole."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from course_lib.data.streams import Block, Stream, to_bytes
from course_lib.processes import in_turn
from course_lib.tokenizers import Tokenizer

SPLITS = ("train", "val")


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 (little-endian) that holds every id."""
    return np.dtype("<u2" if vocab_size <= 65_536 else "<u4")


def write_tokens(
    folder: Path, stream: Stream, tokenizer: Tokenizer, val_fraction: float, processes: int
) -> dict[str, dict[str, int]]:
    """Encode both parts of a text into ``train.bin`` and ``val.bin``; the same ids, however many processes do it.

    Returns:
        ``counts`` and ``bytes``: how many ids, and bytes of text, each part has.
    """
    counts, sizes = dict.fromkeys(SPLITS, 0), dict.fromkeys(SPLITS, 0)
    work = partial(_encoded, tokenizer, token_dtype(tokenizer.vocab_size))
    blocks = _placed(stream, tokenizer, stream.cut(val_fraction))
    with (folder / "train.bin").open("wb") as train, (folder / "val.bin").open("wb") as val:
        files = {"train": train, "val": val}
        for split, ids, size in in_turn(work, blocks, processes):
            ids.tofile(files[split])
            counts[split] += len(ids)
            sizes[split] += size
    return {"counts": counts, "bytes": sizes}


def _placed(stream: Stream, tokenizer: Tokenizer, cut: int) -> Iterator[tuple[str, int, Block]]:
    """The blocks of both parts as they can be encoded one by one, each with its place in the whole text."""
    for split, (place, end) in zip(SPLITS, ((0, cut), (cut, None)), strict=True):
        raw = stream.is_raw
        blocks: Iterator[Block] = stream.blocks(place, end) if raw else tokenizer.blocks(stream.texts(place, end))
        for block in blocks:
            yield split, place, block
            place += len(block)


def _encoded(tokenizer: Tokenizer, dtype: np.dtype, placed: tuple[str, int, Block]) -> tuple[str, np.ndarray, int]:
    """The part that a block belongs to, its ids, and how many bytes it has. Raw bytes are their own ids."""
    split, start, block = placed
    content = to_bytes(block)
    ids = np.frombuffer(content, dtype=np.uint8) if isinstance(block, bytes) else tokenizer.encode_array(block, start)
    return split, ids.astype(dtype), len(content)
