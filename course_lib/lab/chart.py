"""The live loss chart: Python says what is in it, ``chart.js`` puts it on the screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from course_lib import plots
from course_lib.training import StepRecord

MOST_POINTS = 600
"""A curve of more points is thinned: the screen has no more room, and each update sends them all."""

PLAIN = {"color": plots.TRAIN_COLOR, "dash": "", "marker": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"}
"""How a curve looks that is alone in its chart."""


@dataclass(frozen=True)
class Curve:
    """One run as the chart shows it."""

    records: Sequence[StepRecord]
    label: str = ""
    style: Mapping[str, str] | None = None
    """color, dash and marker; see `course_lib.lab.style`."""
    notes: Sequence[tuple[int, str]] = ()
    """Words that belong to a step, such as a new learning rate."""


def thinned(points: plots.Points, most: int = MOST_POINTS) -> plots.Points:
    """At most ``most`` points, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


class LossChart(anywidget.AnyWidget):
    """An SVG chart of loss against steps that keeps its size while it grows.

    ``data`` is everything there is to see, sent as one, so that no half-made picture is ever drawn:
    the curve that grows, reference lines, the ends of the axes and their labels, a legend, a status line,
    and the whole in words. Only the curves that no longer grow are apart, in ``finished``: they are sent
    once, not with every step.

    Args:
        max_steps: where the axis of steps ends, unless a curve is longer.
        vocab_size: V, for the line at ln V.
        lines: further lines, label to value.
    """

    _esm = files(__package__).joinpath("chart.js").read_text(encoding="utf-8")
    data = traitlets.Dict().tag(sync=True)
    finished = traitlets.List().tag(sync=True)

    def __init__(self, max_steps: int, vocab_size: int | None = None, lines: Mapping[str, float] | None = None) -> None:
        self._vocab_size = vocab_size
        self._sent: list[Curve] = []
        picture = self._picture(None, [], max_steps, lines or {}, "", "")
        super().__init__(data=picture, finished=[])

    def show(
        self,
        current: Curve | None,
        max_steps: int,
        lines: Mapping[str, float] | None = None,
        finished: Sequence[Curve] = (),
        state: str = "",
        status: str = "",
    ) -> None:
        """Draw anew.

        Args:
            current: the curve that grows, on top of the others.
            finished: curves that no longer grow.
            state: a word or two on how things stand; read out to those who cannot see it change.
            status: numbers, beside it.
        """
        picture = self._picture(current, finished, max_steps, lines or {}, state, status)
        with self.hold_sync():  # one message, so one picture
            if list(finished) != self._sent:
                self._sent = list(finished)
                self.finished = [_drawn(curve) for curve in finished]
            self.data = picture

    def _picture(
        self, current: Curve | None, finished: Sequence[Curve], max_steps: int, lines: Mapping[str, float],
        state: str, status: str,
    ) -> dict[str, Any]:  # fmt: skip
        curves = [*finished, *([current] if current else [])]
        marks = plots.reference_lines(self._vocab_size, lines)
        points = [points for curve in curves for points in plots.loss_points(curve.records)]
        longest = max((len(curve.records) for curve in finished), default=0)
        return {
            "curve": _drawn(current) if current else None,
            "lines": [{"label": _with_value(label, value), "value": value} for label, value in marks.items()],
            "legend": _legend(curves),
            "x_max": max(longest, max_steps if current or not finished else 0, 1),
            "y_max": plots.highest(points, marks),
            "x_label": plots.X_LABEL,
            "y_label": plots.Y_LABEL,
            "state": state,
            "status": status,
            "alt": _in_words(curves, self._vocab_size, lines),
        }

    def __repr__(self) -> str:
        return "A live chart of the loss: run this cell to see it grow."


def _drawn(curve: Curve) -> dict[str, Any]:
    """A curve as ``chart.js`` wants it; five digits are finer than any screen."""
    train, val = plots.loss_points(curve.records)
    return {
        **(curve.style or PLAIN),
        "train": [[x, float(f"{y:.5g}")] for x, y in thinned(train)],
        "val": [[x, float(f"{y:.5g}")] for x, y in thinned(val)],
        "notes": [list(note) for note in curve.notes],
    }


def _legend(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """One curve needs its two parts explained; several need their names, and that explanation once."""
    if len(curves) <= 1:
        style = dict((curves[0].style if curves else None) or PLAIN)
        return [{**style, "text": "training", "parts": "line"}, {**style, "text": "validation", "parts": "marker"}]
    named = [{**(curve.style or PLAIN), "text": curve.label, "parts": "both"} for curve in curves]
    return [*named, {"text": "(line: training, marks: validation)", "parts": ""}]


def _with_value(label: str, value: float) -> str:
    return label if f"{value:.2f}" in label else f"{label}: {value:.2f}"


def _in_words(curves: Sequence[Curve], vocab_size: int | None, lines: Mapping[str, float]) -> str:
    rows: Any = {curve.label: curve.records for curve in curves} if len(curves) > 1 else []
    if len(curves) == 1:
        rows = curves[0].records
    words = plots.alt_text(rows, vocab_size, "Live loss chart", lines)
    for curve in curves:
        of = f" in {curve.label}" if len(curves) > 1 else ""
        words += "".join(f" At step {step}{of}: {note}." for step, note in curve.notes)
    return words
