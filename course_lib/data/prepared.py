"""Text -> ``train.bin``, ``val.bin`` and ``manifest.json``: ids on disk, ready to be mapped into memory."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.config import DataConfig
from course_lib.data.datasets import find_corpus, own_path, short_name
from course_lib.errors import CourseError
from course_lib.locks import system_lock
from course_lib.paths import data_dir
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer, load_tokenizer

FORMAT = "course_lib tokens"
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Prepared:
    """A folder of prepared ids, opened: its tokenizer, its manifest and its files."""

    folder: Path
    tokenizer: Tokenizer
    manifest: dict[str, Any]

    def path(self, split: str) -> Path:
        return self.folder / f"{split}.bin"

    def bytes_per_token(self, split: str) -> float:
        return self.manifest["bytes"][split] / self.manifest["counts"][split]


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 (little-endian) that holds every id."""
    return np.dtype("<u2" if vocab_size <= 65_536 else "<u4")


def prepared_for(data: DataConfig, tokenizer: Tokenizer | None = None, content: bytes | None = None) -> Prepared:
    """The text of a run, prepared as its settings say, or by a tokenizer that is there already."""
    kind = tokenizer or data.tokenizer
    folder = prepare(data.dataset, kind, data.val_fraction, content=content, bpe_vocab_size=data.bpe_vocab_size)
    return load_prepared(folder)


def prepare(
    name: str, tokenizer: Tokenizer | str = "auto", val_fraction: float = 0.1, data: str | Path | None = None,
    content: bytes | None = None, bpe_vocab_size: int = 1024,
) -> Path:  # fmt: skip
    """Encode a corpus once; later calls find the folder again.

    Args:
        name: a corpus (see `course_lib.data.datasets`), ``text:PATH`` or ``bytes:PATH``.
        tokenizer: a ready one, or ``char``, ``byte``, ``bpe`` (learned from the training part), ``gpt2``, or ``auto``
            (what the corpus is meant for).
        val_fraction: the share at the text's end that becomes the validation split.
        data: the data folder; by default the project's.
        content: the corpus, where it has been read already.
        bpe_vocab_size: V of a tokenizer that is to be learned by ``bpe``.

    Returns:
        ``data/prepared/<corpus>-<tokenizer's fingerprint>-val<val_fraction>``.

    Raises:
        CourseError: for a text that cannot be had, read or encoded, or a folder that cannot be written.
    """
    if not 0 < val_fraction < 1:
        raise CourseError(f"val_fraction should be above 0 and below 1; it is {val_fraction}.")
    corpus = find_corpus(name)
    content = corpus.read() if content is None else content
    kind = corpus.tokenizer if tokenizer == "auto" else tokenizer
    text = None if name.startswith("bytes:") else content.decode()
    sha256 = hashlib.sha256(content).hexdigest()
    known: dict[str, Any] = {"corpus": name, "sha256": sha256, "val_fraction": val_fraction}
    folders = Path(data or data_dir()) / "prepared"
    known |= {"bpe_vocab_size": bpe_vocab_size} if kind == "bpe" else {}
    if kind == "bpe" and (found := _learned_before(folders, known)):
        return found
    if isinstance(kind, str):
        kind = _make_tokenizer(kind, text, name, val_fraction, bpe_vocab_size)
    if text is None and not isinstance(kind, ByteTokenizer):
        raise CourseError(f"{name} is raw bytes; only the byte tokenizer reads them. Use text:PATH for a text.")
    whole: str | np.ndarray = np.frombuffer(content, dtype=np.uint8) if text is None else text
    folder = folders / _folder_name(name, sha256, kind, val_fraction)
    if _is_ready(folder, sha256, val_fraction):
        return folder
    with _one_at_a_time(folder.parent.parent):
        if not _is_ready(folder, sha256, val_fraction):  # it may have come while we waited
            _encode(whole, kind, known, folder)
    return folder


def _encode(whole: str | np.ndarray, tokenizer: Tokenizer, known: dict[str, Any], folder: Path) -> None:
    """Split the text (or its raw bytes, which are their own ids), encode it, and write it into ``folder``."""
    cut = _cut(whole, known["val_fraction"])
    parts = dict(zip(SPLITS, (whole[:cut], whole[cut:]), strict=True))
    ids = {split: tokenizer.encode_array(p) if isinstance(p, str) else p for split, p in parts.items()}
    manifest = {
        "format": FORMAT,
        "version": 1,
        "corpus": known["corpus"],
        "sha256": known["sha256"],
        "tokenizer": tokenizer.fingerprint(),
        "vocab_size": tokenizer.vocab_size,
        "dtype": token_dtype(tokenizer.vocab_size).name,
        "val_fraction": known["val_fraction"],
        "counts": {split: len(row) for split, row in ids.items()},
        "bytes": {split: len(p.encode() if isinstance(p, str) else p) for split, p in parts.items()},
    }
    _write(folder, manifest | known, ids, tokenizer)  # what else is known comes last


@contextlib.contextmanager
def _one_at_a_time(data: Path) -> Iterator[None]:
    """Within it no other process prepares a text under ``data``: one of those that train together does the work."""
    lock = system_lock(data / ".preparing.lock")
    with contextlib.suppress(NotImplementedError, OSError):  # no locks here, or no right to write, which is told later
        data.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_tokenizer(kind: str, text: str | None, name: str, val_fraction: float, bpe_vocab_size: int) -> Tokenizer:
    if kind == "byte":
        return ByteTokenizer()
    if kind not in ("char", "bpe", "gpt2"):
        raise CourseError(
            f"The tokenizer should be 'auto', 'char', 'byte', 'bpe', 'gpt2' or a Tokenizer; it is {kind!r}."
        )
    if text is None:
        raise CourseError(f"{name} is raw bytes; only the byte tokenizer reads them. Use text:PATH for a text.")
    if kind == "gpt2":
        return BPETokenizer.gpt2()
    if kind == "char":
        return CharTokenizer.train(text)
    # Of what is validated on nothing is learned, nor is the vocabulary.
    return BPETokenizer.train(text[: _cut(text, val_fraction)], bpe_vocab_size)


def _cut(whole: str | np.ndarray, val_fraction: float) -> int:
    """Where the validation part begins."""
    return int(len(whole) * (1 - val_fraction))


def _learned_before(folders: Path, known: dict[str, Any]) -> Path | None:
    """The folder of this text by the tokenizer learned from it: learning it again takes longer than looking."""
    for path in sorted(folders.glob(f"*{short_name(known['corpus'])}*/manifest.json")):
        try:
            manifest = read_manifest(path.parent)
        except CourseError:
            continue
        if known.items() <= manifest.items() and _is_ready(path.parent, known["sha256"], known["val_fraction"]):
            return path.parent
    return None


def _folder_name(name: str, sha256: str, tokenizer: Tokenizer, val_fraction: float) -> str:
    """A name that tells what is in the folder; files of one name but other content get different ones."""
    parts = [short_name(name), tokenizer.fingerprint(), f"val{val_fraction:g}"]
    if own_path(name) is not None:
        parts = [name.partition(":")[0], parts[0], sha256[:8], *parts[1:]]
    return "-".join(parts)


def _is_ready(folder: Path, sha256: str, val_fraction: float) -> bool:
    """Whether ``folder`` holds this very text, split the same way, undamaged."""
    try:
        prepared = load_prepared(folder)
    except CourseError:
        return False
    return prepared.manifest["sha256"] == sha256 and prepared.manifest["val_fraction"] == val_fraction


def _write(folder: Path, manifest: dict[str, Any], ids: dict[str, Any], tokenizer: Tokenizer) -> None:
    """Write all files into a new folder beside it, and rename that: nobody sees half a folder."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise CourseError(f"Cannot write to {folder.parent}: {error.strerror}. Check its permissions.") from error
    try:
        new = scratch / "new"
        new.mkdir()
        for split, row in ids.items():
            np.asarray(row).astype(manifest["dtype"]).tofile(new / f"{split}.bin")
        tokenizer.save(new / "tokenizer.json")
        (new / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if folder.exists():  # another text, another split, or damaged: out of the way, and gone only afterwards
            os.replace(folder, scratch / "old")
        os.replace(new, folder)
    except OSError as error:
        if _is_ready(folder, manifest["sha256"], manifest["val_fraction"]):  # another process was faster
            return
        if not folder.exists() and (scratch / "old").exists():
            os.replace(scratch / "old", folder)
        reason = error.strerror or error  # numpy's own OSError of a full disk has no strerror
        raise CourseError(
            f"Cannot write {folder}: {reason}. Free some disk space or check its permissions, then try again."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load_prepared(folder: str | Path) -> Prepared:
    """Open a prepared folder; raises CourseError where a file is missing or does not fit the manifest."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    if tokenizer.fingerprint() != manifest["tokenizer"]:
        raise CourseError(f"{folder} was encoded with another tokenizer than its tokenizer.json. Prepare it again.")
    for split in SPLITS:
        open_tokens(folder / f"{split}.bin")
    return Prepared(folder, tokenizer, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a prepared folder says of itself; CourseError where it has no manifest, or one of another form."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = {"uint16", "uint32"}
        fits = manifest["format"] == FORMAT and manifest["dtype"] in known and manifest["vocab_size"] >= 1
        fits = fits and all(isinstance(manifest[part][s], int) for part in ("counts", "bytes") for s in SPLITS)
        if not (fits and {"sha256", "tokenizer", "val_fraction"} <= manifest.keys()):
            raise KeyError("a field")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CourseError(
            f"{folder} is no prepared folder: it has no manifest.json. Run: course prepare DATASET"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{path} is not a manifest of this format ({error}). Prepare the data again.") from error
    return manifest


def open_tokens(path: str | Path) -> np.ndarray:
    """Map a prepared ``.bin`` file into memory, (N,); refused where it does not fit its manifest."""
    path = Path(path)
    manifest = read_manifest(path.parent)
    if path.stem not in manifest["counts"] or path.suffix != ".bin":
        raise CourseError(
            f"{path.parent}/manifest.json knows {', '.join(s + '.bin' for s in SPLITS)}; not {path.name}."
        )
    dtype, count = np.dtype(manifest["dtype"]).newbyteorder("<"), manifest["counts"][path.stem]
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise CourseError(f"{path} is missing. Prepare the data again.") from error
    if size != count * dtype.itemsize:
        raise CourseError(
            f"{path} does not fit its manifest: {count} ids of {dtype.name} take {count * dtype.itemsize} bytes; it "
            f"has {size}. Was it cut off or replaced? Delete the folder {path.parent} and prepare it again."
        )
    return np.memmap(path, dtype=dtype, mode="r") if count else np.zeros(0, dtype)
