"""A corpus read block by block, as often as it is needed: it may be larger than memory."""

import hashlib
from collections.abc import Callable, Iterator
from fractions import Fraction

from course_lib.data.bins import Bins
from course_lib.data.datasets import find_corpus, own_path
from course_lib.data.shards import prepared_sha256
from course_lib.errors import CourseError
from course_lib.paths import quoted

Block = str | bytes
"""A piece of a text, or of what is raw: bytes."""


class Stream:
    """A corpus that has been read once, for its size and its sha256, and can be read again.

    Positions in it are characters, or bytes where it is raw.

    Args:
        name: a corpus (see `course_lib.data.datasets`), ``text:PATH`` or ``bytes:PATH``.

    Raises:
        CourseError: for a text that cannot be had or read.
    """

    def __init__(self, name: str) -> None:
        corpus = find_corpus(name)
        self.name, self.tokenizer = name, corpus.tokenizer
        self.is_raw = corpus.is_raw
        self._read: Callable[[], Iterator[Block]]
        self._may_change = corpus.blocks is not None
        if corpus.is_sharded:  # its text is nowhere; what was made from it is
            self.length, self.sha256 = 0, prepared_sha256(name)
            self._read = lambda: iter((corpus.read().decode(),))
            return
        if corpus.blocks is not None:
            self._read = corpus.blocks
        else:
            whole = corpus.read().decode()
            self._read = lambda: iter((whole,))
        self.length, sha256 = 0, hashlib.sha256()
        for block in self._read():
            self.length += len(block)
            sha256.update(to_bytes(block))
        self.sha256 = sha256.hexdigest()

    def parts(self, val_fraction: float, test_fraction: float = 0.0) -> dict[str, tuple[int, int | None]]:
        """Where each part begins and ends, in the order of the text; None is the text's end.

        They are train, val and, where it has a share, test.
        """
        if not test_fraction:  # older runs were cut here: not a character may move
            cut = int(self.length * (1 - val_fraction))
            return {"train": (0, cut), "val": (cut, None)}
        # In decimals, as they are written: of floats 1 - 0.05 - 0.05 is a little less than 0.9, and a byte is missing.
        val, test = (Fraction(str(float(fraction))) for fraction in (val_fraction, test_fraction))
        cut, last = int(self.length * (1 - val - test)), int(self.length * (1 - test))
        return {"train": (0, cut), "val": (cut, last), "test": (last, None)}

    def texts(self, start: int = 0, end: int | None = None) -> Iterator[str]:
        """`blocks` of what is not raw."""
        assert not self.is_raw
        return self.blocks(start, end)  # type: ignore[return-value]

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[Block]:
        """What stands from ``start`` to ``end``; without an end it is checked that nothing has changed since.

        Raises:
            CourseError: where the text is another than at the first reading.
        """
        place, sha256 = 0, hashlib.sha256() if self._may_change and end is None else None
        for block in self._read():
            if part := block[max(start - place, 0) : None if end is None else max(end - place, 0)]:
                yield part
            place += len(block)
            if sha256 is not None:
                sha256.update(to_bytes(block))
            if end is not None and place >= end:
                return
        if sha256 is not None and sha256.hexdigest() != self.sha256:
            raise CourseError(f"{quoted(self.name)} has changed while it was read. Try again when nobody writes to it.")


def opened(name: str) -> Stream | Bins:
    """What a dataset's name stands for: a text to be encoded, or ids that are there already.

    Raises:
        CourseError: where it cannot be had or read.
    """
    return Bins(own_path(name) or "") if name.startswith("bins:") else Stream(name)


def to_bytes(block: Block) -> bytes:
    return block.encode() if isinstance(block, str) else block
