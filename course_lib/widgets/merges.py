"""What byte-pair encoding does to one word or a short text, a merge at a time.

Python merges and draws on each change; ``merges.js`` has the box for typing, the slider and the buttons.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import anywidget
import traitlets

from course_lib.drawings.signs import sign
from course_lib.errors import CourseError
from course_lib.tokenizers import BPETokenizer
from course_lib.tokenizers.bpe.splitting import Splitter
from course_lib.tokenizers.byte import to_utf8
from course_lib.widgets.boxes import BOX, WORDS, Piece, alarm_html, id_box, row_html
from course_lib.widgets.page import script

MOST_BYTES = 100
"""Of a longer text the beginning is shown."""
MOST_ROWS = 16
"""So many steps are kept in a notebook's file: the first ones, and the last."""

Pair = tuple[bytes, bytes]


@dataclass(frozen=True)
class Step:
    """The pieces as they are, and what is merged next."""

    chunks: list[list[bytes]]
    """Merges never reach from one chunk into the next."""
    pair: Pair | None
    """The pair of neighbors with the lowest rank; None where no two neighbors can be merged."""

    @property
    def pieces(self) -> list[bytes]:
        return [piece for chunk in self.chunks for piece in chunk]


def merge_steps(chunks: Sequence[bytes], ranks: Mapping[Pair, int]) -> Iterator[Step]:
    """Every row of pieces on the way from single bytes to tokens; one step merges one pair wherever it stands.

    Sennrich et al. 2016, and GPT-2's ``encoder.py``: the pair of neighbors that was learned first is merged first,
    from left to right.

    Args:
        chunks: the chunks of a text, in UTF-8.
        ranks: pair -> its place in the list of merges, from 0.
    """
    now = [[bytes([byte]) for byte in chunk] for chunk in chunks]
    while True:
        found = {pair for chunk in now for pair in pairwise(chunk) if pair in ranks}
        pair = min(found, key=ranks.__getitem__, default=None)
        yield Step(now, pair)
        if pair is None:
            return
        now = [_merged(chunk, pair) for chunk in now]


def places(chunk: Sequence[bytes], pair: Pair | None) -> list[int]:
    """Where ``pair`` begins in ``chunk``, from left to right; of two that share a piece, the left one."""
    found: list[int] = []
    for i, neighbors in enumerate(pairwise(chunk)):
        if neighbors == pair and i - 1 not in found[-1:]:
            found.append(i)
    return found


def _merged(chunk: list[bytes], pair: Pair) -> list[bytes]:
    starts = set(places(chunk, pair))
    return [b"".join(pair) if i in starts else piece for i, piece in enumerate(chunk) if i - 1 not in starts]


# ---- the picture of it -------------------------------------------------------------------------------

LEGEND = (
    "Between two pieces stands the rank of their merge, or a dot where there is none. No merge crosses a dashed wall."
)
MARK = "; box-shadow: 0 4px 0 #D55E00"
JOINT = BOX.format(0, 6) + "min-width: 16px; padding: 0 2px; font-size: 11px; line-height: 39px"
WALL = (
    f'<span style="{BOX.format(7, 6)}height: 39px; border-left: 2px dashed #808080" '
    'title="a new chunk begins: no merge reaches across"></span>'
)
# Without the colors and stripes that a page gives its own tables.
TABLE = "border-collapse: collapse; max-width: 900px; margin: 0; color: inherit"
CELL = "text-align: left; white-space: normal; vertical-align: middle; padding: 4px 8px; border-top: 1px solid #808080"
LINE = f'<tr style="background: none"><td style="{CELL}">{{}}</td><td style="{CELL}">{{}}</td></tr>'


class MergePicture:
    """The steps of one text: `row` draws one, `table` all of them.

    Between two neighbors stands the rank of their merge, or a dot where there is none; a dashed wall between chunks.
    A thick line runs under the pair that is merged next.
    """

    def __init__(self, tokenizer: BPETokenizer, ranks: Mapping[Pair, int], ids: Mapping[bytes, int], text: str) -> None:
        self.error, self.note, self.steps = "", "", [Step([], None)]
        self._ranks, self._ids = ranks, ids
        try:
            content = to_utf8(text)
            if len(content) > MOST_BYTES:
                text = content[:MOST_BYTES].decode("utf-8", "ignore")
                self.note = f" Only the beginning of the text is shown, {len(to_utf8(text))} of {len(content):,} bytes."
            chunks = Splitter(tokenizer.pattern).chunks(text)
        except CourseError as error:
            self.error = str(error)
        else:
            self.steps = list(merge_steps([to_utf8(chunk) for chunk in chunks], ranks))

    @property
    def last(self) -> int:
        """The number of the step after which nothing can be merged."""
        return len(self.steps) - 1

    def row(self, number: int) -> str:
        """The pieces at one step, as HTML."""
        if self.error:
            return alarm_html(self.error)
        step = self.steps[number]
        after, marked = self._joints(step)
        found = [Piece(self._ids[content], content) for content in step.pieces]

        def box(piece: Piece, i: int) -> str:
            return id_box(piece, i, MARK if i in marked else "") + after[i]

        return f'<div style="font-family: monospace">{row_html(found, box)}</div>'

    def _joints(self, step: Step) -> tuple[list[str], set[int]]:
        """What stands after each piece, as HTML, and the numbers of the pieces that are merged next."""
        after: list[str] = []
        marked: set[int] = set()
        for chunk in step.chunks:
            first, starts = len(after), places(chunk, step.pair)
            marked |= {first + i + side for i in starts for side in (0, 1)}
            after += [self._joint(pair, i in starts) for i, pair in enumerate(pairwise(chunk))]
            after.append(WALL)
        after[-1:] = [""] * bool(after)  # the last chunk ends where the row does
        return after, marked

    def _joint(self, pair: Pair, is_next: bool) -> str:
        look = f"{JOINT}; font-weight: bold{MARK}" if is_next else JOINT
        about, shown = "these two are not merged", "·"
        if pair in self._ranks:
            about, shown = self._about(pair), str(self._ranks[pair])
        return f'<span style="{look}" title="{html.escape(about)}">{shown}</span>'

    def _about(self, pair: Pair) -> str:
        made = b"".join(pair)
        return f"{sign(pair[0])} + {sign(pair[1])} → {sign(made)}, rank {self._ranks[pair]:,}, id {self._ids[made]}"

    def words(self, number: int) -> str:
        """What is merged next, or why nothing is."""
        step = self.steps[number]
        n = len(step.pieces)
        if self.error or not n:
            return self.error or "Type a word: there is nothing to merge yet."
        if step.pair is None:
            tokens = "the token" if n == 1 else f"the {n} tokens"
            why = "One piece is left" if n == 1 else "No two neighbors in a chunk are in the list of merges"
            return f"{why}: {'this is' if n == 1 else 'these are'} {tokens}.{self.note}"
        where = sum(len(places(chunk, step.pair)) for chunk in step.chunks)
        often = f", in {where} places" if where > 1 else ""
        return f"{n} pieces. Merged next, as its rank is the lowest: {self._about(step.pair)}{often}.{self.note}"

    def alt(self, number: int) -> str:
        """One row for those who do not see it."""
        chunks = self.steps[number].chunks
        shown = "; ".join(", ".join(f"{sign(piece)} {self._ids[piece]}" for piece in chunk) for chunk in chunks)
        return f"Pieces and their ids: {shown or 'none'}. {self.words(number)}"

    def table(self) -> str:
        """All steps, one under the other; of many the first and the last."""
        if self.error:
            return alarm_html(self.error)
        numbers = list(range(self.last + 1))
        left = numbers[MOST_ROWS - 1 : -1]
        rows = [self._line(i) for i in numbers if i not in left]
        if left:
            rows.insert(-1, LINE.format("", f"{len(left)} more steps"))
        table = f'<table style="{TABLE}">{"".join(rows)}</table>'
        return f'<div>{table}<div style="{WORDS}">{LEGEND}</div></div>'

    def _line(self, number: int) -> str:
        words = f'<div style="{WORDS}">{html.escape(self.words(number))}</div>'
        return LINE.format(number, self.row(number) + words)

    def __str__(self) -> str:
        if self.error:
            return self.error
        lines = []
        for number, step in enumerate(self.steps):
            row = " ‖ ".join(" ".join(map(sign, chunk)) for chunk in step.chunks)
            lines.append(f"{number}: {row}" + (f"    {self._about(step.pair)}" if step.pair else ""))
        return "\n".join(lines)


# ---- the part in which one types -----------------------------------------------------------------------


class MergeSteps(anywidget.AnyWidget):
    """A text in pieces, and a slider from its bytes to its tokens.

    ``text`` and ``step`` may be set from Python too. A notebook's file keeps the steps of the text that it began
    with: a page without a kernel shows those.

    Args:
        tokenizer: any byte-pair encoding, such as ``BPETokenizer.gpt2()``.
        text: a word or a short text. Of more than 100 bytes the beginning is shown.

    Raises:
        CourseError: for a tokenizer of another kind.
    """

    _esm = script("merges")
    text = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    last = traitlets.Int(0).tag(sync=True)
    """The highest step."""
    legend = traitlets.Unicode(LEGEND).tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def __init__(self, tokenizer: BPETokenizer, text: str) -> None:
        if not isinstance(tokenizer, BPETokenizer):
            raise CourseError(
                f"MergeSteps shows a BPETokenizer, such as BPETokenizer.gpt2(); it got a {type(tokenizer).__name__}."
            )
        self._tokenizer = tokenizer
        merges, vocab = tokenizer.merges, tokenizer.vocab
        # Backward, so that of two that are alike the first one counts.
        self._ranks = {pair: rank for rank, pair in reversed(list(enumerate(merges)))}
        self._ids = {vocab[i]: i for i in reversed(range(256 + len(merges)))}
        self._begun = self._drawn = self._draw(text)
        label = f"BPETokenizer, {len(merges):,} merges: type a word or a short text here"
        super().__init__(text=text, label=label, **self._seen(0))
        self.observe(self._retyped, names="text")
        self.observe(self._moved, names="step")

    def _draw(self, text: str) -> MergePicture:
        return MergePicture(self._tokenizer, self._ranks, self._ids, text)

    def _seen(self, step: int) -> dict[str, str | int]:
        drawn = self._drawn
        return {"last": drawn.last, "picture": drawn.row(step), "words": drawn.words(step), "alt": drawn.alt(step)}

    def _retyped(self, change: dict[str, str]) -> None:
        self._drawn = self._draw(change["new"])
        with self.hold_sync():
            self.step = 0
            self._show()

    def _moved(self, change: dict[str, int]) -> None:
        with self.hold_sync():
            self.step = min(max(change["new"], 0), self._drawn.last)
            self._show()

    def _show(self) -> None:
        for name, value in self._seen(self.step).items():
            setattr(self, name, value)

    def _repr_html_(self) -> str:
        return self._begun.table()

    def __repr__(self) -> str:
        return f"{self._begun}\nRun this cell, then move its slider or type another text."
