"""Where a project keeps its files, and how a file is replaced so that it is always whole."""

import contextlib
import os
import shlex
from pathlib import Path


def project_root(start: str | Path | None = None) -> Path:
    """The nearest folder at or above ``start`` (default: the working folder) that holds ``_toc.yml``.

    Where there is none, as on Colab, the working folder itself.
    """
    here = Path(start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file():
            return folder
    return here


def user_path(path: str | Path) -> Path:
    """A path as somebody typed it: a ``~`` at its start is the home folder, also where no shell has seen it."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~name of somebody who is not known here: a file of that name, then
        return Path(path)


def quoted(path: str | Path) -> str:
    """A path as a message names it: so that it can be pasted into a shell, in quotes where the shell needs them."""
    return shlex.quote(str(path))


def data_dir() -> Path:
    """``<root>/data``: downloads and prepared files."""
    return project_root() / "data"


def runs_dir() -> Path:
    """``<root>/runs``: one folder per training run."""
    return project_root() / "runs"


def sync(path: Path) -> None:
    """Make sure that a file's content, or a folder's list of names, has reached the disk."""
    if path.is_dir() and os.name == "nt":  # Windows has no such call for folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, text: str) -> None:
    """Write a small file atomically: a reader sees the old text or the new, never a part."""
    scratch = path.with_name(f".{path.name}.new")
    try:
        scratch.write_text(text, encoding="utf-8")
        sync(scratch)
        os.replace(scratch, path)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    sync(path.parent)
