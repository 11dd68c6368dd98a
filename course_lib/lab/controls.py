"""Sliders for the settings of a recipe, some of them under a fold, and a line that says what they mean."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets

from course_lib.errors import CourseError
from course_lib.lab.fold import fold
from course_lib.lab.run import rate_varies
from course_lib.recipes import Recipe
from course_lib.widgets.number import WholeNumber
from course_lib.widgets.sliders import CHOICES, Choice, ValueSlider

SHOWN = ("block_size", "dropout", "max_lr")
FOLDED = ("thinking_steps", "n_layer", "n_embd", "batch_size", "max_steps")
CONSTANT = {"schedule": "constant", "warmup_steps": 0}
CONSTANT_LABEL = Choice("learning rate", "how far one step moves the weights, from the first step to the last", ())
"""What the slider of ``max_lr`` is called while no schedule varies the rate."""
REPEATS = "equal settings and equal seeds repeat a run exactly, on one machine"


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
    something between them. Beside the sliders there are ``constant`` (a box: the rate of all steps is the slider's;
    None where the recipe's own is), ``seed`` (a number) and ``reset`` (a button: all as the recipe says).

    Args:
        recipe: where the sliders start.
        describe: recipe -> what stands under the sliders, as HTML; made anew whenever one moves.
        names: which settings get a slider.
        folded: which get one under a fold that opens with a click or a key, where the recipe's kind of model has them.
        largest: upper ends, by setting, where the data sets one.
        moved: told a setting's name and its new value. It should return at once.
        choices: what each slider offers; add to it for settings that `CHOICES` does not have.
        menus: settings that are words, each with the menu that offers them; they stand above the sliders.
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
        menus: Mapping[str, ipywidgets.Dropdown] | None = None,
    ) -> None:
        self._start, self._describe, self._moved, self._choices = recipe, describe, moved, choices
        self.recipe = recipe
        """The recipe with the sliders' values; made anew when one moves, as checking all settings takes a moment."""
        settings = recipe.all_settings()
        self.menus = dict(menus or {})
        folded = tuple(name for name in folded if name in settings)
        self.sliders: dict[str, ValueSlider] = {}
        for name in (*names, *folded):
            values = offered(recipe, name, choices[name].values, (largest or {}).get(name))
            self.sliders[name] = _slider(name, choices[name], values, settings[name])
        self.constant = _box() if "max_lr" in names and rate_varies(recipe) else None
        self.heard_by: Recipe | None = None
        """The run that goes on and hears the slider of the rate, which then is called what it is to that run."""
        self.seed = _seed(settings["seed"])
        self.reset = ipywidgets.Button(description="Reset", icon="undo", tooltip="All settings as the recipe says")
        self.reset.add_class("course-lab-reset")
        self.readout = ipywidgets.HTML()
        self.readout.add_class("course-lab-readout")
        self.sliders_widget = ipywidgets.VBox(self._rows(names, folded))
        self.sliders_widget.add_class("course-lab-controls")
        self.widget = ipywidgets.VBox([self.sliders_widget, self.readout])
        self._listen()
        self.refresh()

    def _rows(self, names: tuple[str, ...], folded: tuple[str, ...]) -> list[ipywidgets.Widget]:
        rows: list[ipywidgets.Widget] = list(self.menus.values())
        for name in names:
            rows += [self.sliders[name]]
            if name == "max_lr" and self.constant is not None:
                rows.append(self.constant)
        about = ipywidgets.HTML(f"<div style='font-size: 12px; line-height: 1.25; opacity: 0.8'>{REPEATS}</div>")
        rows.append(fold("More settings", [*(self.sliders[name] for name in folded), self.seed, about]))
        return [*rows, self.reset]

    def _listen(self) -> None:
        for name, slider in (self.menus | self.sliders).items():
            slider.observe(lambda change, name=name: self._hear(name, change["new"]), names="value")
        self.seed.observe(lambda change: self._hear("seed", change["new"]), names="value")
        if self.constant is not None:
            self.constant.observe(lambda change: self._hear("constant", change["new"]), names="value")
        self.reset.on_click(lambda button: self.back())

    @property
    def values(self) -> dict[str, Any]:
        """Setting to value, as the sliders, the box and the number stand now."""
        values = {name: control.value for name, control in (self.menus | self.sliders).items()}
        constant = CONSTANT if self.constant is not None and self.constant.value else {}
        return {**values, **constant, "seed": self.seed.value}

    def back(self) -> None:
        """Everything as the recipe says."""
        settings = self._start.all_settings()
        if self.constant is not None:
            self.constant.value = False
        self.seed.value = settings["seed"]
        for name, control in (self.menus | self.sliders).items():
            control.value = settings[name]

    def refresh(self) -> None:
        """Write anew what stands under the sliders, and what the slider of the rate is called."""
        self._name_the_rate()
        self.readout.value = self._describe(self.recipe)

    def _name_the_rate(self) -> None:
        """A slider that moves the highest of many rates says so."""
        if "max_lr" in self.sliders:
            choice = self._choices["max_lr"] if rate_varies(self.heard_by or self.recipe) else CONSTANT_LABEL
            self.sliders["max_lr"].description, self.sliders["max_lr"].meaning = choice.label, choice.meaning

    def _hear(self, name: str, value: Any) -> None:
        self.recipe = self._start.replace(**self.values)
        self._moved(name, value)
        self.refresh()


def _slider(name: str, choice: Choice, values: list[float], start: float) -> ValueSlider:
    options = [(f"{value:g}", value) for value in values]
    slider = ValueSlider(options, start, choice.label, meaning=choice.meaning, stacked=True, layout={"width": "auto"})
    slider.add_class(f"course-lab-{name}")
    return slider


def _box() -> ipywidgets.Checkbox:
    tooltip = "No warm-up and no fall: each step has the rate of the slider"
    box = ipywidgets.Checkbox(False, description="constant rate", indent=False, tooltip=tooltip)
    box.add_class("course-lab-constant")
    return box


def _seed(value: int) -> WholeNumber:
    seed = WholeNumber(value=value, description="seed", layout={"width": "auto"})
    seed.add_class("course-lab-seed")
    return seed
