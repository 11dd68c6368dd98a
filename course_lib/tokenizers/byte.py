"""One id per byte of UTF-8: no text is unknown, and there is nothing to train."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from course_lib.errors import CourseError
from course_lib.tokenizers.base import Tokenizer
from course_lib.tokenizers.decoding import Decoder, Utf8Decoder


def to_utf8(text: str, start: int = 0) -> bytes:
    """``text`` in UTF-8; raises CourseError for half a character (a lone surrogate), which has no such form."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CourseError(
            f"The text has half a character, a lone surrogate (U+{ord(text[error.start]):04X}), at position "
            f"{start + error.start}; it has no UTF-8 form. Take it out."
        ) from error


class ByteTokenizer(Tokenizer):
    """The 256 byte values are the tokens; text goes through UTF-8."""

    kind = "byte"

    @classmethod
    def train(cls, text: str = "") -> Self:
        """Learns nothing from ``text``; it is here so that all tokenizers are made alike."""
        return cls()

    @property
    def vocab_size(self) -> int:
        return 256

    def encode_array(self, text: str, start: int = 0) -> np.ndarray:
        content = to_utf8(text, start)
        return np.frombuffer(content, dtype=np.uint8).astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; bytes that are not valid UTF-8 become U+FFFD."""
        return self._to_bytes(ids).decode("utf-8", errors="replace")

    def decoder(self) -> Decoder:
        return Utf8Decoder(self._to_bytes)

    def _to_bytes(self, ids: Iterable[int]) -> bytes:
        return self._checked_ids(ids).astype(np.uint8).tobytes()

    def _state(self) -> dict[str, Any]:
        return {}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> Self:
        return cls()
