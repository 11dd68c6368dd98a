"""The live loss chart: Python says what is in it, ``chart.js`` puts it on the screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anywidget
import traitlets

from course_lib import plots
from course_lib.training import StepRecord
from course_lib.widgets.page import script

MOST_POINTS = 400
"""A curve of more points is thinned: the screen has no more room, and each update sends them all."""

PLAIN = {"color": plots.TRAIN_COLOR, "dash": "", "marker": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"}
"""The look of a curve that is alone in its chart."""


@dataclass(frozen=True)
class Curve:
    """One run as the chart shows it."""

    records: Sequence[StepRecord]
    label: str = ""
    style: Mapping[str, str] | None = None
    """color, dash and marker; see `course_lib.widgets.style`."""
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
    and the whole in words. Only the curves that no longer grow come apart, in ``finished``: they are sent
    once, not with every step.

    Args:
        max_steps: where the axis of steps ends, unless a curve is longer.
        vocab_size: V, for the line at ln V.
        lines: further lines, label to value.
    """

    _esm = script("chart", __package__)
    data = traitlets.Dict().tag(sync=True)
    finished = traitlets.List().tag(sync=True)
    guess = traitlets.Float(None, allow_none=True).tag(sync=True)
    """Where the learner thinks that the validation loss will end, in nats; None until they say so."""

    def __init__(self, max_steps: int, vocab_size: int | None = None, lines: Mapping[str, float] | None = None) -> None:
        self._vocab_size = vocab_size
        self._traced: list[_Trace] = []
        super().__init__(data=self._picture([], max_steps, lines or {}, "", ""), finished=[])

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
        are_new = [trace.curve for trace in self._traced] != list(finished)
        if are_new:
            self._traced = [_Trace(curve) for curve in finished]
        growing = [_Trace(current)] if current else []
        longest = max((len(curve.records) for curve in finished), default=0)
        x_max = max(longest, max_steps if current or not finished else 0)
        picture = self._picture(growing, x_max, lines or {}, state, status)
        with self.hold_sync():  # one message, so one picture
            if are_new:
                self.finished = [trace.drawn() for trace in self._traced]
            self.data = picture

    def _picture(
        self, growing: "list[_Trace]", x_max: int, lines: Mapping[str, float], state: str, status: str
    ) -> dict[str, Any]:
        traces = [*self._traced, *growing]
        marks = plots.reference_lines(self._vocab_size, lines)
        return {
            "curve": growing[0].drawn() if growing else None,
            "lines": [{"label": _with_value(label, value), "value": value} for label, value in marks.items()],
            "legend": _legend([trace.curve for trace in traces]),
            "x_max": max(x_max, 1),
            "y_max": plots.highest([points for trace in traces for points in (trace.train, trace.val)], marks),
            "x_label": plots.X_LABEL,
            "y_label": plots.Y_LABEL,
            "state": state,
            "status": status,
            "alt": self._in_words(traces, lines),
        }

    def _in_words(self, traces: "list[_Trace]", lines: Mapping[str, float]) -> str:
        rows: Any = {trace.curve.label: trace.ends() for trace in traces}
        if len(traces) <= 1:
            rows = traces[0].ends() if traces else []
        words = plots.alt_text(rows, self._vocab_size, "Live loss chart", lines)
        for curve in (trace.curve for trace in traces):
            of = f" in {curve.label}" if len(traces) > 1 else ""
            words += "".join(f" At step {step}{of}: {note}." for step, note in curve.notes)
        return words

    def __repr__(self) -> str:
        return "A live chart of the loss: run this cell to see it grow."


class _Trace:
    """A curve with its points, which are found once for all uses."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve
        self.train, self.val = plots.loss_points(curve.records)

    def drawn(self) -> dict[str, Any]:
        """The curve as ``chart.js`` wants it; five digits are finer than any screen."""
        return {
            **(self.curve.style or PLAIN),
            "train": [[x, float(f"{y:.5g}")] for x, y in thinned(self.train)],
            "val": [[x, float(f"{y:.5g}")] for x, y in thinned(self.val)],
            "notes": [list(note) for note in self.curve.notes],
        }

    def ends(self) -> list[dict[str, Any]]:
        """As few rows as tell in words how the curve begins and ends."""
        row = {"train_loss": None, "val_loss": None}
        found = [row | {"step": x, "train_loss": y} for x, y in (*self.train[:1], *self.train[-1:])]
        return [*found, *(row | {"step": x - 1, "val_loss": y} for x, y in self.val[-1:])]


def _legend(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """One curve needs its two parts explained; several need their names, and that explanation once."""
    if len(curves) <= 1:
        style = dict((curves[0].style if curves else None) or PLAIN)
        return [{**style, "text": "training", "parts": "line"}, {**style, "text": "validation", "parts": "marker"}]
    named = [{**(curve.style or PLAIN), "text": curve.label, "parts": "both"} for curve in curves]
    return [*named, {"text": "(line: training, marks: validation)", "parts": ""}]


def _with_value(label: str, value: float) -> str:
    return label if f"{value:.2f}" in label else f"{label}: {value:.2f}"
