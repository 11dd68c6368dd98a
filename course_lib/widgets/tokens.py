"""A text colored by token, with the ids under it: as a picture, and as a part in which one types.

Python tokenizes on each change of the text, so any `Tokenizer` will do. ``tokens.js`` has the box for typing;
what is under it is the picture, made here and escaped here.
"""

import codecs
import html
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import anywidget
import traitlets

from course_lib.errors import CourseError
from course_lib.tokenizers import Tokenizer
from course_lib.widgets.page import script
from course_lib.widgets.signs import SIGNS

MOST_TOKENS = 400
"""So many are drawn; the others are only counted."""


@dataclass(frozen=True)
class Piece:
    """A token in the text."""

    id: int
    content: bytes
    """What it stands for, in UTF-8; not every token is a whole character."""


def pieces(tokenizer: Tokenizer, ids: list[int]) -> list[Piece]:
    """What each of ``ids`` stands for."""
    return [Piece(i, _content(tokenizer, i)) for i in ids]


def _content(tokenizer: Tokenizer, i: int) -> bytes:
    """The bytes of one id: a byte, an entry of a vocabulary of bytes, or whatever the id decodes to."""
    if tokenizer.kind == "byte":
        return bytes([i])
    vocab = getattr(tokenizer, "vocab", None)
    if isinstance(vocab, dict) and isinstance(vocab.get(i), bytes):
        return vocab[i]
    return tokenizer.decode([i]).encode("utf-8", "surrogatepass")


def groups(found: list[Piece]) -> Iterator[list[Piece]]:
    """Tokens that only together make whole characters, together; the others each alone."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    group: list[Piece] = []
    for piece in found:
        group.append(piece)
        try:
            decoder.decode(piece.content)
            whole = not decoder.getstate()[0]
        except UnicodeDecodeError:  # no text at all; it should not happen to what `encode` made
            decoder.reset()
            whole = True
        if whole:
            yield group
            group = []
    if group:
        yield group


# ---- the picture of it -------------------------------------------------------------------------------

# Blue and orange of Okabe and Ito, thin enough for dark and for light letters; each box has a border besides.
TINTS = ("rgba(0, 114, 178, 0.22)", "rgba(230, 159, 0, 0.30)")
# All boxes of a line stand on one height: what is above a group is above its line.
BOX = "display: inline-block; text-align: center; vertical-align: bottom; margin: 0 {}px {}px; "
GROUP = BOX.format(3, 0)  # apart, so that their dotted lines do not join
EDGE = (
    BOX.format(1, 6)
    + "border: 1px solid #808080; border-radius: 4px; padding: 1px 3px; min-width: 13px; background-color: {}"
)
SIGN = "display: block; font-size: 16px; line-height: 22px; white-space: pre"
NUMBER = "display: block; font-size: 11px; line-height: 15px"
ALARM = "border-left: 4px solid #D55E00; padding-left: 0.8em; margin: 0.3em 0"


class TokenPicture:
    """``text`` in boxes, one for each token, its id under it; or why it cannot be tokenized.

    Boxes are blue and orange in turn. What leaves no ink has a sign (␣ for a space), and tokens that are a
    part of a character stand together under it and a dotted line, as hexadecimal bytes.
    """

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self.error, self.counts, self._left = "", "", 0
        try:
            ids = tokenizer.encode(text)
        except CourseError as error:
            self.error = str(error)
            return
        self._pieces = pieces(tokenizer, ids[:MOST_TOKENS])
        self._left = len(ids) - len(self._pieces)
        counts = [(len(ids), "token"), (len(text), "character"), (len(text.encode("utf-8", "replace")), "byte")]
        self.counts = ", ".join(f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in counts)
        if tokenizer.decode(ids) != text:
            self.counts += "; decoded again it is another text"

    @property
    def words(self) -> str:
        """How many tokens there are, or why there are none."""
        more = f" The first {MOST_TOKENS} tokens are shown; {self._left:,} more are counted." if self._left else ""
        return self.error or f"{self.counts}.{more}"

    def _repr_html_(self) -> str:
        if self.error:
            return f'<div style="{ALARM}">{html.escape(self.error)}</div>'
        drawn, number = [], 0
        for group in groups(self._pieces):
            drawn.append(_group_html(group, number))
            number += len(group)
        boxes = f'<div style="font-family: monospace; max-width: 900px">{"".join(drawn)}</div>'
        return f"<div>{boxes}<div>{self.words}</div></div>"

    def __repr__(self) -> str:
        if self.error:
            return self.error
        shown = [f"{_sign(piece.content)} {piece.id}" for piece in self._pieces]
        return " | ".join([*shown, *(["..."] if self._left else [])]) + f"\n{self.counts}."


def _sign(content: bytes) -> str:
    """What to show for the bytes of a token: letters, a sign where they leave no ink, or hexadecimal digits."""
    try:
        letters = content.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return f"U+{ord(content.decode('utf-8', 'surrogatepass')):04X}"
        except (UnicodeDecodeError, TypeError):
            return content.hex(" ").upper()
    alone = len(letters) == 1 and unicodedata.combining(letters)  # an accent needs something to stand on
    return "◌" * bool(alone) + "".join(SIGNS.get(letter, _inked(letter)) for letter in letters)


def _inked(letter: str) -> str:
    has_ink = unicodedata.category(letter) not in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")
    return letter if has_ink else f"U+{ord(letter):04X}"


def _group_html(group: list[Piece], number: int) -> str:
    """The boxes of one group, the first of which is token ``number`` of the text."""
    boxes = "".join(_box(piece, number + i) for i, piece in enumerate(group))
    content = b"".join(piece.content for piece in group)
    if len(group) > 1:
        line = "; border-bottom: 2px dotted #808080; margin: 0 1px 3px"
        above = f'<span style="{SIGN}{line}">{html.escape(_sign(content))}</span>'
        boxes = f'<span style="{GROUP}">{above}{boxes}</span>'
    return boxes + ("<br>" if content.endswith(b"\n") else "")


def _box(piece: Piece, number: int) -> str:
    sign = html.escape(_sign(piece.content))
    title = f"token {number}: {sign}, id {piece.id}"
    return (
        f'<span style="{EDGE.format(TINTS[number % 2])}" title="{title}"><span style="{SIGN}">{sign}</span>'
        f'<span style="{NUMBER}">{piece.id}</span></span>'
    )


# ---- the part in which one types -----------------------------------------------------------------------


class TokenView(anywidget.AnyWidget):
    """A box for text, and under it the text's `TokenPicture`, drawn anew at each key.

    A notebook's file keeps the picture of the text that it began with: a page without a kernel shows that.
    """

    _esm = script("tokens")
    text = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)
    """What changed, for those to whom it is read out."""

    def __init__(self, tokenizer: Tokenizer, text: str = "") -> None:
        self._tokenizer = tokenizer
        self._begun = TokenPicture(tokenizer, text)
        label = f"{type(tokenizer).__name__}, {tokenizer.vocab_size:,} ids: type here"
        picture, words = self._begun._repr_html_(), self._begun.words
        super().__init__(text=text, label=label, picture=picture, words=words)
        self.observe(self._see, names="text")

    def _see(self, change: dict[str, str]) -> None:
        drawn = TokenPicture(self._tokenizer, change["new"])
        with self.hold_sync():
            self.picture, self.words = drawn._repr_html_(), drawn.words

    def _repr_html_(self) -> str:
        return self._begun._repr_html_()

    def __repr__(self) -> str:
        return f"{self._begun!r}\nRun this cell, then type another text."
