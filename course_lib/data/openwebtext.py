"""OpenWebText by GPT-2's tokenizer, streamed from the Hugging Face Hub: `prepare_openwebtext`."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import Timeout

from course_lib.config import DataConfig
from course_lib.data.prepared import prepared_folder, put_in_place
from course_lib.data.shards import SPLITS, Shards
from course_lib.errors import CourseError
from course_lib.locks import system_lock
from course_lib.paths import data_dir, quoted
from course_lib.processes import cores
from course_lib.tokenizers import BPETokenizer

NAME = "openwebtext"
SOURCE = "Skylion007/openwebtext"
DOCUMENTS, TOKENS = 8_013_769, 9_040_017_095
"""How much there is, an end-of-text token behind each document counted in (nanoGPT, data/openwebtext/prepare.py)."""
VAL_FRACTION = 0.0005
"""The share of documents for validation, as nanoGPT has it."""
SHARD = 5_000
"""So many documents are a shard: some 11 MB of ids, and two for each process are lost at most."""


def prepare_openwebtext(
    val_fraction: float = VAL_FRACTION, processes: int | None = None, data: str | Path | None = None
) -> Path:
    """Stream all documents, keep their ids; a later call finds them, or goes on where one was cut off.

    Args:
        val_fraction: the share of documents for validation, spread evenly; nanoGPT draws as many by chance.
        processes: how many turn text into ids; None is one for each core.
        data: the data folder; by default the project's.

    Returns:
        The prepared folder, as of `course_lib.data.prepare`.

    Raises:
        CourseError: without the package ``datasets``, the network, or enough room; where the stream ends early, or
            another process is at it.
    """
    settings = DataConfig(dataset=NAME, val_fraction=val_fraction)
    tokenizer = BPETokenizer.gpt2()
    known = {"corpus": NAME, "sha256": "", "val_fraction": settings.val_fraction}
    folder = prepared_folder(known, tokenizer, Path(data or data_dir()) / "prepared")
    if (folder / "manifest.json").exists():
        return folder
    parts = folder.with_name(f".{folder.name}.shards")
    try:
        parts.mkdir(parents=True, exist_ok=True)
        with system_lock(parts / "lock").acquire(timeout=0):
            shards = Shards(parts, SHARD, DOCUMENTS)
            _announce(folder, shards)
            shards.fill(_documents, tokenizer, settings.val_fraction, cores() if processes is None else processes)
            shards.join()
            known["sha256"] = shards.sha256
            put_in_place(folder, known, tokenizer, lambda new: _handed_over(shards, new))
    except Timeout as error:
        raise CourseError(
            f"Another process prepares {NAME} in {quoted(folder.parent)}. Wait until it has ended."
        ) from error
    except OSError as error:
        raise CourseError(
            f"Cannot write to {quoted(parts)}: {error.strerror or error}. What was kept is whole: free some disk space "
            f"or check the permissions, then go on with: course prepare {NAME}"
        ) from error
    shutil.rmtree(parts, ignore_errors=True)
    return folder


def _announce(folder: Path, shards: Shards) -> None:
    """Say what it takes before it starts; CourseError where the disk has no room for it."""
    whole, done = 2 * TOKENS, 2 * sum(shards.sizes()["counts"].values())
    need, free = max(0, whole - done), shutil.disk_usage(folder.parent).free
    print(
        f"{NAME}: {DOCUMENTS:,} documents, streamed (the text itself is not kept); {whole / 1e9:.1f} GB of ids in all, "
        f"for which {need / 1e9:.1f} GB are needed in {quoted(folder.parent)}, and {free / 1e9:.1f} GB are free; "
        f"{shards.documents:,} documents are there already.",
        file=sys.stderr,
    )
    if free < need and not shards.is_complete:
        raise CourseError(
            f"{NAME} needs {need / 1e9:.1f} GB in {quoted(folder.parent)}, and {free / 1e9:.1f} GB are free. Free some "
            "disk space, or work from a folder on another disk."
        )


def _documents(start: int) -> Iterator[str]:
    """The texts from one on, by its number; CourseError, one for all that can be wrong, where they cannot be had."""
    ways = (
        "It needs the package (pip install datasets) and a network; what has come is kept, and the same command goes "
        "on after it. Without them: dataset 'tinytales' needs no download, and text:FOLDER takes your own files."
    )
    if os.environ.get("COURSE_OFFLINE") == "1":
        raise CourseError(f"{NAME} cannot be streamed: COURSE_OFFLINE=1 forbids a download. {ways}")
    try:
        from datasets import load_dataset

        rows = load_dataset(SOURCE, split="train", streaming=True)
        for row in rows.skip(start) if start else rows:
            yield row["text"]
    except Exception as error:  # the package has errors of its own, and those of several others
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CourseError(f"{NAME} cannot be streamed from the Hugging Face Hub ({words}). {ways}") from error


def _handed_over(shards: Shards, new: Path) -> dict[str, dict[str, int]]:
    """The joined files, in the new folder too; they stay where they are until that is in its place."""
    for split in SPLITS:
        joined = shards.folder / f"{split}.bin"
        try:
            os.link(joined, new / joined.name)
        except OSError:  # a disk without hard links
            shutil.copyfile(joined, new / joined.name)
    return shards.sizes()
