"""Byte-pair encoding: tokens between bytes and words, learned from a text."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from course_lib.errors import CourseError, CourseWarning, need_whole
from course_lib.tokenizers.base import Tokenizer
from course_lib.tokenizers.bpe.counting import count_words, words_in_utf8
from course_lib.tokenizers.bpe.gpt2 import read_gpt2
from course_lib.tokenizers.bpe.learning import learn_merges
from course_lib.tokenizers.bpe.merging import merged
from course_lib.tokenizers.bpe.splitting import GPT2_PATTERN, Splitter
from course_lib.tokenizers.byte import to_utf8
from course_lib.tokenizers.decoding import Decoder, Utf8Decoder

if TYPE_CHECKING:
    import tiktoken

BYTES = bytes(range(256))
AHEAD = 1 << 14
"""How many characters `BPETokenizer.encode_iterable` takes at once."""
MOST_REMEMBERED = 1 << 16
"""So many words and their ids are remembered where they are merged in Python."""


class BPETokenizer(Tokenizer):
    """Tokens that begin as the 256 bytes and grow by merges; no text is unknown.

    The k-th merge makes the id ``256 + k``; special tokens have the ids after the last merge. They are never made from
    plain text, only where `encode` is told to allow them.

    Args:
        merges: pairs of ids, in the order in which they were learned.
        pattern: the regular expression that splits a text into chunks.
        special_tokens: texts such as ``<|endoftext|>`` that are one token each.
        bytes_by_id: which byte each of the first 256 ids stands for.

    Raises:
        CourseError: for merges of ids that there are not yet, for one token made twice, for special tokens that are
            empty or twice there, and for a pattern that does not compile.
    """

    kind = "bpe"

    def __init__(
        self,
        merges: Iterable[tuple[int, int]],
        pattern: str = GPT2_PATTERN,
        special_tokens: Sequence[str] = (),
        bytes_by_id: bytes = BYTES,
    ) -> None:
        if sorted(bytes_by_id) != list(BYTES):
            raise CourseError("The first 256 ids should stand for the 256 bytes, each once.")
        self._bytes_by_id = bytes_by_id
        self._ids_by_byte = bytes.maketrans(bytes_by_id, BYTES)
        self._new_ids: dict[tuple[int, int], int] = {}
        self._contents = [bytes([byte]) for byte in bytes_by_id]
        for first, second in merges:
            self._add_merge(first, second)
        self._check_special(special_tokens)
        self.special_tokens = {text: len(self._contents) + i for i, text in enumerate(special_tokens)}
        self._contents += map(to_utf8, special_tokens)
        self.pattern = pattern
        self._splitter = Splitter(pattern, special_tokens)
        self._remembered: dict[str, list[int]] = {}

    def _add_merge(self, first: int, second: int) -> None:
        new = len(self._contents)
        if not (isinstance(first, int | np.integer) and isinstance(second, int | np.integer)):
            raise CourseError(f"The merge that makes id {new} should join two ids; it has {first!r} and {second!r}.")
        if not (0 <= first < new and 0 <= second < new):
            raise CourseError(f"The merge that makes id {new} joins {first} and {second}; ids below {new} are needed.")
        if (first, second) in self._new_ids:
            raise CourseError(f"The merge of {first} and {second} is there twice, for id {new} the second time.")
        self._new_ids[first, second] = new
        self._contents.append(self._contents[first] + self._contents[second])

    @staticmethod
    def _check_special(special_tokens: Sequence[str]) -> None:
        if isinstance(special_tokens, str) or not all(isinstance(text, str) for text in special_tokens):
            raise CourseError(f"special_tokens should be a list of texts; it is {special_tokens!r}.")
        if "" in special_tokens or len(set(special_tokens)) < len(special_tokens):
            raise CourseError(
                f"Special tokens should be distinct texts, none of them empty; they are {special_tokens}."
            )

    # Training ----------------------------------------------------------------------------------------------

    @classmethod
    def train(
        cls,
        text: str | Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        pattern: str = GPT2_PATTERN,
        processes: int = 1,
    ) -> Self:
        """Learn a vocabulary: bytes, then the most frequent pairs, then special tokens.

        Of equally frequent pairs the lexicographically greatest is merged first, compared as two byte strings. Special
        tokens in the text are no material: chunks end where they stand.

        Args:
            text: one text, or its pieces in order, such as a file that is open: it need not fit into memory.
            vocab_size: V, with the 256 bytes and the special tokens.
            processes: how many count at the same time.

        Raises:
            CourseError: for a ``vocab_size`` that bytes and special tokens exceed, an empty text, a pattern that does
                not compile or leaves characters out.

        Warns:
            CourseWarning: where the text has too few pairs for ``vocab_size``; the vocabulary is then smaller.
        """
        cls._check_special(special_tokens)
        least = len(BYTES) + len(special_tokens)
        specials = f" and {_number(special_tokens, 'special token')}" if special_tokens else ""
        vocab_size = need_whole("vocab_size", vocab_size, least, otherwise=f" (256 bytes{specials})")
        words = count_words(text, pattern, special_tokens, processes)
        merges = learn_merges(words_in_utf8(words), vocab_size - least)
        if len(merges) < vocab_size - least:
            warnings.warn(
                f"The text has only {_number(merges, 'pair')} to merge, so the vocabulary has "
                f"{least + len(merges)} tokens and not {vocab_size}. A longer text has more.",
                CourseWarning,
                stacklevel=2,
            )
        return cls(merges, pattern, special_tokens)

    @classmethod
    def gpt2(cls) -> Self:
        """GPT-2's own tokenizer, from the two files that OpenAI published: 50,257 tokens.

        Raises:
            CourseError: where the files are not at hand; it says how to provide them (source ``gpt2-bpe``).
        """
        return cls(*read_gpt2())

    # What it holds -----------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        return len(self._contents)

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in their order, each as the two byte strings that it joins."""
        return [(self._contents[first], self._contents[second]) for first, second in self._new_ids]

    @property
    def vocab(self) -> dict[int, bytes]:
        """The bytes that each id stands for."""
        return dict(enumerate(self._contents))

    # Text to ids -------------------------------------------------------------------------------------------

    def encode(self, text: str, allowed_special: Collection[str] | Literal["all"] = ()) -> list[int]:
        """The ids of ``text``; a special token in it is plain text, unless it is in ``allowed_special``.

        Raises:
            CourseError: for half a character (a lone surrogate), and for an allowed token that there is not.
        """
        return self._encode(text, self._allowed(allowed_special))

    def _encode(self, text: str, allowed: Collection[str], start: int = 0) -> list[int]:
        """`encode` for a part of a text that begins at ``start``."""
        if not allowed:
            return self.encode_array(text, start).tolist()
        splitter = self._splitter if len(allowed) == len(self.special_tokens) else Splitter(self.pattern, allowed)
        ids: list[int] = []
        for part, is_special in splitter.parts(text):
            ids += [self.special_tokens[part]] if is_special else self.encode_array(part, start).tolist()
            start += len(part)
        return ids

    def encode_array(self, text: str, start: int = 0) -> np.ndarray:
        content = to_utf8(text, start)
        encoding = self._tiktoken
        if encoding is None:
            return np.fromiter(self.encode_in_python(text), dtype=np.int32)
        try:
            ids = encoding.encode_to_numpy(text, disallowed_special=()).astype(np.int32)
        except ValueError:  # its regular expressions give up on a million spaces in a row
            return np.fromiter(self.encode_in_python(text), dtype=np.int32)
        if self._sizes[ids].sum() != len(content):
            self._splitter.chunks(text)  # says what the pattern leaves out
        return ids

    def blocks(self, pieces: Iterable[str]) -> Iterator[str]:
        return self._splitter.blocks(pieces)

    def encode_in_python(self, text: str) -> Iterator[int]:
        """The ids of ``text``, by the merges and without tiktoken: slower, and the same."""
        for chunk in self._splitter.chunks(text):
            if chunk not in self._remembered:
                if len(self._remembered) >= MOST_REMEMBERED:
                    self._remembered.clear()
                self._remembered[chunk] = merged(to_utf8(chunk).translate(self._ids_by_byte), self._new_ids)
            yield from self._remembered[chunk]

    def encode_iterable(
        self, lines: Iterable[str], allowed_special: Collection[str] | Literal["all"] = ()
    ) -> Iterator[int]:
        """The ids of the text whose pieces are ``lines``, one by one, in constant memory: `encode` of all joined."""
        allowed, start = self._allowed(allowed_special), 0
        for block in self._splitter.blocks(lines, AHEAD):
            yield from self._encode(block, allowed, start)
            start += len(block)

    def _allowed(self, allowed_special: Collection[str] | Literal["all"]) -> Collection[str]:
        if allowed_special == "all":
            return self.special_tokens.keys()
        if isinstance(allowed_special, str):
            raise CourseError(f"allowed_special should be 'all' or a list of texts; it is {allowed_special!r}.")
        if unknown := set(allowed_special) - self.special_tokens.keys():
            known = ", ".join(map(repr, self.special_tokens)) or "none"
            raise CourseError(f"{unknown.pop()!r} is no special token of this tokenizer; it has {known}.")
        return allowed_special

    # Ids to text -------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; bytes that are not valid UTF-8 become U+FFFD."""
        return self._to_bytes(ids).decode("utf-8", errors="replace")

    def decoder(self) -> Decoder:
        return Utf8Decoder(self._to_bytes)

    def _to_bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join(map(self._contents.__getitem__, self._checked_ids(ids).tolist()))

    # In other forms ----------------------------------------------------------------------------------------

    def to_tiktoken(self) -> "tiktoken.Encoding":
        """The same tokenizer as OpenAI's tiktoken runs it."""
        import tiktoken

        ranks = {content: i for i, content in enumerate(self._contents[: self.vocab_size - len(self.special_tokens)])}
        return tiktoken.Encoding(
            f"course-{self.fingerprint()}",
            pat_str=self.pattern,
            mergeable_ranks=ranks,
            special_tokens=self.special_tokens,
        )

    @cached_property
    def _tiktoken(self) -> "tiktoken.Encoding | None":
        """What encodes; None where tiktoken is not installed, as on a bare machine."""
        try:
            return self.to_tiktoken()
        except ImportError:
            return None

    @cached_property
    def _sizes(self) -> np.ndarray:
        """How many bytes each token has, (V,)."""
        return np.array([len(content) for content in self._contents])

    def save_merges(self, path: str | Path) -> None:
        """A list for people: one merge a line, the new id and the two parts, as Python writes byte strings."""
        lines = [f"{new:6} {first!r} + {second!r}\n" for new, (first, second) in enumerate(self.merges, len(BYTES))]
        Path(path).write_text("".join(lines), encoding="utf-8")

    def _state(self) -> dict[str, Any]:
        merges = [f"{first} {second}" for first, second in self._new_ids]
        order = {} if self._bytes_by_id == BYTES else {"bytes_by_id": self._bytes_by_id.hex()}
        return {"pattern": self.pattern, "special_tokens": list(self.special_tokens), **order, "merges": merges}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> Self:
        try:
            merges = [(int(first), int(second)) for first, second in map(str.split, state["merges"])]
            special, pattern = state["special_tokens"], state["pattern"]
            if not (isinstance(special, list) and all(isinstance(text, str) for text in special)):
                raise TypeError("special_tokens should be a list of texts")
            if not isinstance(pattern, str):
                raise TypeError("pattern should be a text")
            order = bytes.fromhex(state.get("bytes_by_id", BYTES.hex()))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CourseError(
                f"A BPE tokenizer's file should hold merges, a pattern and special tokens: {error}."
            ) from error
        return cls(merges, pattern, special, order)


def _number(things: Collection[object], name: str) -> str:
    """How many, as in "1 pair"."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
