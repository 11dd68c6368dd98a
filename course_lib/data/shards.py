"""A corpus too large to be kept as text: streamed document by document, kept as shards of ids, joined at the end.

What came stays: a run that is cut off, by the network, the disk or by hand, goes on after the last whole shard.
"""

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.paths import data_dir, replace_file, sync
from course_lib.processes import in_turn
from course_lib.progress import progress_bar
from course_lib.tokenizers import BPETokenizer

END_OF_TEXT = "<|endoftext|>"
SPLITS = ("train", "val")
IDS = np.dtype("<u2")
Documents = Callable[[int], Iterator[str]]
"""The documents of a corpus from one on, by its number."""


@dataclass(frozen=True)
class Encoded:
    """The ids of one shard, each document ended by `END_OF_TEXT`, and what they were made from."""

    ids: dict[str, np.ndarray]
    n_bytes: dict[str, int]
    documents: int
    sha256: str


def is_val(document: int, fraction: float) -> bool:
    """Whether a document, by its number, is for validation: such a share of them, spread evenly over the corpus."""
    share = Fraction(str(fraction))
    return int((document + 1) * share) > int(document * share)


def encoded(tokenizer: BPETokenizer, val_fraction: float, numbered: tuple[int, list[str]]) -> Encoded:
    """A shard from its documents, the first of them with its number."""
    first, documents = numbered
    end = np.array([tokenizer.special_tokens[END_OF_TEXT]], IDS)
    ids: dict[str, list[np.ndarray]] = {split: [np.empty(0, IDS)] for split in SPLITS}
    n_bytes, sha256 = dict.fromkeys(SPLITS, 0), hashlib.sha256()
    for number, text in enumerate(documents, first):
        split, content = SPLITS[is_val(number, val_fraction)], text.encode()
        ids[split] += [tokenizer.encode_array(text).astype(IDS), end]
        n_bytes[split] += len(content)
        sha256.update(len(content).to_bytes(8, "little") + content)
    joined = {split: np.concatenate(parts) for split, parts in ids.items()}
    return Encoded(joined, n_bytes, len(documents), sha256.hexdigest())


class Shards:
    """The shards of a corpus in a folder, in their order; those that are whole are found again.

    ``shard-00000.json`` says what is in ``shard-00000.bin``: the training ids, then those for validation. It is written
    after it. Where it is there and the ids are not, they have been joined already.

    Args:
        size: how many documents each has, but for the last one.
        expected: how many documents there are in all.
    """

    def __init__(self, folder: Path, size: int, expected: int) -> None:
        self.folder, self.size, self.expected = folder, size, expected
        self.about: list[dict[str, Any]] = []
        for number in itertools.count():
            about = self._read(number)
            if about is None:
                break
            self.about.append(about)

    @property
    def documents(self) -> int:
        return sum(about["documents"] for about in self.about)

    @property
    def is_complete(self) -> bool:
        return (self.folder / "complete").exists()

    @property
    def sha256(self) -> str:
        """One for all: of the shards' own, one after another."""
        return hashlib.sha256("".join(about["sha256"] for about in self.about).encode()).hexdigest()

    def sizes(self) -> dict[str, dict[str, int]]:
        """``counts`` and ``bytes`` of each split, as a manifest has them."""
        return {part: {s: sum(about[part][s] for about in self.about) for s in SPLITS} for part in ("counts", "bytes")}

    def _ids(self, number: int) -> Path:
        return self.folder / f"shard-{number:05}.bin"

    def _read(self, number: int) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            about = json.loads(self._ids(number).with_suffix(".json").read_text(encoding="utf-8"))
            path, size = self._ids(number), IDS.itemsize * sum(about["counts"][split] for split in SPLITS)
            if not path.exists() or path.stat().st_size == size:
                return about
        return None

    def fill(self, documents: Documents, tokenizer: BPETokenizer, val_fraction: float, processes: int) -> None:
        """Make the shards that are missing, several at a time in as many processes; the same ones however many.

        Raises:
            CourseError: where fewer documents came than are expected; no shard is made of the last ones then.
            OSError: where one cannot be written; those before it are whole.
        """
        if self.is_complete:
            return
        start = self.documents
        chunks = self._chunks(documents(start), start)
        with progress_bar(initial=start, unit="document", unit_scale=True) as bar:
            for shard in in_turn(partial(encoded, tokenizer, val_fraction), chunks, processes):
                self._keep(shard)
                bar.update(shard.documents)
        if self.documents < self.expected:
            raise CourseError(
                f"The stream ended early: {self.documents:,} of {self.expected:,} documents are here, in whole shards. "
                "They are kept, and the same command goes on after them."
            )
        replace_file(self.folder / "complete", "")

    def _chunks(self, documents: Iterable[str], number: int) -> Iterator[tuple[int, list[str]]]:
        texts = iter(documents)
        while chunk := list(itertools.islice(texts, self.size)):
            if len(chunk) < self.size and number + len(chunk) < self.expected:
                break  # a short shard in the middle would move all that come after it
            yield number, chunk
            number += len(chunk)

    def _keep(self, shard: Encoded) -> None:
        path = self._ids(len(self.about))
        scratch = path.with_suffix(".new")
        scratch.write_bytes(b"".join(shard.ids[split].tobytes() for split in SPLITS))
        sync(scratch)
        os.replace(scratch, path)
        counts = {split: len(ids) for split, ids in shard.ids.items()}
        about = {"documents": shard.documents, "counts": counts, "bytes": shard.n_bytes, "sha256": shard.sha256}
        replace_file(path.with_suffix(".json"), json.dumps(about) + "\n")
        self.about.append(about)

    def join(self) -> None:
        """Gather all ids in ``train.bin`` and ``val.bin``. Each shard goes when its ids are safe: the disk never holds
        much more than the whole once. Where that is cut off it goes on with the first shard that is left."""
        for split in SPLITS:
            (self.folder / f"{split}.bin").touch()
        places = dict.fromkeys(SPLITS, 0)
        for number, about in enumerate(self.about):
            path = self._ids(number)
            if path.exists():
                ids = np.fromfile(path, IDS)
                parts = {"train": ids[: about["counts"]["train"]], "val": ids[about["counts"]["train"] :]}
                for split, part in parts.items():
                    joined = self.folder / f"{split}.bin"
                    with joined.open("r+b") as file:
                        file.truncate(places[split])  # what a cut-off join has left
                        file.seek(places[split])
                        file.write(part.tobytes())
                    sync(joined)
                path.unlink()
            for split in SPLITS:
                places[split] += IDS.itemsize * about["counts"][split]


def prepared_sha256(name: str) -> str:
    """The sha256 of a corpus of shards, as its prepared folder has it.

    Raises:
        CourseError: where it has not been prepared.
    """
    for path in sorted((data_dir() / "prepared").glob(f"{name}-*/manifest.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if manifest["corpus"] == name:
                return manifest["sha256"]
    raise not_prepared(name)


def not_prepared(name: str) -> CourseError:
    return CourseError(
        f"{name} is not prepared here in this way. That takes hours, and is a command of its own, which says first "
        f"what it needs: course prepare {name} (and --val-fraction, where it is not the corpus's own)."
    )
