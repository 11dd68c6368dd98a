"""A text colored by token, with the ids under it: as a picture, and as a part in which one types.

Python tokenizes on each change of the text, so any `Tokenizer` will do. ``tokens.js`` has the box for typing;
what is under it is the picture, made here and escaped here.
"""

import anywidget
import traitlets

from course_lib.drawings.signs import sign
from course_lib.errors import CourseError
from course_lib.tokenizers import Tokenizer
from course_lib.widgets.boxes import alarm_html, id_box, pieces, row_html
from course_lib.widgets.page import script

MOST_TOKENS = 400
"""So many are drawn; the others are only counted."""


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
            return alarm_html(self.error)
        drawn = row_html(self._pieces, id_box)
        boxes = f'<div style="font-family: monospace; max-width: 900px">{drawn}</div>'
        return f"<div>{boxes}<div>{self.words}</div></div>"

    def __repr__(self) -> str:
        if self.error:
            return self.error
        shown = [f"{sign(piece.content)} {piece.id}" for piece in self._pieces]
        return " | ".join([*shown, *(["..."] if self._left else [])]) + f"\n{self.counts}."


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
