"""Where the real texts come from: found on disk, or downloaded once, and always verified.

A source is looked for in ``data/<source>/``, then in ``$COURSE_DATA/<source>/`` (a teacher's mirror on
a disk or a share), then it is downloaded; ``COURSE_OFFLINE=1`` forbids that.
"""

import contextlib
import hashlib
import http.client
import os
import secrets
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from course_lib.errors import CourseError, nearest
from course_lib.locks import has_no_locks, system_lock
from course_lib.paths import data_dir, project_root, quoted, user_path
from course_lib.progress import progress_bar

RIGHT_FILE = "Delete it, so that it is fetched afresh, or put the right file there."
TRY_AGAIN = "What was downloaded is deleted; try again, or provide the file yourself."
BLOCK = 1 << 20
"""So many bytes are unpacked at a time."""


@dataclass(frozen=True)
class Source:
    """One downloadable file. Without any digest its publisher revises it now and then."""

    file: str
    url: str
    sha256: str | None
    about: str
    sha1: str | None = None
    """The digest of a file whose sha256 nobody has published."""
    archive: str | None = None
    """The zip that ``url`` gives, where ``file`` lies in one. The digest is the file's own."""

    @property
    def digest(self) -> tuple[str, str] | None:
        """What the file is known by: a kind of digest, as `hashlib` calls it, and its value; None where by nothing."""
        known = {"sha256": self.sha256, "sha1": self.sha1}
        return next(((kind, value) for kind, value in known.items() if value is not None), None)


SOURCES = {
    "tinyshakespeare": Source(
        "input.txt",
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "40,000 lines from Shakespeare's plays, 1.1 MB",
    ),
    "names_full": Source(
        "names.txt",
        "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        "32,033 given names, one a line, 0.2 MB",
    ),
    "holmes": Source(
        "pg1661.txt",
        "https://www.gutenberg.org/cache/epub/1661/pg1661.txt",
        None,
        "The Adventures of Sherlock Holmes, Project Gutenberg's text 1661, 0.6 MB",
    ),
    "enwik8": Source(
        "enwik8",
        "https://mattmahoney.net/dc/enwik8.zip",
        None,
        "the first 100,000,000 bytes of the English Wikipedia of March 3, 2006, as XML; 36 MB zipped",
        sha1="57b8363b814821dc9d47aa4d41f58733519076b2",
        archive="enwik8.zip",
    ),
}


def sha256_of(path: Path) -> str:
    return digest_of(path, "sha256")


def digest_of(path: Path, kind: str) -> str:
    """A file's digest of that kind, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def folders_of(name: str) -> list[Path]:
    """Where a source is looked for: the project's data folder, then a teacher's mirror."""
    folders = [data_dir() / name]
    if mirror := os.environ.get("COURSE_DATA"):
        # A relative folder is meant from the project's root, wherever a notebook happens to run.
        folders.append(project_root() / user_path(mirror) / name)
    return folders


def on_disk(name: str, source: Source) -> Path | None:
    """The first of a source's files that is there, not verified; its archive only where the file is nowhere."""
    files = [source.file] if source.archive is None else [source.file, source.archive]
    return next((path for file in files for folder in folders_of(name) if (path := folder / file).is_file()), None)


def find_source(name: str, source: Source | None = None) -> Path:
    """The path of a source's file, verified; unpacks or downloads it where it is nowhere on disk.

    Raises:
        CourseError: for an unknown name, a file with another digest, or one that cannot be had; it says
            what was tried and the two ways to provide the file.
    """
    if source is None:
        if name not in SOURCES:
            raise CourseError(f"There is no source {name!r}: {nearest(name, list(SOURCES))}")
        source = SOURCES[name]
    here = data_dir() / name / source.file
    found = on_disk(name, source)
    if found is not None and found.name == source.file:
        _verify(found, source, RIGHT_FILE)
        return found
    if found is not None:
        return _unpacked_here(found, source, here)
    looked = " and ".join(quoted(folder / source.file) for folder in folders_of(name))
    remedy = (
        f"Either download {source.url} on a machine with a network and put it at "
        f"{quoted(here.with_name(source.archive or source.file))}, or set COURSE_DATA to a "
        f"folder that holds {name}/{source.file}. Without it, dataset 'tinytales' needs no download."
    )
    if os.environ.get("COURSE_OFFLINE") == "1":
        raise CourseError(f"{name} is not at {looked}, and COURSE_OFFLINE=1 forbids a download. {remedy}")
    try:
        download(source, here)
    except OSError as error:
        raise CourseError(f"{name} is not at {looked}, and downloading it failed ({error}). {remedy}") from error
    return here


def _verify(path: Path, source: Source, remedy: str, name: str | None = None) -> None:
    """CourseError where a file, which is called ``name``, has another digest."""
    if source.digest is not None:
        kind, wanted = source.digest
        if (found := digest_of(path, kind)) != wanted:
            raise CourseError(f"{name or quoted(path)} should have the {kind} {wanted}; it has {found}. {remedy}")


def _unpacked_here(archive: Path, source: Source, target: Path) -> Path:
    """``target``, out of an archive on disk, which stays. Several programs take turns, as in `download`."""
    remedy = f"Delete {quoted(archive)}, so that it is fetched afresh, or put the right one there."
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _part_of(target) as part:
            if target.is_file():  # it came while we waited
                _verify(target, source, RIGHT_FILE)
            else:
                _unpack(archive, source, part.with_suffix(".new"), target, remedy)
    except OSError as error:
        raise CourseError(
            f"Cannot unpack {quoted(archive)} to {quoted(target)} ({error}). Free some disk space or check the "
            "permissions, then try again."
        ) from error
    return target


def _unpack(archive: Path, source: Source, new: Path, target: Path, remedy: str) -> None:
    """The file in a zip, by way of ``new``: verified, put at ``target`` in one move; nothing stays where that fails.

    Raises:
        OSError: where it cannot be written.
        CourseError: where the zip is damaged, does not hold the file, or the file has another digest.
    """
    try:
        with new.open("wb") as file:
            for block in _packed(archive, source.file, remedy):
                file.write(block)
        _verify(new, source, remedy, f"{source.file} in {quoted(archive)}")
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)


def _packed(archive: Path, name: str, remedy: str) -> Iterator[bytes]:
    """A file in a zip, a block at a time; CourseError where the zip is damaged or has no such file."""
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(name) as packed:
            while block := packed.read(BLOCK):
                yield block
    except Exception as error:  # of a damaged file zipfile raises errors of all kinds, OSError and ValueError too
        raise CourseError(
            f"{quoted(archive)} should be a zip that holds {name}; it is not ({error}). {remedy}"
        ) from error


def download(source: Source, target: Path, attempts: int = 3) -> None:
    """Fetch ``source`` to ``target``: resumed where it was cut off, verified, put in place in one move.

    Where several programs want it at once, one fetches it. The others wait, and find it there.

    Raises:
        OSError: where the network or the disk fails ``attempts`` times in a row.
        CourseError: where what came has another digest, or is no archive; it is then deleted.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(target) as part:
        if target.is_file():  # it came while we waited
            _verify(target, source, RIGHT_FILE)
            return
        if source.digest is None:  # nothing would tell the rest of a newer edition from the rest of this one
            part.unlink(missing_ok=True)
        _fetch_whole(source.url, part, attempts)
        try:
            if source.archive is None:
                _verify(part, source, TRY_AGAIN)
                os.replace(part, target)
            else:  # where the disk is full the part stays, and is not fetched again
                _unpack(part, source, part.with_suffix(".new"), target, TRY_AGAIN)
                part.unlink()
        except CourseError:
            part.unlink()
            raise


@contextlib.contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """The file that a download of ``target`` is gathered in; within it nobody else writes there.

    A system lock beside the file sees to that; a program that has to wait says why. On a file system without locks
    each gathers in a file of its own, and no later download resumes it.
    """
    path = target.with_name(target.name + ".lock")
    lock = system_lock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"Waiting: another program is downloading {quoted(target)}.", file=sys.stderr)
            lock.acquire()
    except (NotImplementedError, OSError) as error:
        if not has_no_locks(error):
            raise
    part = target.with_name(f"{target.name}.part" if lock.is_locked else f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    finally:
        left = [path] if target.is_file() else []  # else others may take turns at it yet: two files are two locks
        for file in left if lock.is_locked else [part, path]:
            with contextlib.suppress(OSError):
                file.unlink()
        lock.release()


def _fetch_whole(url: str, part: Path, attempts: int) -> None:
    """Fetch to ``part`` until all of it is there; OSError after ``attempts`` failures in a row."""
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return _fetch(url, part)
        except (OSError, http.client.HTTPException) as error:
            came = part.exists() and part.stat().st_size > before
            failures = 1 if came else failures + 1  # a slow line that is often cut off still gets there
            if failures >= attempts:
                raise error if isinstance(error, OSError) else OSError(f"{type(error).__name__}: {error}") from error


def _fetch(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks; a server that cannot resume sends the whole again."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing is left to send: the part is complete (or is none of this file)
            return
        raise
    with response:
        resumed = response.status == 206
        left = response.headers.get("Content-Length")
        total = None if left is None else int(left) + (have if resumed else 0)
        bar = progress_bar(total=total, initial=have if resumed else 0, unit="B", unit_scale=True, desc=part.stem)
        with bar, part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(1 << 16):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.stat().st_size < total:
        raise OSError(f"the connection was cut off after {part.stat().st_size} of {total} bytes")
