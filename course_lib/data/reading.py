"""Files to text: one set of rules for everything that is read, whether a corpus or the start of a sample.

A text is UTF-8. A byte-order mark is no part of it, and line ends of all systems become ``\\n``. What is not a text is
named: the error says what the file is, and what makes a text of it.
"""

import atexit
import codecs
import functools
import glob
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from course_lib.errors import CourseError
from course_lib.paths import quoted, user_path

SEPARATOR = "\n\n"
"""What stands between two files of one text: a blank line. It takes the place of the line breaks at a file's end."""

BLOCK = 1 << 16
"""So many bytes of a file are read at a time. Much larger blocks leave holes in memory that nothing fits into."""
MOST_HELD = 1 << 24
"""So many bytes of standard input are kept in memory; more are kept in a file."""
SAMPLE = 1 << 16
"""So many bytes at the beginning of a file tell what kind of file it is."""
MUCH_IS_NEEDED = "there is nothing to learn from. Give a text of a few thousand characters or more."

_TO_UTF8 = "Save it as UTF-8, for instance with: iconv -f {encoding} -t UTF-8 FILE > NEW"
_OTHER_ENCODING = (
    "A text in another encoding can be saved as UTF-8 with: iconv -f ENCODING -t UTF-8 FILE > NEW (older files from "
    "western Europe mostly have CP1252). What is no text can be trained on by its raw bytes, with bytes:PATH."
)
_NO_TEXT = "It is no text: it has control characters in it. Train on its raw bytes, with bytes:PATH."
_KINDS = (
    (b"\xff\xfe\x00\x00", "UTF-32", _TO_UTF8.format(encoding="UTF-32")),
    (b"\x00\x00\xfe\xff", "UTF-32", _TO_UTF8.format(encoding="UTF-32")),
    (b"\xff\xfe", "UTF-16", _TO_UTF8.format(encoding="UTF-16")),
    (b"\xfe\xff", "UTF-16", _TO_UTF8.format(encoding="UTF-16")),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first (gunzip)."),
    (b"BZh", "a bzip2 archive", "Unpack it first (bunzip2)."),
    (b"\xfd7zXZ\x00", "an xz archive", "Unpack it first (unxz)."),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "Unpack it first (unzstd)."),
    (b"PK\x03\x04", "a zip archive (.docx, .epub and .xlsx are such)", "Unpack it, or save it as plain text."),
    (b"%PDF-", "a PDF", "Take its text out first, for instance with pdftotext."),
    (b"{\\rtf", "RTF, text between formatting commands", "Save it as plain text."),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "Save it as plain text."),
    (b"SQLite format 3\x00", "an SQLite database", "Write the text in it to a file first."),
    (b"PAR1", "a Parquet table", "Write the text in it to a file first."),
    (b"\x89PNG", "a PNG picture", "A text is needed."),
    (b"\xff\xd8\xff", "a JPEG picture", "A text is needed."),
    (b"\x7fELF", "a program", "A text is needed."),
)
"""How files begin that are brought instead of a text: what they are, and what to do."""


def find_files(path: str) -> list[Path]:
    """The files that ``path`` stands for: a file, all files in and under a folder, or those of a pattern.

    Patterns are those of a shell, with ``**`` for folders of any depth. Files are sorted by their path. Hidden ones
    (a dot at the front of a name), and files in hidden folders, are found only where the path names them.

    Raises:
        CourseError: where there is none.
    """
    place = user_path(path)
    if place.is_dir():
        found = [file for file in sorted(place.rglob("*")) if not _is_hidden(file, place) and file.is_file()]
        what = "is a folder without files"
    elif place.exists() or not glob.has_magic(path):  # a name may hold a bracket, too
        return [place]
    else:
        found = [Path(name) for name in sorted(glob.glob(str(place), recursive=True)) if Path(name).is_file()]
        what = "fits no file"
    if not found:
        here = f"The path is taken from {quoted(Path.cwd())}."
        raise CourseError(f"{quoted(path)} {what}; there is nothing to learn from. {here}")
    return found


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def read_text(path: str, name: str | None = None) -> str:
    """The text of a file, a folder, a pattern (see `find_files`) or, for ``-``, of standard input.

    Several files come one after another with `SEPARATOR` between; empty ones are left out.

    Args:
        name: what messages call it; by default ``path``.

    Raises:
        CourseError: for what cannot be read, is no text, or is empty.
    """
    return "".join(text_blocks(path, name))


def text_blocks(path: str, name: str | None = None) -> Iterator[str]:
    """What `read_text` reads, a block at a time, so that the text need not fit into memory."""
    files = [None] if path == "-" else find_files(path)
    if len(files) == 1:
        blocks = _blocks_of(files[0], "standard input" if path == "-" else quoted(name or path))
    else:
        blocks = _joined(_part(file) for file in files)
    is_empty = True
    for block in blocks:
        is_empty = is_empty and not block
        yield block
    if is_empty:
        what = "Standard input" if path == "-" else quoted(name or path)
        more = " Pipe it in, as in: course train text:- < book.txt" if path == "-" else ""
        raise CourseError(f"{what} is empty; {MUCH_IS_NEEDED}{more}")


def _blocks_of(file: Path | None, name: str) -> Iterator[str]:
    """The text of one file, or of standard input for None."""
    reader = TextReader(name)
    for block in _byte_blocks(file):
        yield reader.add(block)
    yield reader.add(b"", is_last=True)


def _byte_blocks(file: Path | None) -> Iterator[bytes]:
    """One file, or standard input for None."""
    if file is None:
        kept, place = _standard_input(), 0
        while kept.seek(place) == place and (block := kept.read(BLOCK)):
            place += len(block)
            yield block
        return
    try:
        with file.open("rb") as opened:
            while block := opened.read(BLOCK):
                yield block
    except OSError as error:
        raise CourseError(
            f"Cannot read {quoted(file)}: {error.strerror}. Check the path; it is taken from {quoted(Path.cwd())}."
        ) from error


def _part(file: Path) -> Iterator[str]:
    """The text of one file of several: an error says how to leave it out."""
    try:
        yield from _blocks_of(file, quoted(file))
    except CourseError as error:
        kind = file.suffix or ".txt"
        wanted = ".txt" if kind != ".txt" else ".md"
        raise CourseError(f"{error} To leave it out, name a pattern, such as 'text:FOLDER/**/*{wanted}'.") from error


def _joined(parts: Iterable[Iterator[str]]) -> Iterator[str]:
    """Several texts as one, empty ones left out; a single line break ends it."""
    is_first = True
    for part in parts:
        has_begun, held = False, ""  # line breaks at a text's end are held back until it is known whether it goes on
        for block in part:
            block = held + block if has_begun else block.lstrip("\n")
            if not block:
                continue
            kept = block.rstrip("\n")
            held = block[len(kept) :]
            if not has_begun and not is_first:
                yield SEPARATOR
            has_begun, is_first = True, False
            yield kept
    if not is_first:
        yield "\n"


def read_start_file(path: str, name: str) -> str:
    """The text of one file, or of standard input for ``-``; it may be empty.

    Raises:
        CourseError: for a path that is none or a folder, and for what cannot be read or is no text.
    """
    if not path or user_path(path).is_dir():
        raise CourseError(f"{quoted(name)} should name a file with a text, as in FILE:start.txt.")
    return to_text(b"".join(_byte_blocks(None if path == "-" else user_path(path))), quoted(name))


def read_bytes(path: str) -> bytes:
    """The raw bytes of a file, a folder, a pattern or standard input; several files with nothing between them.

    Raises:
        CourseError: for what cannot be read or is empty.
    """
    return b"".join(byte_blocks(path))


def byte_blocks(path: str) -> Iterator[bytes]:
    """What `read_bytes` reads, a block at a time."""
    files = [None] if path == "-" else find_files(path)
    is_empty = True
    for file in files:
        for block in _byte_blocks(file):
            is_empty = is_empty and not block
            yield block
    if is_empty:
        raise CourseError(f"{quoted(path)} is empty; {MUCH_IS_NEEDED}")


@functools.cache
def _standard_input() -> IO[bytes]:
    """All of standard input. It can be read only once, and several places ask for it."""
    source = getattr(sys.stdin, "buffer", None)
    if source is None:
        raise CourseError("There is no standard input here to read from. Put the text into a file, and name that.")
    if source.isatty():
        print("Reading the text from the terminal; Ctrl-D on a line of its own ends it.", file=sys.stderr)
    start = source.read(MOST_HELD)
    if len(start) < MOST_HELD:
        return io.BytesIO(start)
    kept = tempfile.TemporaryFile()  # noqa: SIM115 (for as long as the program runs)
    atexit.register(kept.close)
    kept.write(start)
    shutil.copyfileobj(source, kept, BLOCK)
    return kept


def to_text(content: bytes, name: str) -> str:
    """``content`` as text, by the rules of this module; a CourseError names what it is instead, and where.

    Args:
        name: what the message calls it.
    """
    return TextReader(name).add(content, is_last=True)


class TextReader:
    """Bytes to text by the rules of this module, a block at a time.

    Args:
        name: what messages call the text.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._sample: bytes | None = None  # how it begins, once that is known
        self._read, self._lines = 0, 0  # bytes and line ends in the blocks before
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._line_ends = io.IncrementalNewlineDecoder(None, translate=True)

    def add(self, block: bytes, is_last: bool = False) -> str:
        """The text of one more block. The first is long, or the last: what a file is shows in how it begins.

        Raises:
            CourseError: for what is no text in UTF-8; it names what it is instead, and where.
        """
        if self._sample is None:
            self._sample = block[:SAMPLE]
            self._refuse_other_kinds(self._sample)
            mark = len(codecs.BOM_UTF8) if block.startswith(codecs.BOM_UTF8) else 0
            self._read, block = mark, block[mark:]
        try:
            text = self._utf8.decode(block, is_last)
        except UnicodeDecodeError as error:
            raise self._invalid(error, block) from error
        self._read += len(block)
        self._lines += block.count(b"\n")
        return self._line_ends.decode(text, is_last)

    def _refuse_other_kinds(self, sample: bytes) -> None:
        for start, kind, remedy in _KINDS:
            if sample.startswith(start):
                raise CourseError(f"{self._name} is {kind}, not a text in UTF-8. {remedy}")
        if wide := _unmarked(sample):
            raise CourseError(
                f"{self._name} looks like {wide} without a byte-order mark: most of its bytes at every other place are "
                f"zero. {_TO_UTF8.format(encoding=wide)}"
            )

    def _invalid(self, error: UnicodeDecodeError, block: bytes) -> CourseError:
        """What to say of a byte that no character has at its place."""
        waiting = len(error.object) - len(block)  # the beginning of a character, from the block before
        position = self._read - waiting + error.start
        line = self._lines + error.object.count(b"\n", 0, error.start) + 1
        assert self._sample is not None
        return CourseError(
            f"{self._name} is not valid UTF-8: byte 0x{error.object[error.start]:02x} at position {position} (line "
            f"{line}). {_NO_TEXT if _is_binary(self._sample) else _OTHER_ENCODING}"
        )


def same_line_ends(text: str) -> str:
    """``text`` with the line ends of all systems (CR LF, CR, LF) as LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_binary(sample: bytes) -> bool:
    """Whether there are bytes in it that no encoding of a text has many of: control characters."""
    controls = sum(sample.count(byte) for byte in range(32) if byte not in b"\t\n\f\r\x1b")
    return controls > 0.01 * len(sample)


def _unmarked(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, by the zero bytes that mostly Latin text has in it; None for neither.

    Zeros are legal in UTF-8, each a character NUL, but nobody means them in a text. Of Latin letters every second
    byte is zero in UTF-16, and three of four are in UTF-32.
    """
    if len(sample) < 4 or sample.count(0) < 0.3 * len(sample):
        return None
    zeros = [sample[place::4].count(0) / len(sample[place::4]) for place in range(4)]
    if min(zeros[1:]) > 0.9 or min(zeros[:3]) > 0.9:
        return "UTF-32LE" if zeros[3] > 0.9 else "UTF-32BE"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    return ("UTF-16LE" if odd > even else "UTF-16BE") if abs(odd - even) > 0.6 else None


def absolute(path: str) -> str:
    """``path`` (or pattern) from the root of the disk, ``~`` taken for the home folder; ``-`` stays."""
    return path if path == "-" else os.path.abspath(user_path(path))
