"""A folder of ids as nanoGPT's prepare.py leaves it: ``train.bin``, ``val.bin`` and, for characters, ``meta.pkl``."""

import hashlib
import io
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.errors import CourseError, in_short
from course_lib.paths import quoted, user_path
from course_lib.tokenizers import BPETokenizer, CharTokenizer, Tokenizer

PARTS = ("train", "val")
DTYPE = np.dtype("<u2")
AT_ONCE = 1 << 24
"""So many ids are looked at at a time."""
LARGE = 1 << 30
"""Of a file of more bytes it is said that it is copied: that takes a while."""
MOST_CHARACTERS = 1 << 16
"""An id of two bytes knows no more."""
MOST_META = 1 << 26
"""A meta.pkl of more bytes is none: of a vocabulary it is a list, twice."""


class _PlainUnpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """Reads containers, numbers and texts. A pickle that asks for anything else asks by a name, and gets none.

    It is pickle's form in Python: the one in C reserves as much memory as a few bytes of a file may ask for.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_plain_pickle(path: Path) -> Any:
    """What a pickle of plain containers, numbers and texts holds.

    Raises:
        CourseError: where it cannot be read, or holds anything else; nothing that it asks for is imported or called.
    """
    try:
        if path.stat().st_size > MOST_META:
            raise ValueError(f"it has more than {MOST_META:,} bytes")
        return _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # of a damaged pickle, and of one that was made to do harm, errors of all kinds come
        raise CourseError(
            f"{quoted(path)} should be a pickle of plain containers, numbers and texts; it cannot be read as such "
            f"({in_short(error)}). Nothing that it may hold was run."
        ) from error


def meta_tokenizer(path: Path) -> CharTokenizer:
    """The tokenizer of a ``meta.pkl``, which has ``itos``, the character of each id.

    Raises:
        CourseError: where it cannot be read, runs something, or holds no vocabulary of characters in Unicode order.
    """
    meta = read_plain_pickle(path)
    itos = meta.get("itos") if isinstance(meta, dict) else None
    if isinstance(itos, list):
        itos = dict(enumerate(itos))
    if not (isinstance(itos, dict) and itos and all(isinstance(c, str) and len(c) == 1 for c in itos.values())):
        raise CourseError(f"{quoted(path)} should hold itos, one character for each id; it does not.")
    if len(itos) > MOST_CHARACTERS:
        raise CourseError(
            f"{quoted(path)} should have at most {MOST_CHARACTERS:,} characters, as its ids have two bytes; it has "
            f"{len(itos):,}. Prepare the text itself, with bytes or pairs of them: text:PATH --tokenizer bpe"
        )
    size = meta.get("vocab_size", len(itos))
    whole = all(type(number) is int for number in (*itos, size))  # True and 1.0 would be equal to 1
    if not whole or size != len(itos) or sorted(itos) != [*range(size)]:
        last = len(itos) - 1
        raise CourseError(f"The ids of {quoted(path)} should be those from 0 to {last}, as many as its vocab_size.")
    stoi = meta.get("stoi", {})
    if not (isinstance(stoi, dict) and all(type(i) is int and itos.get(i) == c for c, i in stoi.items())):
        raise CourseError(
            f"In {quoted(path)} stoi should say of each character the id that itos has for it; it says others, so "
            "nobody can tell which the ids were made with. Prepare the text itself: text:PATH."
        )
    characters = "".join(itos[i] for i in range(len(itos)))
    if sorted(set(characters)) != list(characters):
        raise CourseError(
            f"The characters of {quoted(path)} should be distinct and in Unicode order, as nanoGPT's prepare.py has "
            "them; they are not. Prepare the text itself: text:PATH."
        )
    return CharTokenizer(characters)


class Bins:
    """Such a folder, opened. No ``meta.pkl`` means GPT-2's vocabulary.

    Args:
        path: the folder.

    Raises:
        CourseError: where a file is missing or damaged, or holds ids that the vocabulary does not have.
    """

    def __init__(self, path: str) -> None:
        self.folder = user_path(path)
        for part in PARTS:
            if not self.file(part).is_file():
                raise CourseError(
                    f"{quoted(self.folder)} should hold train.bin and val.bin, as nanoGPT's prepare.py leaves them; "
                    f"{part}.bin is not there. A text of your own is text:PATH."
                )
            if self.file(part).stat().st_size % DTYPE.itemsize:
                raise CourseError(f"{quoted(self.file(part))} should hold ids of two bytes each; a byte is left over.")
        meta = self.folder / "meta.pkl"
        self.kind = "char" if meta.is_file() else "gpt2"
        self.tokenizer: Tokenizer = meta_tokenizer(meta) if meta.is_file() else BPETokenizer.gpt2()
        self._sha256: str | None = None

    def file(self, part: str) -> Path:
        return self.folder / f"{part}.bin"

    @property
    def origin(self) -> dict[str, list[Any]]:
        """What tells, without reading them, that the files are still the same: place, size, and when written."""
        stats = {part: self.file(part).stat() for part in PARTS}
        return {p: [str(self.file(p).resolve()), s.st_size, s.st_mtime_ns] for p, s in stats.items()}

    @property
    def sha256(self) -> str:
        """The digest of both files' digests."""
        if self._sha256 is None:
            whole = hashlib.sha256()
            for part in PARTS:
                with self.file(part).open("rb") as file:
                    whole.update(hashlib.file_digest(file, "sha256").digest())
            self._sha256 = whole.hexdigest()
        return self._sha256

    def recognized(self, sha256: str) -> None:
        """Take it from somebody who has read these files before, see `origin`."""
        self._sha256 = sha256

    def need_tokenizer(self, asked: Tokenizer | str) -> None:
        """CourseError where the ids are another tokenizer's than the one that is asked for, by its kind or itself."""
        if asked in ("auto", self.kind) or asked == self.tokenizer:
            return
        what = f"tokenizer {asked}" if isinstance(asked, str) else f"one of {asked.vocab_size} tokens, and not the same"
        raise CourseError(
            f"The ids in {quoted(self.folder)} are of a {self.kind} tokenizer with {self.tokenizer.vocab_size} tokens; "
            f"what is asked for is {what}. Ids cannot be made again without their text: take that, as text:PATH."
        )

    def ids(self, part: str) -> Iterator[np.ndarray]:
        """The ids of a part, a block at a time."""
        with self.file(part).open("rb") as file:
            while len(block := np.fromfile(file, DTYPE, AT_ONCE)):
                yield block

    def text(self) -> str:
        """Both parts, decoded."""
        return "".join(self.tokenizer.decode(block) for part in PARTS for block in self.ids(part))

    def write(self, folder: Path) -> dict[str, dict[str, int]]:
        """Put the files into ``folder``; returns ``counts`` and ``bytes`` of each part, of ids and of text.

        Raises:
            CourseError: for an id that the vocabulary does not have.
        """
        lengths = _bytes_of_ids(self.tokenizer)
        counts, sizes = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
        for part in PARTS:
            for block in self.ids(part):
                found = np.bincount(block, minlength=len(lengths))
                if len(found) > len(lengths):
                    raise CourseError(
                        f"{quoted(self.file(part))} holds the id {len(found) - 1}, and its vocabulary has "
                        f"{len(lengths)}. Is its meta.pkl missing in {quoted(self.folder)}, or from another text?"
                    )
                counts[part] += len(block)
                sizes[part] += int(found @ lengths)
            _put(self.file(part), folder / f"{part}.bin")
        return {"counts": counts, "bytes": sizes}


def _bytes_of_ids(tokenizer: Tokenizer) -> np.ndarray:
    """How many bytes of text each id stands for, (V,)."""
    if isinstance(tokenizer, BPETokenizer):
        return np.array([len(content) for content in tokenizer.vocab.values()])
    assert isinstance(tokenizer, CharTokenizer)
    return np.array([len(character.encode("utf-8", "surrogatepass")) for character in tokenizer.characters])


def _put(file: Path, target: Path) -> None:
    """A copy of ``file``, never a second name of it: nanoGPT's prepare.py writes into the file that is there, and would
    change what was prepared."""
    if (size := file.stat().st_size) > LARGE:
        print(f"note: {quoted(file)} is copied, {size / 1e9:.1f} GB; that is done once.", file=sys.stderr)
    shutil.copyfile(file, target)
