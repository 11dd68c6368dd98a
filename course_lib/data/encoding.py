"""Text to ids on disk, block by block and by several processes: they are never in memory as a whole."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from course_lib.data.streams import Block, Stream, to_bytes
from course_lib.processes import in_turn
from course_lib.tokenizers import Tokenizer


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 (little-endian) that holds every id."""
    return np.dtype("<u2" if vocab_size <= 65_536 else "<u4")


def write_tokens(
    folder: Path, stream: Stream, tokenizer: Tokenizer, parts: dict[str, tuple[int, int | None]], processes: int
) -> dict[str, dict[str, int]]:
    """Encode each part of a text into ``<part>.bin``; the same ids, however many processes do it.

    Args:
        parts: where each begins and ends, see `Stream.parts`.

    Returns:
        ``counts`` and ``bytes``: how many ids, and bytes of text, each part has.
    """
    counts, sizes = dict.fromkeys(parts, 0), dict.fromkeys(parts, 0)
    work = partial(_encoded, tokenizer, token_dtype(tokenizer.vocab_size))
    blocks = _placed(stream, tokenizer, parts)
    with contextlib.ExitStack() as opened:
        files = {split: opened.enter_context((folder / f"{split}.bin").open("wb")) for split in parts}
        for split, ids, size in in_turn(work, blocks, processes):
            ids.tofile(files[split])
            counts[split] += len(ids)
            sizes[split] += size
    return {"counts": counts, "bytes": sizes}


def _placed(
    stream: Stream, tokenizer: Tokenizer, parts: dict[str, tuple[int, int | None]]
) -> Iterator[tuple[str, int, Block]]:
    """The blocks of all parts as they can be encoded one by one, each with its place in the whole text."""
    for split, (place, end) in parts.items():
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
