"""A race of optimizers over a loss surface with two weights: sliders, a map to start from, and the loss of each."""

from typing import Any

import anywidget
import ipywidgets
import traitlets

from course_lib import plots
from course_lib.errors import CourseError
from course_lib.widgets.best_rates import best_rates
from course_lib.widgets.page import Pictured, script
from course_lib.widgets.race_view import draw_losses, draw_map, seen
from course_lib.widgets.sliders import ValueSlider, connect, look, value_slider
from course_lib.widgets.surfaces import SURFACES, Setting, turned

RATES = tuple(float(f"{10 ** (k / 8):.2g}") for k in range(-32, 3))
"""Learning rates from 0.0001 to 1.8, eight in each power of ten: each a third above the one before."""
OWN_RATES = ("lr", "momentum_lr", "adam_lr", "adamw_lr")
"""The sliders of the four optimizers' rates, in their order."""
OFFERED_RATES = tuple(sorted({*RATES, *(lr for surface in SURFACES.values() for lr in surface.lrs)}))
"""What these offer: a surface puts them to rates of its own."""
WIDE: dict[str, Any] = {"label_width": "11em", "max_width": None}
CHOICES: dict[str, tuple[float, ...]] = {
    "narrow": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
    "turn": (0.0, 15.0, 30.0, 45.0),
    **dict.fromkeys(OWN_RATES, OFFERED_RATES),
    "beta1": (0.0, 0.5, 0.8, 0.9, 0.95, 0.99),
    "beta2": (0.0, 0.5, 0.9, 0.95, 0.99, 0.999),
    "weight_decay": (0.0, 0.01, 0.1, 0.3, 1.0),
    "steps": (25, 50, 100, 200, 400),
}
ABOUT_BEST = (
    f"Tries {len(RATES)} rates for each, 8 in each power of ten, from this start in so many steps; best is the rate "
    "that arrives first, or else ends lowest"
)
LABELS = {
    "narrow": "narrowness",
    "turn": "turned (degrees)",
    "lr": "lr: SGD",
    "momentum_lr": "lr: momentum",
    "adam_lr": "lr: Adam",
    "adamw_lr": "lr: AdamW",
    "beta1": "momentum, beta1",
    "weight_decay": "weight decay",
}


class RaceMap(anywidget.AnyWidget):
    """The picture itself. ``data`` is all there is to see; ``start`` is where the learner has put the start."""

    _esm = script("race")
    data = traitlets.Dict().tag(sync=True)
    start = traitlets.List(traitlets.Float()).tag(sync=True)

    def __repr__(self) -> str:
        return "A map of a loss surface with the paths of four optimizers."


class Race(Pictured):
    """Sliders, and SGD, momentum, Adam and AdamW on their way from one start over one surface.

    The paths are those of ``torch.optim``'s classes, with gradients from autograd. Turning the ravine turns the
    start with it, so that only the direction of the axes changes.

    Args:
        surface: one of `SURFACES`.
        settings: where sliders start, such as ``narrow=100``; a value that a slider lacks is added to it.

    Raises:
        CourseError: for a surface or a setting that there is not.
    """

    def __init__(self, surface: str = "ravine", **settings: float) -> None:
        if surface not in SURFACES:
            raise CourseError(f"surface should be one of {', '.join(SURFACES)}; it is {surface!r}.")
        if unknown := set(settings) - set(CHOICES):
            raise CourseError(f"Race has no slider {unknown.pop()!r}; there are {', '.join(CHOICES)}.")
        self.surface = ipywidgets.Dropdown(options=list(SURFACES), value=surface, description="surface", **look(**WIDE))
        self._given = (surface, settings)
        begun = self._begin()
        self.sliders = {name: _slider(name, begun[name], values) for name, values in CHOICES.items()}
        self.reset = ipywidgets.Button(description="Reset", tooltip="The settings and the start of this surface again")
        self.best = ipywidgets.Button(description="Each at its best", tooltip=ABOUT_BEST, layout={"width": "auto"})
        self.map = RaceMap(start=_start(surface, begun["turn"]))
        self._listening = True
        self._redraw()
        connect({"surface": self.surface}, self._start_afresh)
        connect({"reset": self.reset, "best": self.best, "turn": self.sliders["turn"]})
        self.reset.on_click(lambda button: self._start_afresh())
        self.best.on_click(lambda button: self.put_each_at_its_best())
        self.sliders["turn"].observe(self._turn, names="value")
        connect({n.replace("_", "-"): slider for n, slider in self.sliders.items() if n != "turn"}, self._redraw)
        self.map.observe(lambda change: self._redraw(), names="start")
        columns = ipywidgets.GridBox(
            [self.surface, *self.sliders.values(), ipywidgets.HBox([self.best, self.reset])],
            layout={"grid_template_columns": "repeat(auto-fit, minmax(340px, 1fr))", "max_width": "900px"},
        )
        self.widget = ipywidgets.VBox([columns, self.map], layout={"overflow": "hidden"})
        self.widget.add_class("course-lab-race")

    @property
    def setting(self) -> Setting:
        """What the sliders say now."""
        values = {name: slider.value for name, slider in self.sliders.items()}
        start = self.map.start
        return Setting(self.surface.value, (start[0], start[1]), **values)

    def _begin(self) -> dict[str, float]:
        """By slider, where it starts: as the surface wants it, or as this race was asked for."""
        surface, default = SURFACES[self.surface.value], Setting()
        plain, adam = surface.lrs
        own = {"lr": plain, "momentum_lr": plain, "adam_lr": adam, "adamw_lr": adam, "steps": surface.steps}
        asked = self._given[1] if self.surface.value == self._given[0] else {}
        return {name: getattr(default, name) for name in CHOICES} | own | asked

    def _start_afresh(self) -> None:
        """Everything as the surface begins with it; the race is run once for all of it."""
        begun = self._begin()
        self._listening = False
        for name, value in begun.items():
            self.sliders[name].value = value
        self.map.start = _start(self.surface.value, begun["turn"])
        self._listening = True
        self._redraw()

    def put_each_at_its_best(self) -> None:
        """Move the four rates to the best of those that their sliders offer: see `best_rates`. It takes a second."""
        self._listening = False
        self.best.disabled = True
        try:
            best = best_rates(self.setting, RATES)
            for name, optimizer in zip(OWN_RATES, best, strict=True):
                self.sliders[name].value = best[optimizer]
        finally:
            self._listening, self.best.disabled = True, False
        self._redraw()

    def _turn(self, change: dict[str, Any]) -> None:
        """The start turns with the ravine; where it would leave the picture, it comes closer to the middle."""
        if not self._listening:
            return
        x, y = turned(tuple(self.map.start), change["new"] - change["old"])
        x0, x1, y0, y1 = SURFACES[self.surface.value].window
        edges = ((x, x1 if x > 0 else x0), (y, y1 if y > 0 else y0))
        closer = min([1.0, *(edge / value for value, edge in edges if value)])
        self._listening = False
        self.map.start = [closer * x, closer * y]
        self._listening = True
        self._redraw()

    def _redraw(self) -> None:
        if self._listening:
            for name in ("narrow", "turn"):
                self.sliders[name].disabled = self.surface.value != "ravine"
            self.map.data = seen(self.setting)

    def picture(self) -> plots.Picture:
        """The same without sliders, for a page without a kernel."""
        data = self.map.data
        figure = plots.Picture(figsize=(8.5, 3.9), facecolor="white", layout="constrained")
        figure.alt = data["alt"]
        figure.caption = repr(self)
        left, right = figure.subplots(1, 2, width_ratios=(1.45, 1))
        draw_map(left, data)
        draw_losses(right, data)
        return figure

    def __repr__(self) -> str:
        return "A race of optimizers: run this cell to move its sliders."


def _start(surface: str, turn: float) -> list[float]:
    """Where a race begins; ``turn`` is the ravine's, and the others are not turned."""
    return list(turned(SURFACES[surface].start, turn if surface == "ravine" else 0.0))


def _slider(name: str, start: float, values: tuple[float, ...]) -> ValueSlider:
    return value_slider(LABELS.get(name, name), sorted({*values, start}), start, **WIDE)
