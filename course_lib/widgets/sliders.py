"""Sliders over a list of values that say their value in words, and the values that a run's settings usually have."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anywidget
import ipywidgets
import traitlets

from course_lib.errors import CourseError
from course_lib.widgets.page import script


@dataclass(frozen=True)
class Choice:
    """What a slider offers: its label, what the setting means, and the usual values."""

    label: str
    meaning: str
    values: tuple[float, ...]


CHOICES = {
    "block_size": Choice("block_size", "how many tokens the model sees at once", (8, 16, 32, 64, 128, 256)),
    "dropout": Choice(
        "dropout",
        "share of activations switched off in training",
        (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    ),
    "max_lr": Choice(
        "peak learning rate",
        "the highest of the rates, which say how far one step moves the weights; the schedule leads up to it and down",
        (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    ),
    "n_layer": Choice("depth", "n_layer: how many blocks, one after another", (1, 2, 3, 4, 6, 8)),
    "n_embd": Choice("width", "n_embd: how many numbers stand for one token", (16, 32, 64, 96, 128, 192, 256, 384)),
    "thinking_steps": Choice(
        "thinking steps", "how often each patch thinks before its bytes are written", (0, 1, 2, 3, 5, 8)
    ),
    "batch_size": Choice("batch size", "how many windows one step reads", (1, 2, 4, 8, 12, 16, 24, 32, 64)),
    "max_steps": Choice(
        "steps", "max_steps: how often the weights move", (20, 50, 100, 200, 300, 500, 1000, 2000, 5000)
    ),
}


def look(label_width: str = "6.5em", max_width: str | None = "520px") -> dict[str, Any]:
    """What every slider and menu of a widget looks like; sizes are CSS lengths."""
    layout = {"width": "auto"} | ({"max_width": max_width} if max_width else {})
    return {"style": {"description_width": label_width}, "layout": layout}


class ValueSlider(anywidget.AnyWidget):
    """A slider that offers values in their order, and says the chosen one: to the eye, and to a screen reader.

    What ipywidgets has for this tells a screen reader the place in the list, and no name.

    Args:
        options: (words, value) of each.
        value: where it stands, one of them. `value` and `index` move together, and can be observed.
        description: its name.
        meaning: what it means, in small letters under it where the slider is ``stacked``.
        stacked: name and value above the slider, for a narrow column; else all in one line.

    Raises:
        CourseError: for a value that it does not offer.
    """

    _esm = script("slider")
    description = traitlets.Unicode().tag(sync=True)
    meaning = traitlets.Unicode().tag(sync=True)
    words = traitlets.List(traitlets.Unicode()).tag(sync=True)
    index = traitlets.Int().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
    stacked = traitlets.Bool(False).tag(sync=True)
    label_width = traitlets.Unicode("6.5em").tag(sync=True)
    value: Any = traitlets.Any()

    def __init__(self, options: Sequence[tuple[str, Any]], value: Any, description: str, **looks: Any) -> None:
        self.options = tuple(options)
        words, self._values = [word for word, _ in self.options], [value for _, value in self.options]
        index = self._place(value)
        super().__init__(words=words, index=index, value=self._values[index], description=description, **looks)

    def _place(self, value: Any) -> int:
        if value not in self._values:
            offered = ", ".join(word for word, _ in self.options)
            raise CourseError(f"This slider offers {offered}; {value!r} is none of these.")
        return self._values.index(value)

    @traitlets.validate("value")
    def _offered(self, proposal: Any) -> Any:
        return self._values[self._place(proposal["value"])]

    @traitlets.validate("index")
    def _within(self, proposal: Any) -> int:
        return min(max(proposal["value"], 0), len(self._values) - 1)

    @traitlets.observe("index")
    def _follow_index(self, change: Any) -> None:
        self.value = self._values[change["new"]]

    @traitlets.observe("value")
    def _follow_value(self, change: Any) -> None:
        self.index = self._place(change["new"])


def value_slider(
    label: str,
    values: Iterable[float],
    start: float,
    words: Mapping[float, str] | None = None,
    label_width: str = "6.5em",
    max_width: str | None = "520px",
) -> ValueSlider:
    """A slider that offers ``values`` in their order and stands at ``start``, one of them.

    Args:
        words: what is shown in place of some of the numbers, such as ``{0.0: "0, greedy"}``.
    """
    options = [((words or {}).get(value, f"{value:g}"), value) for value in values]
    layout = look(label_width, max_width)["layout"]
    return ValueSlider(options, start, label, label_width=label_width, layout=layout)


def connect(controls: Mapping[str, ipywidgets.DOMWidget], hear: Callable[[], None] | None = None) -> None:
    """Give each control its name in the page, ``course-lab-<name>``, and call ``hear`` whenever one is moved."""
    for name, control in controls.items():
        control.add_class(f"course-lab-{name}")
        if hear is not None:
            control.observe(lambda change: hear(), names="value")
