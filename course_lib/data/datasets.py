"""What a dataset's name stands for: the text behind it, and the tokenizer it is meant for."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.corpora import Grade, numbers_text, tinytales
from course_lib.corpora.names import given_names
from course_lib.data.reading import absolute, byte_blocks, read_bytes, read_text, text_blocks, to_text
from course_lib.errors import CourseError, nearest
from course_lib.sources import Source, find_source


@dataclass(frozen=True)
class Corpus:
    """A text by name. ``read`` gives its bytes, of a text those of UTF-8; ``tokenizer`` is the kind it is meant for.

    More is known of a text that a grammar wrote: ``lines`` gives the losses that no reader can beat at a
    block_size (label to nats per token), ``grade`` judges what a model wrote.
    """

    read: Callable[[], bytes]
    tokenizer: str
    about: str
    start: str = "\n"
    """What a model is given to begin with: where a line, a poem, a story begins."""
    lines: Callable[[int], dict[str, float]] | None = None
    grade: Callable[[str], Grade] | None = None
    blocks: Callable[[], Iterator[Any]] | None = None
    """What ``read`` gives, a block at a time, where it may be larger than memory: texts, or bytes where it is raw."""
    is_sharded: bool = False
    """Whether it is too large to be kept as text: a command of its own prepares it, and nothing else reads it."""
    is_raw: bool = False
    """Whether its bytes are no text here, whatever they are: it is split between bytes, and each is a token."""


ADDRESS = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
WIKITEXT = (
    Source(
        "valid.txt",
        ADDRESS + "valid.txt",
        "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "60 articles of the English Wikipedia, 1.1 MB",
    ),
    Source(
        "test.txt",
        ADDRESS + "test.txt",
        "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        "60 more, 1.3 MB",
    ),
)
"""The two smaller parts of WikiText-2 (Merity et al. 2016): words apart, the rare ones replaced by <unk>."""


def _source_bytes(name: str) -> bytes:
    return find_source(name).read_bytes()


def _shakespeare() -> str:
    return to_text(_source_bytes("tinyshakespeare"), "tinyshakespeare")


def _holmes_bytes() -> bytes:
    """The stories alone: Project Gutenberg's header and license stand around them."""
    text = to_text(_source_bytes("holmes"), "holmes")
    match = re.search(r"\*\*\* ?START OF.*?\*\*\*\n(.*?)\*\*\* ?END OF", text, flags=re.DOTALL)
    if match is None:
        raise CourseError(
            "The file of source 'holmes' should be Project Gutenberg's text 1661, with its START and END lines; they "
            "are not there. Delete the file, so that it is fetched afresh."
        )
    return match[1].strip().encode() + b"\n"


def _wikitext_bytes() -> bytes:
    return b"".join(find_source("wikitext-2", source).read_bytes() for source in WIKITEXT)


def _openwebtext_bytes() -> bytes:
    from course_lib.data.shards import not_prepared  # here, as it needs numpy, which a page in a browser has not

    raise not_prepared("openwebtext")


def _names_bytes() -> bytes:
    """One name a line. In alphabetical order the last tenth, for validation, would be the names from t to z."""
    names = given_names()
    random.Random(0).shuffle(names)
    return "\n".join(names).encode() + b"\n"


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
    "names": Corpus(_names_bytes, "char", "some 4,000 given names, one a line, bundled: needs no download"),
    "names_full": Corpus(lambda: _source_bytes("names_full"), "char", "the 32,033 names of makemore, one a line"),
    "shakespeare_char": Corpus(lambda: _shakespeare().encode(), "char", "Tiny Shakespeare, by characters"),
    "shakespeare": Corpus(lambda: _shakespeare().encode(), "gpt2", "Tiny Shakespeare, by GPT-2's vocabulary"),
    "holmes": Corpus(_holmes_bytes, "char", "The Adventures of Sherlock Holmes, by characters"),
    "enwik8": Corpus(
        lambda: _source_bytes("enwik8"),
        "byte",
        "100 MB of the English Wikipedia, by bytes",
        blocks=lambda: byte_blocks(str(find_source("enwik8"))),
        is_raw=True,  # so that a split of 90, 5 and 5 percent is at the bytes where everybody's is
    ),
    "openwebtext": Corpus(
        _openwebtext_bytes,
        "gpt2",
        "38 GB of web pages that Reddit linked to, by GPT-2's vocabulary: hours of work",
        is_sharded=True,
    ),
    "wikitext": Corpus(_wikitext_bytes, "byte", "120 articles of the English Wikipedia (WikiText-2), by bytes"),
}


OWN = ("text", "bytes", "bins")
"""What stands before the colon in the name of a dataset that is one's own."""


def own_path(name: str) -> str | None:
    """The path in ``text:PATH``, ``bytes:PATH`` and ``bins:PATH``; None for any other name."""
    scheme, _, path = name.partition(":")
    return path if scheme in OWN and path else None


def _text_of_ids(path: str) -> bytes:
    from course_lib.data.bins import Bins  # here, for the same reason

    return Bins(path).text().encode()


def find_corpus(name: str) -> Corpus:
    """The corpus of a name, of ``text:PATH`` (UTF-8), of ``bytes:PATH`` (anything) or of ``bins:PATH``.

    PATH is a file, a folder (all files in and under it), a pattern such as ``letters/*.txt``, or ``-`` for standard
    input: see `course_lib.data.reading`.

    ``bins:PATH`` is a folder with nanoGPT's ``train.bin`` and ``val.bin``: see `course_lib.data.bins`.

    Raises:
        CourseError: for a name that is none of these.
    """
    path = own_path(name)
    if path is None:
        if name not in CORPORA:
            raise CourseError(
                f"There is no dataset {name!r}: {nearest(name, list(CORPORA))} Your own file is text:PATH or "
                "bytes:PATH; PATH may be a folder, or a pattern such as 'letters/*.txt', too. A folder with nanoGPT's "
                "train.bin and val.bin is bins:PATH."
            )
        return CORPORA[name]
    if name.startswith("text:"):
        return Corpus(
            lambda: read_text(path, name).encode(), "char", f"your text {path}",
            blocks=lambda: text_blocks(path, name),
        )  # fmt: skip
    if name.startswith("bins:"):
        return Corpus(lambda: _text_of_ids(path), "auto", f"the ids in {path}")
    return Corpus(
        lambda: read_bytes(path), "byte", f"the bytes of {path}", blocks=lambda: byte_blocks(path), is_raw=True
    )


def full_name(name: str) -> str:
    """A dataset's name that means the same from every folder: the path in it is made absolute."""
    path = own_path(name)
    return name if path is None else f"{name.partition(':')[0]}:{absolute(path)}"


def short_name(name: str) -> str:
    """What a folder may be called after a dataset: its name, or that of the file or folder."""
    path = own_path(name)
    if path is None:
        return name
    if path == "-":
        return "stdin"
    parts = [part for part in Path(absolute(path)).parts if not re.search(r"[*?]", part)]
    return re.sub(r"[^\w-]+", "_", Path(parts[-1]).stem).strip("_")[:40] or "text"


def floor_of(name: str, tokenizer: str, block_size: int) -> float | None:
    """The least that a reader of ``block_size`` tokens of this corpus can lose, in nats per token.

    None where the text has no grammar, or ``tokenizer`` (its kind, or ``auto``) makes tokens that are no letters, or
    nobody has measured it for that block_size.
    """
    corpus = find_corpus(name)
    by_letters = corpus.tokenizer if tokenizer == "auto" else tokenizer
    if corpus.lines is None or by_letters not in ("char", "byte"):
        return None
    return next((nats for label, nats in corpus.lines(block_size).items() if label.startswith("floor")), None)


def load_bytes(name: str) -> bytes:
    """The corpus ``name`` as bytes; raises CourseError where it cannot be had."""
    return find_corpus(name).read()


def load_text(name: str) -> str:
    """The corpus ``name`` as text; raises CourseError where it cannot be had or is no text in UTF-8."""
    corpus = find_corpus(name)
    return to_text(corpus.read(), name) if corpus.is_raw else corpus.read().decode()
