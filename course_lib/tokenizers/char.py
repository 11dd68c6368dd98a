"""One id per character: the smallest tokenizer that works."""

import unicodedata
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from course_lib.errors import CourseError
from course_lib.tokenizers.base import Tokenizer


def _code_points(text: str) -> np.ndarray:
    """The Unicode number of each character, (N,) uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class CharTokenizer(Tokenizer):
    """Each distinct character of a text is a token; ids follow Unicode order.

    ``unknown`` says what `encode` does with a character outside the vocabulary: None raises
    CourseError, ``""`` leaves it out, and a character of the vocabulary takes its place.
    """

    kind = "char"

    def __init__(self, characters: str, unknown: str | None = None) -> None:
        if not characters:
            raise CourseError("A character tokenizer needs at least one character; the text is empty.")
        if sorted(set(characters)) != list(characters):
            raise CourseError("The characters of a vocabulary should be distinct and in Unicode order.")
        self.characters = characters
        self._points = _code_points(characters)
        # A table from Unicode number to id, -1 where there is none: encoding is one look-up.
        self._ids = np.full(int(self._points[-1]) + 1, -1, dtype=np.int32)
        self._ids[self._points] = np.arange(len(characters))
        self.unknown = unknown
        if unknown and (len(unknown) != 1 or unknown not in characters):
            raise CourseError(
                f"The stand-in for unknown characters should be one of the vocabulary; it is {unknown!r}."
            )

    @classmethod
    def train(cls, text: str | Iterable[str]) -> Self:
        """The vocabulary of a text, or of its pieces: its distinct characters, sorted."""
        found: set[str] = set()
        for piece in [text] if isinstance(text, str) else text:
            found.update(piece)
        return cls("".join(sorted(found)))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def with_unknown(self, unknown: str) -> Self:
        """The same vocabulary with a policy for unknown characters (see the class)."""
        return type(self)(self.characters, unknown)

    def encode_array(self, text: str, start: int = 0) -> np.ndarray:
        points = _code_points(text)
        known = points < len(self._ids)
        ids = np.where(known, self._ids[np.where(known, points, 0)], -1)
        unknown = ids < 0
        if unknown.any():
            if self.unknown is None:
                raise self._unknown_error(text, int(np.flatnonzero(unknown)[0]), start)
            if self.unknown == "":
                return ids[~unknown]
            ids[unknown] = self._ids[ord(self.unknown)]
        return ids

    def _unknown_error(self, text: str, position: int, start: int) -> CourseError:
        character = text[position]
        name = unicodedata.name(character, "no name")
        what = (
            f"The character {character!r} (U+{ord(character):04X}, {name}) at position {start + position} is not among "
            f"the {self.vocab_size} this tokenizer knows. "
        )
        if form := self._form_of(text, position):
            return CourseError(
                f"{what}It knows this letter in the Unicode form {form}: what looks the same can be one character "
                f"(NFC) or a letter and its mark (NFD). Give the text as unicodedata.normalize('{form}', text)."
            )
        return CourseError(
            f"{what}Leave it out of the text, use tokenizer.with_unknown('') to skip such characters, or "
            "with_unknown(' ') to put a known one in their place."
        )

    def _form_of(self, text: str, position: int) -> str | None:
        """The Unicode form in which the letter around ``position`` is known; None where it is in neither."""
        around = text[max(position - 4, 0) : position + 5]  # a letter in parts is rarely longer
        known = set(self.characters)
        for form in ("NFC", "NFD"):
            other = unicodedata.normalize(form, around)
            if text[position] not in other and len(set(other) - known) < len(set(around) - known):
                return form
        return None

    def decode(self, ids: Iterable[int]) -> str:
        points = self._points[self._checked_ids(ids)]
        return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def _state(self) -> dict[str, Any]:
        # The file without a policy, and so its fingerprint, is that of the vocabulary alone.
        policy = {} if self.unknown is None else {"unknown": self.unknown}
        return {"characters": self.characters, **policy}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> Self:
        characters, unknown = state.get("characters"), state.get("unknown")
        if not isinstance(characters, str) or not isinstance(unknown, str | None):
            raise CourseError("A character tokenizer's file should hold its 'characters' as one text.")
        return cls(characters, unknown)
