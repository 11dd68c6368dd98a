"""What a dataset's name stands for: the text behind it, and the tokenizer it is meant for."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course_lib.config import nearest
from course_lib.corpora import Grade, numbers_text, tinytales
from course_lib.data.sources import find_source
from course_lib.errors import CourseError


@dataclass(frozen=True)
class Corpus:
    """A text by name. ``read`` gives its bytes; ``tokenizer`` is the kind it is meant for.

    Of a text that a grammar wrote, more is known: ``lines`` gives for a block_size the losses that no
    reader can beat (label to nats per token), ``grade`` judges what a model wrote.
    """

    read: Callable[[], bytes]
    tokenizer: str
    about: str
    start: str = "\n"
    """What a model is given to begin with: where a line, a poem, a story begins."""
    lines: Callable[[int], dict[str, float]] | None = None
    grade: Callable[[str], Grade] | None = None


def _source_bytes(name: str) -> bytes:
    return find_source(name).read_bytes()


def _holmes_bytes() -> bytes:
    """The stories alone: Project Gutenberg's header and license stand around them."""
    text = decode_utf8(_source_bytes("holmes"), "holmes").replace("\r\n", "\n")
    match = re.search(r"\*\*\* ?START OF.*?\*\*\*\n(.*?)\*\*\* ?END OF", text, flags=re.DOTALL)
    if match is None:
        raise CourseError(
            "The file of source 'holmes' should be Project Gutenberg's text 1661, with its START and END lines; they "
            "are not there. Delete the file, so that it is fetched afresh."
        )
    return match[1].strip().encode() + b"\n"


CORPORA = {
    "tinytales": Corpus(
        lambda: tinytales.tinytales_text().encode(),
        "char",
        "small stories, 1.0 MB, made by code: needs no download",
        start="\n\n",
        lines=tinytales.lines,
        grade=tinytales.grade,
    ),
    "numbers": Corpus(
        lambda: numbers_text().encode(), "char", "counting in words, 1.0 MB, made by code: needs no download"
    ),
    "shakespeare_char": Corpus(lambda: _source_bytes("tinyshakespeare"), "char", "Tiny Shakespeare, by characters"),
    "holmes": Corpus(_holmes_bytes, "char", "The Adventures of Sherlock Holmes, by characters"),
}


def find_corpus(name: str) -> Corpus:
    """The corpus of a name, of ``text:PATH`` (UTF-8) or of ``bytes:PATH`` (anything)."""
    scheme, _, path = name.partition(":")
    if scheme in ("text", "bytes") and path:
        kind = "char" if scheme == "text" else "byte"
        return Corpus(lambda: _read_file(Path(path).expanduser()), kind, f"your file {path}")
    if name not in CORPORA:
        raise CourseError(
            f"There is no dataset {name!r}: {nearest(name, list(CORPORA))} Your own file is text:PATH or bytes:PATH."
        )
    return CORPORA[name]


def _read_file(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CourseError(
            f"Cannot read {path}: {error.strerror}. Check the path; it is taken from {Path.cwd()}."
        ) from error
    if not content:
        raise CourseError(
            f"{path} is empty; there is nothing to learn from. Give a text of a few thousand characters or more."
        )
    return content


def decode_utf8(content: bytes, name: str) -> str:
    """``content`` as text; CourseError says where it is not valid UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + len(content) - len(error.object)  # Python does not count a byte-order mark
        line = content.count(b"\n", 0, start) + 1
        raise CourseError(
            f"{name} is not valid UTF-8: byte 0x{content[start]:02x} at position {start} (line {line}). "
            f"Save it as UTF-8, or train on its raw bytes with bytes:PATH."
        ) from error


def load_bytes(name: str) -> bytes:
    """The corpus ``name`` as bytes; raises CourseError where it cannot be had."""
    return find_corpus(name).read()


def load_text(name: str) -> str:
    """The corpus ``name`` as text; raises CourseError where it cannot be had or is not UTF-8."""
    text = decode_utf8(load_bytes(name), name)
    if not text:
        raise CourseError(f"{name} holds no text; there is nothing to learn from.")
    return text
