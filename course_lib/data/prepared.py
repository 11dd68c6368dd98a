"""Text -> ``train.bin``, ``val.bin``, ``test.bin`` and ``manifest.json``: ids on disk, to be mapped into memory."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from course_lib.config import DataConfig
from course_lib.data.bins import Bins
from course_lib.data.datasets import own_path, short_name
from course_lib.data.encoding import token_dtype, write_tokens
from course_lib.data.opening import FORMAT, Prepared, load_prepared, read_manifest, shares_of
from course_lib.data.streams import Stream, opened
from course_lib.errors import CourseError
from course_lib.locks import system_lock
from course_lib.paths import data_dir, quoted
from course_lib.processes import cores
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer

KINDS = ("auto", "char", "byte", "bpe", "gpt2")
LARGE = 1 << 26
"""A text of so many characters is worth the seconds in which other processes start."""


def prepared_for(
    data: DataConfig, tokenizer: Tokenizer | None = None, stream: Stream | Bins | None = None,
    processes: int | None = 1,
) -> Prepared:
    """The text of a run, prepared as its settings say, or by a tokenizer that is there already."""
    folder = prepare(
        data.dataset, tokenizer or data.tokenizer, data.val_fraction, stream=stream,
        bpe_vocab_size=data.bpe_vocab_size, processes=processes, test_fraction=data.test_fraction,
    )  # fmt: skip
    return load_prepared(folder)


def found_prepared(data: DataConfig, tokenizer: Tokenizer) -> Prepared | None:
    """The text of a run, where it lies prepared: nothing is read anew, made or downloaded. None where it does not."""
    if data.sha256 is None:
        return None
    known = data.to_dict()
    folder = data_dir() / "prepared" / _folder_name(data.dataset, data.sha256, tokenizer, shares_of(known))
    return load_prepared(folder) if _is_ready(folder, known) else None


def prepare(
    name: str, tokenizer: Tokenizer | str = "auto", val_fraction: float = 0.1, data: str | Path | None = None,
    stream: Stream | Bins | None = None, bpe_vocab_size: int = 1024, processes: int | None = 1,
    test_fraction: float = 0.0,
) -> Path:  # fmt: skip
    """Encode a corpus once, block by block, so that it need not fit into memory; later calls find the folder again.

    Args:
        name: a corpus (see `course_lib.data.datasets`), ``text:PATH``, ``bytes:PATH`` or ``bins:PATH``.
        tokenizer: a ready one, ``char``, ``byte``, ``bpe`` (learned from the training part), ``gpt2``, or ``auto``.
        val_fraction: the share that becomes the validation split: at the text's end, or before the test split.
        data: the data folder; by default the project's.
        stream: the corpus, where it has been read already.
        bpe_vocab_size: V of a tokenizer that is to be learned by ``bpe``.
        processes: how many share the work on byte pairs, with the same result; None is one for each core, where the
            text is long enough. A script asks for several under ``if __name__ == "__main__"``.
        test_fraction: the share at the text's very end that becomes the test split; 0 for none.

    Returns:
        ``data/prepared/<corpus>-<tokenizer's fingerprint>-val<val_fraction>``, and ``-test<test_fraction>`` if not 0.

    Raises:
        CourseError: for other shares, a text that cannot be had, read or encoded, a folder that cannot be written.
    """
    shares = shares_of(DataConfig(val_fraction=val_fraction, test_fraction=test_fraction).to_dict())
    stream, folders = stream or opened(name), Path(data or data_dir()) / "prepared"
    if isinstance(stream, Bins):
        return _prepare_bins(stream, name, tokenizer, shares, folders)
    kind, parts = _kind(tokenizer, stream), stream.parts(**shares)
    processes = (cores() if stream.length >= LARGE else 1) if processes is None else processes
    known: dict[str, Any] = {"corpus": name, "sha256": stream.sha256, **shares}
    known |= {"bpe_vocab_size": bpe_vocab_size} if kind == "bpe" else {}
    if kind == "bpe" and (found := _learned_before(folders, known)):
        return found
    if isinstance(kind, str):
        kind = _make_tokenizer(kind, stream, parts, bpe_vocab_size, processes)
    folder = folders / _folder_name(name, stream.sha256, kind, shares)
    if _is_ready(folder, known):
        return folder
    # Numbers for letters are looked up in no time: to hand the letters to another process would take longer.
    processes = processes if isinstance(kind, BPETokenizer) else 1
    with _one_at_a_time(folder.parent.parent):
        if not _is_ready(folder, known):  # it may have come while we waited
            put_in_place(folder, known, kind, lambda new: write_tokens(new, stream, kind, parts, processes))
    return folder


def _prepare_bins(
    bins: Bins, name: str, asked: Tokenizer | str, shares: dict[str, float], folders: Path
) -> Path:  # fmt: skip
    """The ids of ``bins``, in a folder that says what they are; large files are read once."""
    if shares != shares_of(DataConfig().to_dict()):
        raise CourseError(f"{quoted(name)} is split already, into train.bin and val.bin. Leave the shares out.")
    bins.need_tokenizer(asked)
    for folder in folders.glob(f"bins-{short_name(name)}-*"):
        with contextlib.suppress(CourseError):
            if (manifest := read_manifest(folder)).get("origin") == bins.origin:
                bins.recognized(manifest["sha256"])
    known = {"corpus": name, "sha256": bins.sha256, **shares, "origin": bins.origin}
    folder = folders / _folder_name(name, bins.sha256, bins.tokenizer, shares)
    with _one_at_a_time(folders.parent):
        if not _is_ready(folder, known):
            put_in_place(folder, known, bins.tokenizer, bins.write)
    return folder



def _kind(asked: Tokenizer | str, stream: Stream) -> Tokenizer | str:
    """A tokenizer, or the kind of it to make; CourseError for none, and for one that cannot read the corpus."""
    if not (isinstance(asked, Tokenizer) or asked in KINDS):
        raise CourseError(f"The tokenizer should be {', '.join(map(repr, KINDS))} or a Tokenizer; it is {asked!r}.")
    kind = stream.tokenizer if asked == "auto" else asked
    if stream.is_raw and not (kind == "byte" or isinstance(kind, ByteTokenizer)):
        raise CourseError(f"{stream.name} is raw bytes; only the byte tokenizer reads them. Use text:PATH for a text.")
    return kind


def _manifest(known: dict[str, Any], tokenizer: Tokenizer, sizes: dict[str, dict[str, int]]) -> dict[str, Any]:
    manifest = {
        "format": FORMAT,
        "version": 1,
        "corpus": known["corpus"],
        "sha256": known["sha256"],
        "tokenizer": tokenizer.fingerprint(),
        "vocab_size": tokenizer.vocab_size,
        "dtype": token_dtype(tokenizer.vocab_size).name,
        **shares_of(known),
    }
    return manifest | sizes | known  # what else is known comes last


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


def _make_tokenizer(
    kind: str, stream: Stream, parts: dict[str, tuple[int, int | None]], bpe_vocab_size: int, processes: int
) -> Tokenizer:
    if kind == "byte":
        return ByteTokenizer()
    if kind == "gpt2":
        return BPETokenizer.gpt2()
    if kind == "char":  # which characters there are: one that only another part has could not be read there
        return CharTokenizer.train(stream.texts())
    # Of what is validated or tested on nothing is learned, nor is the vocabulary.
    return BPETokenizer.train(stream.texts(*parts["train"]), bpe_vocab_size, processes=processes)


def _learned_before(folders: Path, known: dict[str, Any]) -> Path | None:
    """The folder of this text by the tokenizer learned from it: learning it again takes longer than looking."""
    for path in sorted(folders.glob(f"*{short_name(known['corpus'])}*/manifest.json")):
        try:
            manifest = read_manifest(path.parent)
        except CourseError:
            continue
        if known.items() <= manifest.items() and _is_ready(path.parent, known):
            return path.parent
    return None


def _folder_name(name: str, sha256: str, tokenizer: Tokenizer, shares: dict[str, float]) -> str:
    """A name that tells what is in the folder; files of one name but other content get different ones."""
    parts = [short_name(name), tokenizer.fingerprint()]
    parts += [f"{share.removesuffix('_fraction')}{value:g}" for share, value in shares.items()]
    if own_path(name) is not None:
        parts = [name.partition(":")[0], parts[0], sha256[:8], *parts[1:]]
    return "-".join(parts)


def _is_ready(folder: Path, known: dict[str, Any]) -> bool:
    """Whether ``folder`` holds the very text that is known, split the same way, undamaged."""
    try:
        prepared = load_prepared(folder)
    except CourseError:
        return False
    return prepared.manifest["sha256"] == known["sha256"] and shares_of(prepared.manifest) == shares_of(known)


def prepared_folder(known: dict[str, Any], tokenizer: Tokenizer, folders: Path) -> Path:
    """Where in ``folders`` a text lies that a tokenizer has encoded.

    Args:
        known: of the text, as its manifest has it: ``corpus``, ``sha256``, and the shares of its parts.
    """
    return folders / _folder_name(known["corpus"], known["sha256"], tokenizer, shares_of(known))


def put_in_place(
    folder: Path, known: dict[str, Any], tokenizer: Tokenizer, write: Callable[[Path], dict[str, dict[str, int]]]
) -> None:
    """Write all files into a new folder beside it, and rename that: nobody sees half a folder.

    Args:
        write: puts the ids into a folder and returns how many there are, see `write_tokens`.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise CourseError(
            f"Cannot write to {quoted(folder.parent)}: {error.strerror}. Check its permissions."
        ) from error
    try:
        new = scratch / "new"
        new.mkdir()
        manifest = _manifest(known, tokenizer, write(new))
        tokenizer.save(new / "tokenizer.json")
        (new / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if folder.exists():  # another text, another split, or damaged: out of the way, and gone only afterwards
            os.replace(folder, scratch / "old")
        os.replace(new, folder)
    except OSError as error:
        if _is_ready(folder, known):  # another process was faster
            return
        if not folder.exists() and (scratch / "old").exists():
            os.replace(scratch / "old", folder)
        reason = error.strerror or error  # numpy's own OSError of a full disk has no strerror
        raise CourseError(
            f"Cannot write {quoted(folder)}: {reason}. Free some disk space or check its permissions, then try again."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
