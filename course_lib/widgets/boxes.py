"""How a text's tokens look: which of them make a character together, and a box for each."""

import codecs
import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from course_lib.drawings.signs import sign
from course_lib.tokenizers import Tokenizer


@dataclass(frozen=True)
class Piece:
    """A token in the text."""

    id: int
    content: bytes
    """What it stands for, in UTF-8; not every token is a whole character."""


def pieces(tokenizer: Tokenizer, ids: list[int]) -> list[Piece]:
    """What each of ``ids`` stands for: a byte, an entry of a vocabulary of bytes, or whatever the id decodes to."""
    if tokenizer.kind == "byte":
        return [Piece(i, bytes([i])) for i in ids]
    vocab = getattr(tokenizer, "vocab", None)  # asked for once: a large one takes milliseconds to make
    known = vocab if isinstance(vocab, dict) else {}
    return [Piece(i, known[i] if isinstance(known.get(i), bytes) else _decoded(tokenizer, i)) for i in ids]


def _decoded(tokenizer: Tokenizer, i: int) -> bytes:
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


# ---- boxes -------------------------------------------------------------------------------------------

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
WORDS = "font: 13px/1.5 sans-serif; text-align: left"
ALARM = "border-left: 4px solid #D55E00; padding-left: 0.8em; margin: 0.3em 0"

Box = Callable[[Piece, int], str]
"""The HTML of a token, and which one of the text it is."""


def row_html(found: list[Piece], box: Box) -> str:
    """A box for each token, in lines as the text has them; parts of a character stand together under it."""
    drawn, number = [], 0
    for group in groups(found):
        drawn.append(_group_html(group, number, box))
        number += len(group)
    return "".join(drawn)


def _group_html(group: list[Piece], number: int, box: Box) -> str:
    """The boxes of one group, the first of which is token ``number`` of the text."""
    boxes = "".join(box(piece, number + i) for i, piece in enumerate(group))
    content = b"".join(piece.content for piece in group)
    if len(group) > 1:
        line = "; border-bottom: 2px dotted #808080; margin: 0 1px 3px"
        above = f'<span style="{SIGN}{line}">{html.escape(sign(content))}</span>'
        boxes = f'<span style="{GROUP}">{above}{boxes}</span>'
    return boxes + ("<br>" if content.endswith(b"\n") else "")


def id_box(piece: Piece, number: int, more: str = "") -> str:
    """A token's sign over its id; neighbors differ in color. ``more`` is added to the style."""
    shown = html.escape(sign(piece.content))
    title = f"token {number}: {shown}, id {piece.id}"
    return (
        f'<span style="{EDGE.format(TINTS[number % 2])}{more}" title="{title}"><span style="{SIGN}">{shown}</span>'
        f'<span style="{NUMBER}">{piece.id}</span></span>'
    )


def alarm_html(words: str) -> str:
    """What cannot be shown, and why."""
    return f'<div style="{ALARM}">{html.escape(words)}</div>'
