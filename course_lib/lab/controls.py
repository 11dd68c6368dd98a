"""Sliders for the settings of a recipe, and a line that says what they mean."""

import html
from collections.abc import Callable
from typing import Any

import ipywidgets

from course_lib.recipes import Recipe

# Per setting: its label, what it means, and the values that its slider offers.
SLIDERS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "block_size": ("block_size", "how many tokens the model sees at once", (8, 16, 32, 64, 128, 256)),
    "dropout": (
        "dropout",
        "the share of activations switched off while training",
        (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
    ),
    "max_lr": (
        "learning rate",
        "how far one step moves the weights",
        (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    ),
}


def offered(name: str, value: float, largest: float | None = None) -> list[float]:
    """The values of a slider in order: the usual ones up to ``largest``, and the recipe's own ``value``."""
    usual = [v for v in SLIDERS[name][2] if largest is None or v <= largest]
    return sorted({*usual, value})


class Controls:
    """Sliders that start at a recipe's values. `recipe` is the recipe with the sliders' values.

    Args:
        recipe: where the sliders start.
        describe: recipe -> what stands under the sliders, as HTML; made anew whenever one moves.
        names: which settings get a slider.
        largest: upper ends, by setting, where the data sets one.
    """

    def __init__(
        self,
        recipe: Recipe,
        describe: Callable[[Recipe], str],
        names: tuple[str, ...] = tuple(SLIDERS),
        largest: dict[str, float] | None = None,
    ) -> None:
        self._start, self._describe = recipe, describe
        settings = recipe.all_settings()
        self.sliders = {
            name: self._slider(name, offered(name, settings[name], (largest or {}).get(name)), settings[name])
            for name in names
        }
        self._readout = ipywidgets.HTML()
        rows = [self._row(name, slider) for name, slider in self.sliders.items()]
        self.widget = ipywidgets.VBox([*rows, self._readout])
        self.widget.add_class("course-lab-controls")
        self._readout.add_class("course-lab-readout")
        for slider in self.sliders.values():
            slider.observe(self._refresh, names="value")
        self._refresh()

    @staticmethod
    def _slider(name: str, values: list[float], start: float) -> ipywidgets.SelectionSlider:
        slider = ipywidgets.SelectionSlider(
            options=[(f"{value:g}", value) for value in values],
            value=start,
            description=SLIDERS[name][0],
            style={"description_width": "7.5em"},
            layout={"width": "26em"},
        )
        slider.add_class(f"course-lab-{name}")
        return slider

    @staticmethod
    def _row(name: str, slider: ipywidgets.SelectionSlider) -> ipywidgets.HBox:
        meaning = ipywidgets.HTML(f"<span style='opacity: 0.8'>{html.escape(SLIDERS[name][1])}</span>")
        return ipywidgets.HBox([slider, meaning], layout={"flex_flow": "row wrap", "align_items": "center"})

    @property
    def values(self) -> dict[str, Any]:
        """Setting to value, as the sliders stand now."""
        return {name: slider.value for name, slider in self.sliders.items()}

    @property
    def recipe(self) -> Recipe:
        """The recipe with the sliders' values."""
        return self._start.replace(**self.values)

    def _refresh(self, change: object = None) -> None:
        self._readout.value = self._describe(self.recipe)
