"""Where a run can be watched: live widgets, or pictures that are painted anew where widgets do not arrive."""

import html
from collections.abc import Callable
from typing import Any, NamedTuple

import ipywidgets
from IPython.display import HTML, display

from course_lib import plots
from course_lib.lab.chart import LossChart
from course_lib.lab.sample_view import SampleBrowser, sample_html
from course_lib.lab.scene import Scene


class Look(NamedTuple):
    """How samples are shown: by a widget that is made for a chart's key, and as HTML."""

    browser: Callable[[str], Any]
    html: Callable[[Scene], str]
    unit: str = "token"
    """What one prediction of the model is called."""


TEXT = Look(
    SampleBrowser, lambda scene: sample_html(scene.sample, scene.grade, scene.about_sample, scene.is_growing)
)  # fmt: skip
"""Samples that are texts."""


class LiveView:
    """A chart and, under it, what the model writes; with ``guessing``, the chart asks where the loss will end."""

    def __init__(self, vocab_size: int, scene: Scene, look: Look = TEXT, guessing: bool = False) -> None:
        self.chart = LossChart(scene.max_steps, vocab_size, scene.lines, guessing, look.unit)
        self.sample = look.browser(self.chart.data["key"])
        self.widget = ipywidgets.VBox([self.chart, self.sample.widget])
        self.show(scene)

    def open(self) -> None:
        """Show it in the cell that runs."""
        display(self)

    def show(self, scene: Scene) -> None:
        """Bring the page up to date. Any thread may call it, one at a time."""
        self.chart.show(
            scene.current, scene.max_steps, scene.lines, scene.finished, scene.state, scene.status, scene.planned
        )
        self.sample.show(scene.samples, scene.sample, scene.grade, scene.about_sample, scene.is_growing)

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return repr(self.chart)


class StillView:
    """Pictures in the cell that trains, painted anew in place: where widgets hear nothing from a busy cell."""

    def __init__(self, vocab_size: int, scene: Scene, look: Look = TEXT) -> None:
        self._vocab_size, self._scene, self._look = vocab_size, scene, look
        self._places: list[Any] = []

    def open(self) -> None:
        """Put the first picture and the first words into the cell that runs."""
        self._places = [display(thing, display_id=True) for thing in self._things()]

    def show(self, scene: Scene) -> None:
        """Paint it anew; that takes a tenth of a second."""
        self._scene = scene
        for place, thing in zip(self._places, self._things(), strict=True):
            place.update(thing)

    def _things(self) -> tuple[plots.Picture, HTML]:
        scene = self._scene
        rows = scene.current.records if scene.current else []
        unit = f"nats per {self._look.unit}"
        picture = plots.loss_curve(rows, self._vocab_size, "Training", scene.lines, unit=unit)
        status = html.escape(": ".join(filter(None, [scene.state, scene.status])))
        return picture, HTML(f"<div style='font: 13px sans-serif'>{status}</div>{self._look.html(scene)}")
