"""A prepared folder, opened: its manifest, its tokenizer, and its ids mapped into memory."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.paths import quoted
from course_lib.tokenizers import Tokenizer, load_tokenizer

FORMAT = "course_lib tokens"


@dataclass(frozen=True)
class Prepared:
    """A folder of prepared ids, opened: its tokenizer, its manifest and its files."""

    folder: Path
    tokenizer: Tokenizer
    manifest: dict[str, Any]

    def path(self, split: str) -> Path:
        return self.folder / f"{split}.bin"

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts that the text has: ``train``, ``val``, and ``test`` where a share was kept for it."""
        return splits_of(self.manifest)

    def bytes_per_token(self, split: str) -> float:
        return self.manifest["bytes"][split] / self.manifest["counts"][split]


def shares_of(settings: dict[str, Any]) -> dict[str, float]:
    """How a text is split, by `DataConfig` or by a manifest. No part for testing goes without saying, as it did when
    there was none."""
    shares = {"val_fraction": settings["val_fraction"], "test_fraction": settings.get("test_fraction", 0.0)}
    return shares if shares["test_fraction"] else {"val_fraction": shares["val_fraction"]}


def splits_of(settings: dict[str, Any]) -> tuple[str, ...]:
    return ("train", "val", "test") if "test_fraction" in shares_of(settings) else ("train", "val")


def load_prepared(folder: str | Path) -> Prepared:
    """Open a prepared folder; raises CourseError where a file is missing or does not fit the manifest."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    if tokenizer.fingerprint() != manifest["tokenizer"]:
        raise CourseError(
            f"{quoted(folder)} was encoded with another tokenizer than its tokenizer.json. Prepare it again."
        )
    for split in splits_of(manifest):
        open_tokens(folder / f"{split}.bin")
    return Prepared(folder, tokenizer, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a prepared folder says of itself; CourseError where it has no manifest, or one of another form."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = {"uint16", "uint32"}
        fits = manifest["format"] == FORMAT and manifest["dtype"] in known and manifest["vocab_size"] >= 1
        splits = splits_of(manifest)
        fits = fits and all(isinstance(manifest[part][s], int) for part in ("counts", "bytes") for s in splits)
        if not (fits and {"sha256", "tokenizer"} <= manifest.keys()):
            raise KeyError("a field")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CourseError(
            f"{quoted(folder)} is no prepared folder: it has no manifest.json. Run: course prepare DATASET"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(
            f"{quoted(path)} is not a manifest of this format ({error}). Prepare the data again."
        ) from error
    return manifest


def open_tokens(path: str | Path) -> np.ndarray:
    """Map a prepared ``.bin`` file into memory, (N,); refused where it does not fit its manifest."""
    path = Path(path)
    manifest = read_manifest(path.parent)
    if path.stem not in manifest["counts"] or path.suffix != ".bin":
        raise CourseError(
            f"{quoted(path.parent / 'manifest.json')} knows {', '.join(s + '.bin' for s in splits_of(manifest))}; not "
            f"{path.name}."
        )
    dtype, count = np.dtype(manifest["dtype"]).newbyteorder("<"), manifest["counts"][path.stem]
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise CourseError(f"{quoted(path)} is missing. Prepare the data again.") from error
    if size != count * dtype.itemsize:
        raise CourseError(
            f"{quoted(path)} does not fit its manifest: {count} ids of {dtype.name} take {count * dtype.itemsize} "
            f"bytes; it has {size}. Was it cut off or replaced? Delete the folder {quoted(path.parent)} and prepare it "
            "again."
        )
    return np.memmap(path, dtype=dtype, mode="r") if count else np.zeros(0, dtype)
