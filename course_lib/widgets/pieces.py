"""One text under several tokenizers at once: its pieces in color, and how many there are.

Python tokenizes and draws on each change; ``pieces.js`` has the box for typing and tells about single pieces.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass

import anywidget
import traitlets

from course_lib.drawings.signs import sign
from course_lib.errors import CourseError
from course_lib.tokenizers import Tokenizer
from course_lib.widgets.boxes import TINTS, WORDS, Piece, alarm_html, pieces, row_html
from course_lib.widgets.page import first_sentence, script

MOST_TOKENIZERS = 4
MOST_PIECES = 400
"""So many are drawn for each tokenizer; the others are only counted."""
MOST_CHARACTERS = 20_000
"""Of a longer text the beginning is read."""

HEAD = f"display: flex; flex-wrap: wrap; gap: 0 14px; align-items: baseline; min-height: 21px; {WORDS}"
TOLD = "font-family: monospace; overflow-wrap: anywhere"
BAR = "height: 5px; margin: 1px 0 5px; background: #808080; width: {:.1f}%"
# What all pieces have alike stands once, on what holds them: there are many.
ROW = "font: 15px/20px monospace; text-align: left"
PIECE = (
    "display: inline-block; margin: 0 1px 4px; padding: 0 2px; min-width: 9px; text-align: center; "
    "border: 1px solid #808080; background-color: {}"
)


@dataclass(frozen=True)
class Count:
    """What one tokenizer makes of a text."""

    name: str
    vocab_size: int
    n_tokens: int
    n_characters: int
    found: list[Piece]
    """The pieces that are drawn."""
    error: str
    """Why there are none."""

    @property
    def words(self) -> str:
        if self.error:
            return self.error
        tokens = f"{self.n_tokens:,} token{'' if self.n_tokens == 1 else 's'}"
        rate = self.n_characters / self.n_tokens if self.n_tokens else 0
        return f"{tokens}, {rate:.2f} characters per token" if self.n_tokens else tokens

    @property
    def n_left(self) -> int:
        return self.n_tokens - len(self.found)


def count(name: str, tokenizer: Tokenizer, text: str) -> Count:
    """``text`` in pieces; a text that the tokenizer does not know has none, and says why."""
    try:
        ids = tokenizer.encode(text)
    except CourseError as error:
        return Count(name, tokenizer.vocab_size, 0, len(text), [], first_sentence(error))
    return Count(name, tokenizer.vocab_size, len(ids), len(text), pieces(tokenizer, ids[:MOST_PIECES]), "")


class PiecesPicture:
    """``text`` under each of ``tokenizers``: a name, counts, a bar as long as there are tokens, and the pieces."""

    def __init__(self, tokenizers: Mapping[str, Tokenizer], text: str) -> None:
        read = text[:MOST_CHARACTERS]
        self.counts = [count(name, tokenizer, read) for name, tokenizer in tokenizers.items()]
        self.note = ""
        if len(read) < len(text):
            self.note = f"The first {MOST_CHARACTERS:,} of {len(text):,} characters are read."

    @property
    def words(self) -> str:
        """The counts, for those to whom they are read out."""
        return " ".join([*(f"{one.name}: {one.words.rstrip('.')}." for one in self.counts), self.note]).strip()

    def _repr_html_(self) -> str:
        most = max(one.n_tokens for one in self.counts) or 1
        rows = "".join(_row_html(one, most) for one in self.counts)
        note = f"The longer a bar, the more tokens. {self.note}".rstrip()
        return f'<div style="max-width: 900px">{rows}<div style="{WORDS}">{note}</div></div>'

    def __repr__(self) -> str:
        lines = []
        for one in self.counts:
            shown = "|".join(sign(piece.content) for piece in one.found) + ("|..." if one.n_left else "")
            lines.append(f"{one.name}: {one.words}" + (f"\n    {shown}" if shown else ""))
        return "\n".join([*lines, *([self.note] if self.note else [])])


def _row_html(one: Count, most: int) -> str:
    name = html.escape(one.name)
    counted = alarm_html(one.error) if one.error else f"<span>{one.words}</span>"
    told = f'<span data-told="" style="{TOLD}"></span>'
    head = f'<div style="{HEAD}"><b>{name}</b><span>{one.vocab_size:,} ids</span>{counted}{told}</div>'
    bar = f'<div style="{BAR.format(100 * one.n_tokens / most)}"></div>'
    row = f'<div role="group" aria-label="{name}" style="{ROW}">{row_html(one.found, _box)}</div>'
    left = f'<div style="{WORDS}">and {one.n_left:,} more tokens</div>' if one.n_left else ""
    return f'<div data-row="" style="margin-bottom: 10px">{head}{bar}{row}{left}</div>'


def _box(piece: Piece, number: int) -> str:
    shown = html.escape(sign(piece.content))
    title = f"token {number}: {shown}, id {piece.id}, bytes {piece.content.hex(' ').upper()}"
    return f'<span style="{PIECE.format(TINTS[number % 2])}" title="{title}">{shown}</span>'


class FourTokenizers(anywidget.AnyWidget):
    """A box for text, and under it the text's pieces under each of up to four tokenizers, drawn anew at each key.

    ``text`` may be set from Python too. A notebook's file keeps the picture of the text that it began with: a page
    without a kernel shows that.

    Args:
        tokenizers: what each is called, to the tokenizer; they are shown in this order.
        text: what stands in the box at first. Of more than 20,000 characters the beginning is read.

    Raises:
        CourseError: for no tokenizer, or more than four.
    """

    _esm = script("pieces")
    text = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode("Type here, in any script:").tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)

    def __init__(self, tokenizers: Mapping[str, Tokenizer], text: str = "") -> None:
        if not 1 <= len(tokenizers) <= MOST_TOKENIZERS:
            raise CourseError(
                f"FourTokenizers takes one to {MOST_TOKENIZERS} tokenizers by name, such as {{'bytes': "
                f"ByteTokenizer()}}; it got {len(tokenizers)}."
            )
        self._tokenizers = dict(tokenizers)
        self._begun = PiecesPicture(self._tokenizers, text)
        super().__init__(text=text, picture=self._begun._repr_html_(), words=self._begun.words)
        self.observe(self._see, names="text")

    def _see(self, change: dict[str, str]) -> None:
        drawn = PiecesPicture(self._tokenizers, change["new"])
        with self.hold_sync():
            self.picture, self.words = drawn._repr_html_(), drawn.words

    def _repr_html_(self) -> str:
        return self._begun._repr_html_()

    def __repr__(self) -> str:
        return f"{self._begun!r}\nRun this cell, then type another text."
