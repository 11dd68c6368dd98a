"""A race of optimizers over a loss surface with two weights: sliders, a map to start from, and the loss of each."""

from typing import Any

import anywidget
import contourpy  # matplotlib brings it
import ipywidgets
import traitlets

from course_lib import plots
from course_lib.errors import CourseError
from course_lib.widgets.page import Pictured, script
from course_lib.widgets.sliders import ValueSlider, connect, look, value_slider
from course_lib.widgets.style import run_style
from course_lib.widgets.surfaces import (
    NEAR,
    SURFACES,
    Path,
    Setting,
    height,
    levels,
    lowest,
    lowest_places,
    race,
    turned,
)

RATES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
WIDE: dict[str, Any] = {"label_width": "11em", "max_width": None}
CHOICES: dict[str, tuple[float, ...]] = {
    "narrow": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
    "turn": (0.0, 15.0, 30.0, 45.0),
    "lr": RATES,
    "adam_lr": RATES,
    "beta1": (0.0, 0.5, 0.8, 0.9, 0.95, 0.99),
    "beta2": (0.0, 0.5, 0.9, 0.95, 0.99, 0.999),
    "weight_decay": (0.0, 0.01, 0.1, 0.3, 1.0),
    "steps": (25, 50, 100, 200, 400),
}
LABELS = {
    "narrow": "narrowness",
    "turn": "turned (degrees)",
    "lr": "lr: SGD, momentum",
    "adam_lr": "lr: Adam, AdamW",
    "beta1": "momentum, beta1",
    "weight_decay": "weight decay",
}
FLOOR = 1e-8
"""The loss chart ends here: a logarithm has no place for zero."""
DIGITS = 5


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
        self.map = RaceMap(start=_start(surface, begun["turn"]))
        self._listening = True
        self._redraw()
        connect({"surface": self.surface}, self._start_afresh)
        connect({"reset": self.reset, "turn": self.sliders["turn"]})
        self.reset.on_click(lambda button: self._start_afresh())
        self.sliders["turn"].observe(self._turn, names="value")
        connect({n.replace("_", "-"): slider for n, slider in self.sliders.items() if n != "turn"}, self._redraw)
        self.map.observe(lambda change: self._redraw(), names="start")
        columns = ipywidgets.GridBox(
            [self.surface, *self.sliders.values(), self.reset],
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
        own = {"lr": surface.lrs[0], "adam_lr": surface.lrs[1], "steps": surface.steps}
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
        _draw_map(left, data)
        _draw_losses(right, data)
        return figure

    def __repr__(self) -> str:
        return "A race of optimizers: run this cell to move its sliders."


def _start(surface: str, turn: float) -> list[float]:
    """Where a race begins; ``turn`` is the ravine's, and the others are not turned."""
    return list(turned(SURFACES[surface].start, turn if surface == "ravine" else 0.0))


def _slider(name: str, start: float, values: tuple[float, ...]) -> ValueSlider:
    return value_slider(LABELS.get(name, name), sorted({*values, start}), start, **WIDE)


# ---- what there is to see ------------------------------------------------------------------------------


def seen(setting: Setting) -> dict[str, Any]:
    """Everything there is to see, as ``race.js`` wants it; no number in it is infinite or NaN."""
    surface, paths, bottom = SURFACES[setting.surface], race(setting), lowest(setting)
    words = {name: outcome(path, setting) for name, path in paths.items()}
    places = lowest_places(setting)
    arrived = {name: path.arrival(places, NEAR * surface.width) for name, path in paths.items()}
    racers = [
        run_style(number)
        | {
            "name": name,
            "points": [_rounded(point) for point in path.points],
            "heights": [max(loss - bottom, FLOOR) for loss in path.losses],
            "words": words[name],
        }
        for number, (name, path) in enumerate(paths.items())
    ]
    first = _first(arrived)
    return {
        "window": list(surface.window),
        "start": list(setting.start),
        "lowest": [list(point) for point in places],
        "others": [list(point) for point in surface.bottoms if point not in places],
        "contours": contours(setting),
        "racers": racers,
        "steps": setting.steps,
        "first": first,
        "alt": _in_words(setting, words, first),
    }


def _rounded(point: tuple[float, float]) -> list[float]:
    return [round(value, DIGITS) for value in point]


def contours(setting: Setting) -> list[list[list[float]]]:
    """Lines of equal loss, each a list of points."""
    x, y, heights = height(setting)
    generator = contourpy.contour_generator(x.numpy(), y.numpy(), heights.numpy())
    found = []
    for level in levels(heights):
        found += [[[round(a, 3), round(b, 3)] for a, b in line.tolist()] for line in generator.lines(level)]
    return found


def outcome(path: Path, setting: Setting) -> str:
    """What became of one optimizer."""
    surface = SURFACES[setting.surface]
    if path.diverged:
        return f"diverged: out of sight after {_steps(len(path.points))}"
    places = {"the lowest place": lowest_places(setting), "another valley's bottom": surface.bottoms}
    for where, bottoms in places.items():
        arrival = path.arrival(bottoms, NEAR * surface.width)
        if arrival is not None:
            return f"at {where} after {_steps(arrival)}" if arrival else f"at {where} from the start"
    return f"still under way after {_steps(len(path.points) - 1)}, at loss {path.losses[-1]:.3g}"


def _first(arrived: dict[str, int | None]) -> str:
    """Who was first at the lowest bottom, in a sentence."""
    times = {name: steps for name, steps in arrived.items() if steps is not None}
    if not times:
        return "None of the four has reached the lowest place."
    best = min(times.values())
    winners = [name for name, steps in times.items() if steps == best]
    if best == 0:
        return "The start is the lowest place."
    who = " and ".join([", ".join(winners[:-1]), winners[-1]]) if len(winners) > 1 else winners[0]
    return f"First at the lowest place: {who}, after {_steps(best)}."


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _in_words(setting: Setting, words: dict[str, str], first: str) -> str:
    form = f", {setting.narrow:g} times as steep across as along" if setting.surface == "ravine" else ""
    turned = f", turned by {setting.turn:g} degrees" if form and setting.turn else ""
    x, y = setting.start
    became = "; ".join(f"{name}: {text}" for name, text in words.items())
    return f"A map of a loss surface: {setting.surface}{form}{turned}. From ({x:.2f}, {y:.2f}): {became}. {first}"


# ---- without a kernel ------------------------------------------------------------------------------------


def _draw_map(axes: Any, data: dict[str, Any]) -> None:
    for line in data["contours"]:
        axes.plot(*zip(*line), color="#B0B0B0", linewidth=0.7)
    for racer in data["racers"]:
        axes.plot(*zip(*racer["points"]), color=racer["color"], linewidth=1.4, linestyle=_dash(racer["dash"]))
    axes.plot(*data["start"], "o", color="black", markersize=6)
    axes.annotate("start", data["start"], xytext=(4, 5), textcoords="offset points", fontsize=9)
    for place in data["lowest"]:
        axes.plot(*place, "*", color="black", markersize=11, markeredgecolor="white", zorder=5)
    axes.set(xlim=data["window"][:2], ylim=data["window"][2:], xlabel="weight x", ylabel="weight y")


def _draw_losses(axes: Any, data: dict[str, Any]) -> None:
    for racer in data["racers"]:
        axes.plot(racer["heights"], color=racer["color"], linestyle=_dash(racer["dash"]), label=racer["name"])
    axes.set(yscale="log", xlabel="step", ylabel="loss above the lowest", xlim=(0, data["steps"]))
    axes.set_ylim(FLOOR, max(1.0, 3 * max(racer["heights"][0] for racer in data["racers"])))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)


def _dash(pattern: str) -> Any:
    return (0, tuple(float(part) for part in pattern.split())) if pattern else "-"
