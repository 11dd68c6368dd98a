"""Sliders for the settings of a recipe, some of them under a fold, and a line that says what they mean."""

import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets

from course_lib.errors import CourseError
from course_lib.recipes import Recipe
from course_lib.widgets.sliders import CHOICES, Choice, value_slider

SHOWN = ("block_size", "dropout", "max_lr")
FOLDED = ("thinking_steps", "n_layer", "n_embd", "batch_size", "max_steps")


def offered(recipe: Recipe, name: str, values: tuple[float, ...], largest: float | None = None) -> list[float]:
    """The values of a slider in order: the recipe's own, and the usual ones that the recipe could have.

    Args:
        largest: leaves out the usual values above it.
    """
    own = recipe.all_settings()[name]
    usual = [v for v in values if (largest is None or v <= largest) and _is_valid(recipe, name, v)]
    return sorted({*usual, own})


def _is_valid(recipe: Recipe, name: str, value: float) -> bool:
    try:
        recipe.replace(**{name: value})
    except CourseError:  # such as a width that the heads cannot share
        return False
    return True


class Controls:
    """Sliders that start at a recipe's values. `recipe` is the recipe with the sliders' values.

    ``widget`` is all of it; ``sliders_widget`` and ``readout`` are its two halves, for those who want
    something between them.

    Args:
        recipe: where the sliders start.
        describe: recipe -> what stands under the sliders, as HTML; made anew whenever one moves.
        names: which settings get a slider.
        folded: which get one under a fold that opens with a click, where the recipe's kind of model has them.
        largest: upper ends, by setting, where the data sets one.
        moved: told a setting's name and its new value. It should return at once.
        choices: what each slider offers; add to it for settings that `CHOICES` does not have.
    """

    def __init__(
        self,
        recipe: Recipe,
        describe: Callable[[Recipe], str],
        names: tuple[str, ...] = SHOWN,
        folded: tuple[str, ...] = FOLDED,
        largest: Mapping[str, float] | None = None,
        moved: Callable[[str, float], None] = lambda name, value: None,
        choices: Mapping[str, Choice] = CHOICES,
    ) -> None:
        self._start, self._describe, self._moved = recipe, describe, moved
        self.recipe = recipe
        """The recipe with the sliders' values; made anew when one moves, as checking all settings takes a moment."""
        settings = recipe.all_settings()
        folded = tuple(name for name in folded if name in settings)
        self.sliders = {}
        for name in (*names, *folded):
            values = offered(recipe, name, choices[name].values, (largest or {}).get(name))
            self.sliders[name] = _slider(name, choices[name], values, settings[name])
        self.readout = ipywidgets.HTML()
        self.readout.add_class("course-lab-readout")
        rows = [_row(self.sliders[name], choices[name].meaning) for name in names]
        if folded:
            rows.append(_fold([_row(self.sliders[name], choices[name].meaning) for name in folded]))
        self.sliders_widget = ipywidgets.VBox(rows)
        self.sliders_widget.add_class("course-lab-controls")
        self.widget = ipywidgets.VBox([self.sliders_widget, self.readout])
        for name, slider in self.sliders.items():
            slider.observe(lambda change, name=name: self._hear(name, change["new"]), names="value")
        self.refresh()

    @property
    def values(self) -> dict[str, Any]:
        """Setting to value, as the sliders stand now."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def refresh(self) -> None:
        """Write anew what stands under the sliders."""
        self.readout.value = self._describe(self.recipe)

    def _hear(self, name: str, value: float) -> None:
        self.recipe = self._start.replace(**self.values)
        self._moved(name, value)
        self.refresh()


def _slider(name: str, choice: Choice, values: list[float], start: float) -> ipywidgets.SelectionSlider:
    slider = value_slider(choice.label, values, start, max_width=None)
    slider.add_class(f"course-lab-{name}")
    return slider


def _row(slider: ipywidgets.SelectionSlider, meaning: str) -> ipywidgets.VBox:
    look = "font-size: 12px; line-height: 1.2; opacity: 0.75; padding-left: 1.2em"
    words = f"<div style='{look}'>{html.escape(meaning)}</div>"
    about = ipywidgets.HTML(words, layout={"margin": "-6px 2px 4px 2px"})
    return ipywidgets.VBox([slider, about])


def _fold(rows: list[ipywidgets.Widget]) -> ipywidgets.Accordion:
    fold = ipywidgets.Accordion([ipywidgets.VBox(rows)], selected_index=None)
    fold.set_title(0, "More settings")
    fold.add_class("course-lab-fold")
    return fold
