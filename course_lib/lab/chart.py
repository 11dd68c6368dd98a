"""The live loss chart: Python says what is in it, ``chart.js`` puts it on the screen."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from course_lib import plots
from course_lib.training import StepRecord

MOST_POINTS = 600
"""A curve of more points is thinned: the screen has no more room, and each update sends them all."""


def thinned(points: plots.Points, most: int = MOST_POINTS) -> plots.Points:
    """At most ``most`` points, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


class LossChart(anywidget.AnyWidget):
    """An SVG chart of loss against steps that keeps its size while it grows.

    ``data`` is everything there is to see, sent as one, so that no half-made picture is ever drawn:
    marks (each a label, a kind, line or dots, a color and points), lines (label and value), the ends of
    the axes and their labels, a status line, and the whole in words.
    """

    _esm = files(__package__).joinpath("chart.js").read_text(encoding="utf-8")
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, max_steps: int, vocab_size: int | None = None, lines: Mapping[str, float] | None = None) -> None:
        self._max_steps, self._vocab_size, self._lines = max_steps, vocab_size, lines
        super().__init__(data=self._picture([], ""))

    def show(self, records: Sequence[StepRecord], status: str) -> None:
        """Draw the curve so far, and a line of text under it."""
        self.data = self._picture(records, status)

    def _picture(self, records: Sequence[StepRecord], status: str) -> dict[str, Any]:
        train, val = plots.loss_points(records)
        lines = plots.reference_lines(self._vocab_size, self._lines)
        return {
            "marks": [
                {"label": "training", "kind": "line", "color": plots.TRAIN_COLOR, "points": thinned(train)},
                {"label": "validation", "kind": "dots", "color": plots.VAL_COLOR, "points": thinned(val)},
            ],
            "lines": [{"label": label, "value": value} for label, value in lines.items()],
            "x_max": self._max_steps,
            "y_max": plots.highest([train, val], lines),
            "x_label": plots.X_LABEL,
            "y_label": plots.Y_LABEL,
            "status": status,
            "alt": plots.alt_text(records, self._vocab_size, "Live loss chart", self._lines),
        }

    def __repr__(self) -> str:
        return "A live chart of the loss: run this cell to see it grow."
