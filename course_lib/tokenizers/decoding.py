"""Text from ids that come a few at a time, for those who show a text while a model writes it."""

import codecs
from collections.abc import Callable, Iterable


class Decoder:
    """The texts that `add` returns, and then the one of `finish`, make up the text of all ids, however they are split.

    This one is for tokens that are whole characters.

    Args:
        decode: a tokenizer's `decode`.
    """

    def __init__(self, decode: Callable[[Iterable[int]], str]) -> None:
        self._decode = decode

    def add(self, ids: Iterable[int]) -> str:
        """The text that is certain now: none yet, where ``ids`` end inside a character.

        Raises:
            CourseError: for an id outside the vocabulary.
        """
        return self._decode(ids)

    def finish(self) -> str:
        """The text of what waits for the rest of its character; the next id then begins a new text."""
        return ""


class Utf8Decoder(Decoder):
    """For tokens that are bytes: a character comes when its last byte has come.

    What cannot become a character is U+FFFD, one for each maximal part that could have begun one, as the Unicode
    standard (section 3.9) recommends and Python's ``bytes.decode(errors="replace")`` does.

    Args:
        to_bytes: ids -> the bytes that they stand for.
    """

    def __init__(self, to_bytes: Callable[[Iterable[int]], bytes]) -> None:
        self._to_bytes = to_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, ids: Iterable[int]) -> str:
        return self._utf8.decode(self._to_bytes(ids))

    def finish(self) -> str:
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest
