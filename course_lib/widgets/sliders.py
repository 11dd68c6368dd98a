"""Sliders over a list of values, and the values that the settings of a run usually have."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets


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
        (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
    ),
    "max_lr": Choice(
        "learning rate",
        "how far one step moves the weights",
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


def value_slider(
    label: str,
    values: Iterable[float],
    start: float,
    words: Mapping[float, str] | None = None,
    label_width: str = "6.5em",
    max_width: str | None = "520px",
) -> ipywidgets.SelectionSlider:
    """A slider that offers ``values`` in their order and stands at ``start``, one of them.

    Args:
        words: what is shown in place of some of the numbers, such as ``{0.0: "0, greedy"}``.
    """
    options = [((words or {}).get(value, f"{value:g}"), value) for value in values]
    return ipywidgets.SelectionSlider(options=options, value=start, description=label, **look(label_width, max_width))


def connect(controls: Mapping[str, ipywidgets.DOMWidget], hear: Callable[[], None] | None = None) -> None:
    """Give each control its name in the page, ``course-lab-<name>``, and call ``hear`` whenever one is moved."""
    for name, control in controls.items():
        control.add_class(f"course-lab-{name}")
        if hear is not None:
            control.observe(lambda change: hear(), names="value")
