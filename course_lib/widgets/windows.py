"""Which windows of a text a step of training reads: a strip for the whole text, and one window letter by letter."""

from collections.abc import Sequence
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from course_lib import plots
from course_lib.data import Batcher
from course_lib.drawings.signs import SIGNS
from course_lib.errors import CourseError
from course_lib.tokenizers import Tokenizer
from course_lib.widgets.page import Pictured, script
from course_lib.widgets.sliders import CHOICES, ValueSlider, connect, value_slider

BINS = 150
"""Into so many pieces the training text is cut to say how much of each has been read."""
MOST_COLUMNS = 24
"""A longer window is shown by its beginning and its end."""
MOST_LETTERS = 60
LAST_STEP = 999


class WindowsStrip(anywidget.AnyWidget):
    """The picture itself. ``data`` is all there is to see; ``chosen`` is the window that is shown in full."""

    _esm = script("windows")
    data = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Int(0).tag(sync=True)

    def __repr__(self) -> str:
        return "A strip of the text with the windows of one step."


class Windows(Pictured):
    """Sliders for step, batch_size and block_size, and the windows that `Batcher` draws with them.

    Args:
        tokens: the ids of the whole text (N,); its first part is for training.
        tokenizer: what turns ids back into text.
        val_fraction: the share at the text's end that is kept for validation.
        batch_size, block_size: where the sliders start.
        seed: that of the draws.

    Raises:
        CourseError: for a text that has no window of the smallest size, or a val_fraction that is none.
    """

    def __init__(
        self,
        tokens: Sequence[int],
        tokenizer: Tokenizer,
        val_fraction: float = 0.1,
        batch_size: int = 8,
        block_size: int = 16,
        seed: int = 0,
    ) -> None:
        if not 0 < val_fraction < 1:
            raise CourseError(f"val_fraction should be between 0 and 1; it is {val_fraction}.")
        self._ids, self._tokenizer, self._seed = np.asarray(tokens), tokenizer, seed
        self._cut = int(len(self._ids) * (1 - val_fraction))
        Batcher(self._ids[: self._cut], batch_size, block_size, seed)  # says what is wrong with the sizes
        self._letters = [self._letter(i) for i in range(tokenizer.vocab_size)]
        self.step = value_slider("step", range(LAST_STEP + 1), 0)
        self.batch_size = _slider("batch_size", batch_size, CHOICES["batch_size"].values)
        fitting = [size for size in CHOICES["block_size"].values if size < self._cut]
        self.block_size = _slider("block_size", block_size, fitting)
        sliders = {"step": self.step, "batch_size": self.batch_size, "block_size": self.block_size}
        self.strip = WindowsStrip(data=self.seen())
        connect(sliders, self._redraw)
        self.strip.observe(lambda change: self._redraw(), names="chosen")
        self.widget = ipywidgets.VBox([*sliders.values(), self.strip], layout={"overflow": "hidden"})
        self.widget.add_class("course-lab-windows")

    def _letter(self, token: int) -> str:
        text = self._tokenizer.decode([token])
        return SIGNS.get(text, text)

    def starts(self, step: int | None = None) -> np.ndarray:
        """Where the windows of a step start, (batch_size,), as `Batcher` draws them; by default the slider's step."""
        return self._batcher().offsets(self.step.value if step is None else step)

    def _batcher(self) -> Batcher:
        return Batcher(self._ids[: self._cut], self.batch_size.value, self.block_size.value, self._seed, resident=False)

    def _read(self) -> np.ndarray:
        """Which training tokens the steps up to this one have had as inputs, (cut,) bool."""
        batcher, last = self._batcher(), self.step.value
        starts = np.concatenate([batcher.offsets(step) for step in range(last + 1)])
        change = np.zeros(self._cut + 1, dtype=np.int64)
        np.add.at(change, starts, 1)
        np.add.at(change, starts + self.block_size.value, -1)
        return change[:-1].cumsum() > 0

    def seen(self) -> dict[str, Any]:
        """Everything there is to see, as ``windows.js`` wants it."""
        starts, T, read = self.starts(), self.block_size.value, self._read()
        chosen = min(self.strip.chosen, len(starts) - 1) if hasattr(self, "strip") else 0
        pieces = np.array_split(read, min(BINS, len(read)))
        return {
            "n": len(self._ids),
            "cut": self._cut,
            "starts": starts.tolist(),
            "texts": [self._text(start, min(T, MOST_LETTERS)) + ("…" if T > MOST_LETTERS else "") for start in starts],
            "chosen": chosen,
            "columns": self._columns(int(starts[chosen]), T),
            "read": [round(float(piece.mean()), 3) for piece in pieces],
            "status": self._status(len(starts), T, float(read.mean())),
            "alt": self._in_words(starts, chosen, T),
        }

    def _text(self, start: int, length: int) -> str:
        return "".join(self._letters[i] for i in self._ids[start : start + length])

    def _columns(self, start: int, T: int) -> list[dict[str, Any]]:
        """The places of a window: t, what goes in, what should come out; None where some are left out."""
        places = list(range(T))
        if T > MOST_COLUMNS:
            places = [*places[: MOST_COLUMNS - 4], None, *places[-3:]]
        letters, ids = self._letters, self._ids
        return [
            {"t": "…", "x": "…", "y": "…"}
            if t is None
            else {"t": t, "x": letters[ids[start + t]], "y": letters[ids[start + t + 1]]}
            for t in places
        ]

    def _status(self, B: int, T: int, share: float) -> str:
        step = self.step.value
        return (
            f"Step {step} reads {B} windows of {T}: {B * T:,} examples. After it, {share:.2%} of the training text has "
            "been read at least once; the strip fills where it has."
        )

    def _in_words(self, starts: np.ndarray, chosen: int, T: int) -> str:
        start = int(starts[chosen])
        return (
            f"A text of {len(self._ids):,} tokens: training from 0 to {self._cut - 1:,}, validation from {self._cut:,} "
            f"on. Step {self.step.value} reads {len(starts)} windows of {T} from the training part. Window {chosen} "
            f"starts at {start:,}: x is {self._text(start, min(T, MOST_COLUMNS))!r}, and y is x moved by one."
        )

    def _redraw(self) -> None:
        self.strip.data = self.seen()

    def picture(self) -> plots.Picture:
        """The same without sliders, for a page without a kernel."""
        data = self.seen()
        figure = plots.Picture(figsize=(7, 2.7), facecolor="none", layout="constrained")
        figure.alt = data["alt"]
        figure.caption = repr(self)
        strip, letters = figure.subplots(2, 1, height_ratios=(1, 1.1))
        _draw_strip(strip, data)
        _draw_letters(letters, data)
        return figure

    def __repr__(self) -> str:
        return "The windows that one step reads: run this cell to move its sliders."


def _slider(name: str, start: int, values: Sequence[float]) -> ValueSlider:
    return value_slider(name, sorted({*map(int, values), start}), start)


def _draw_strip(axes: Any, data: dict[str, Any]) -> None:
    """The whole text from left to right: training plain, validation hatched, a triangle for each window."""
    n, cut = data["n"], data["cut"]
    axes.barh(0, cut, height=1, facecolor=(plots.TRAIN_COLOR, 0.06), edgecolor=plots.INK)
    axes.barh(0, n - cut, height=1, left=cut, facecolor="none", edgecolor=plots.INK, hatch="////")
    dots = dict(linestyle="none", marker="v", clip_on=False)
    axes.plot(data["starts"], [0.72] * len(data["starts"]), color=plots.TRAIN_COLOR, markersize=7, **dots)
    start = data["starts"][data["chosen"]]
    axes.plot([start], [0.72], color=plots.VAL_COLOR, markersize=12, **dots)
    axes.annotate(f"window {data['chosen']}", (start, 1.05), ha="center", va="bottom", fontsize=9)
    axes.text(cut / 2, 0, "training", ha="center", va="center", fontsize=10)
    axes.text((cut + n) / 2, 0.55, "validation", ha="center", va="bottom", fontsize=9)  # no triangle is there
    axes.set(xlim=(0, n), ylim=(-0.5, 1.5), yticks=[], xlabel="position in the text (tokens)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_letters(axes: Any, data: dict[str, Any]) -> None:
    """The chosen window: x over y, each place in a column of its own."""
    axes.set(xlim=(-1.5, MOST_COLUMNS), ylim=(-0.6, 2.8))
    axes.axis("off")
    look = dict(ha="center", va="center", family="DejaVu Sans Mono")
    for column, place in enumerate([{"t": "t", "x": "x", "y": "y"}, *data["columns"]], -1):
        weight = "bold" if column < 0 else "normal"
        axes.text(column, 2.3, place["t"], fontsize=7, color=plots.INK, **look)
        axes.text(column, 1.4, place["x"], fontsize=12, color=plots.TRAIN_COLOR, weight=weight, **look)
        axes.text(column, 0.2, place["y"], fontsize=12, color=plots.VAL_COLOR, weight=weight, **look)
