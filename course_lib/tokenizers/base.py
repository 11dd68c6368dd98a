"""What every tokenizer can do, and the file in which it is kept."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from course_lib.errors import CourseError
from course_lib.paths import quoted
from course_lib.tokenizers.decoding import Decoder

FORMAT = "course_lib tokenizer"
VERSION = 1
_KINDS: dict[str, type["Tokenizer"]] = {}


class Tokenizer(ABC):
    """Text to ids and back; ids are whole numbers from 0 to ``vocab_size - 1``."""

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        _KINDS[cls.kind] = cls

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """V: how many ids there are."""

    @abstractmethod
    def encode_array(self, text: str, start: int = 0) -> np.ndarray:
        """The ids of ``text`` as an integer array (N,): what `encode` gives, for large texts.

        Args:
            start: where ``text`` begins in a longer one; messages count positions from the beginning of that.
        """

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; raises CourseError for an id outside the vocabulary."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """What makes this tokenizer itself, as plain JSON values."""

    @classmethod
    @abstractmethod
    def _from_state(cls, state: dict[str, Any]) -> Self:
        """The reverse of `_state`; raises CourseError where it is malformed."""

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``; raises CourseError for what the vocabulary cannot express."""
        return self.encode_array(text).tolist()

    def blocks(self, pieces: Iterable[str]) -> Iterator[str]:
        """``pieces`` cut anew, so that the ids of all blocks, joined, are those of the whole text."""
        return iter(pieces)

    def decoder(self) -> Decoder:
        """What decodes ids as they come; its texts joined are `decode` of all ids."""
        return Decoder(self.decode)

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, "kind": self.kind, **self._state()}

    def fingerprint(self) -> str:
        """The first 16 hex digits of the sha256 of the tokenizer's canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        Path(path).write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=True) + "\n", encoding="utf-8")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __reduce__(self) -> "tuple[Callable[[Any], Tokenizer], tuple[dict[str, Any]]]":
        """Another process gets it as its file has it."""
        return tokenizer_from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size})"

    def _checked_ids(self, ids: Iterable[int]) -> np.ndarray:
        """``ids`` as an array (N,), each inside the vocabulary."""
        array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids))
        if array.size == 0:
            return np.zeros(0, dtype=np.int64)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise CourseError(
                f"decode expects a flat list of whole numbers; it got {array.dtype} of shape {array.shape}."
            )
        if array.min() < 0 or array.max() >= self.vocab_size:
            bad = int(np.flatnonzero((array < 0) | (array >= self.vocab_size))[0])
            raise CourseError(
                f"Token id {int(array[bad])} at position {bad} is not in the vocabulary of {self.vocab_size} "
                f"(ids 0 to {self.vocab_size - 1}). Was it made by another tokenizer?"
            )
        return array


def tokenizer_from_dict(state: Any) -> Tokenizer:
    """The tokenizer that `Tokenizer.to_dict` described; raises CourseError where it is none."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CourseError(f"This is not a tokenizer file: it should hold a JSON object with format {FORMAT!r}.")
    if state.get("version") != VERSION:
        raise CourseError(
            f"The tokenizer file has version {state.get('version')!r}; this course_lib reads version {VERSION}. "
            "Update course_lib."
        )
    kind = state.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise CourseError(f"The tokenizer kind {kind!r} is unknown; known are {', '.join(sorted(_KINDS))}.")
    return _KINDS[kind]._from_state(state)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read a tokenizer file; raises CourseError where it is missing or damaged."""
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CourseError(f"There is no tokenizer file at {quoted(path)}.") from error
    except OSError as error:
        raise CourseError(f"Cannot read the tokenizer file {quoted(path)}: {error.strerror}.") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise CourseError(f"{quoted(path)} is not a tokenizer file: {error}.") from error
    return tokenizer_from_dict(state)
