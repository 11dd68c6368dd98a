"""The live loss chart: Python says what is in it, ``chart.js`` and its rooms put it on the screen."""

from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from course_lib import plots
from course_lib.config import TrainConfig
from course_lib.lab.curves import Curve, Trace, bucket_size, plan_of, thinned
from course_lib.widgets.page import script

ROOMS = (
    "kernel",
    "pointing",
    "chart_scales",
    "chart_curves",
    "chart_tracks",
    "chart_table",
    "chart_files",
    "chart_tools",
)
TAIL = 64
"""So many new rows of the curve that grows are sent again with each update; then they become part of its past."""
START_VIEW = {"x": "steps", "log": False, "smooth": 0, "norm": False, "fit": False}
"""How a reader who has chosen nothing sees the chart."""


class LossChart(anywidget.AnyWidget):
    """A chart of loss against steps, tokens or seconds that keeps its place while it grows.

    The learning rate in force is drawn under the loss, with what the schedule has ahead. What the reader chooses in
    the page (axes, smoothing, what is pointed at) needs no word from the kernel; it is kept in ``view``.

    All that an update brings comes in one message, so that no half-made picture is ever drawn, and it is short:
    ``finished`` curves and the ``past`` of the one that grows are sent once, ``tail`` with every update.

    Args:
        max_steps: where the axis of steps ends, unless a curve is longer.
        vocab_size: V, for the line at ln V.
        lines: further lines, label to value.
        guessing: whether the page asks where the validation loss will end; see ``guess``.
        unit: what one prediction is called: losses are per token, or per pixel.
    """

    _esm = script("chart", __package__, ROOMS)
    data = traitlets.Dict().tag(sync=True)
    past = traitlets.List().tag(sync=True)
    tail = traitlets.List().tag(sync=True)
    finished = traitlets.List().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    """What the reader has chosen: see `START_VIEW`."""
    guess = traitlets.Float(None, allow_none=True).tag(sync=True)
    """Where the learner thinks that the validation loss will end, in nats; None until they say so."""
    guessing = traitlets.Bool(False).tag(sync=True)
    """Whether the page asks for a guess."""

    def __init__(
        self,
        max_steps: int,
        vocab_size: int | None = None,
        lines: Mapping[str, float] | None = None,
        guessing: bool = False,
        unit: str = "token",
    ) -> None:
        self._vocab_size, self._unit = vocab_size, unit
        self._traced: list[Trace] = []
        self._growing: Trace | None = None
        self._sent = 0
        """How many rows are in ``past``, before it was thinned."""
        self._bucket = 1
        empty = self._picture(max_steps, lines or {}, "", "", None)
        super().__init__(data=empty, view=dict(START_VIEW), guessing=guessing)
        self.data = {**self.data, "key": self.model_id}

    def show(
        self,
        current: Curve | None,
        max_steps: int,
        lines: Mapping[str, float] | None = None,
        finished: Sequence[Curve] = (),
        state: str = "",
        status: str = "",
        planned: TrainConfig | None = None,
    ) -> None:
        """Draw anew.

        Args:
            current: the curve that grows, on top of the others.
            finished: curves that no longer grow.
            state: a word or two on how things stand; read out to those who cannot see it change.
            status: numbers, beside it.
            planned: settings of the run to come, whose schedule is drawn where no curve grows.
        """
        are_new = [trace.curve for trace in self._traced] != list(finished)
        if are_new:
            self._traced = [Trace(curve) for curve in finished]
        is_other = self._take(current)
        longest = max((len(curve.records) for curve in finished), default=0)
        picture = self._picture(max(longest, max_steps), lines or {}, state, status, planned)
        with self.hold_sync():  # one message, so one picture
            if are_new:
                self.finished = [trace.whole() for trace in self._traced]
            self._send_rows(is_other)
            self.data = picture

    def _take(self, current: Curve | None) -> bool:
        """Bring the curve that grows up to date; True where it is another than before."""
        before = self._growing
        if current is not None and before is not None and current.records is before.curve.records:
            before.take(current)
            return False
        self._growing = Trace(current) if current is not None else None
        return self._growing is not before

    def _send_rows(self, is_other: bool) -> None:
        rows = self._growing.rows if self._growing else []
        bucket = bucket_size(len(rows))
        if is_other or bucket != self._bucket or len(rows) - self._sent > TAIL * bucket:
            self._bucket, self._sent = bucket, len(rows) - len(rows) % bucket
            self.past = thinned(rows[: self._sent], bucket)
        self.tail = thinned(rows[self._sent :], bucket)

    def _picture(
        self, x_max: int, lines: Mapping[str, float], state: str, status: str, planned: TrainConfig | None
    ) -> dict[str, Any]:
        traces = [*self._traced, *([self._growing] if self._growing else [])]
        marks = plots.reference_lines(self._vocab_size, lines)
        highest = [[(0, trace.highest)] for trace in traces if trace.highest]
        return {
            "curve": self._growing.head(ahead=True) if self._growing else None,
            "lines": [{"label": _with_value(label, value), "value": value} for label, value in marks.items()],
            "plan": plan_of(planned) if planned and not self._growing else [],
            "x_max": max(x_max, 1),
            "y_max": plots.highest(highest, marks),
            "state": state,
            "status": status,
            "unit": self._unit,
            "alt": self._in_words(traces, lines),
            "key": getattr(self, "model_id", ""),
        }

    def _in_words(self, traces: list[Trace], lines: Mapping[str, float]) -> str:
        rows: Any = {trace.curve.label: trace.ends() for trace in traces}
        if len(traces) <= 1:
            rows = traces[0].ends() if traces else []
        words = plots.alt_text(rows, self._vocab_size, "Live loss chart", lines, unit=f"nats per {self._unit}")
        for curve in (trace.curve for trace in traces):
            of = f" in {curve.label}" if len(traces) > 1 else ""
            words += "".join(f" At step {step}{of}: {note}." for step, note in curve.notes)
        return words

    def __repr__(self) -> str:
        return "A live chart of the loss: run this cell to see it grow."


def _with_value(label: str, value: float) -> str:
    return label if f"{value:.2f}" in label else f"{label}: {value:.2f}"
