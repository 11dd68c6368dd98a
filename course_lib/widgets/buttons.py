"""Start, Pause, Step and Stop: which of them can be pressed when, and nothing of what they do."""

from collections.abc import Callable

import ipywidgets

# State of a run: which buttons can be pressed then, and what the second one is called.
PRESSABLE = {
    "idle": ({"start", "step"}, "Pause"),
    "preparing": ({"stop"}, "Pause"),
    "running": ({"pause", "stop"}, "Pause"),
    "paused": ({"pause", "step", "stop"}, "Resume"),
    "in a cell": (set(), "Pause"),
}
ABOUT = {
    "start": ("Start", "play", "Train with the settings above"),
    "pause": ("Pause", "pause", "Wait after the step at hand; press again to go on"),
    "step": ("Step", "step-forward", "Take one step and wait"),
    "stop": ("Stop", "stop", "End the run and keep what was learned"),
}


class Buttons:
    """Four buttons in a row; ``pressed`` maps start, pause, step and stop to what happens then.

    A callback should return at once: while it works, the page hears nothing.
    """

    def __init__(self, pressed: dict[str, Callable[[], None]]) -> None:
        self.buttons = {name: self._button(name, pressed[name]) for name in ABOUT}
        self.widget = ipywidgets.HBox(list(self.buttons.values()), layout={"flex_flow": "row wrap"})
        self.widget.add_class("course-lab-buttons")
        self.show("idle")

    @staticmethod
    def _button(name: str, action: Callable[[], None]) -> ipywidgets.Button:
        text, icon, tooltip = ABOUT[name]
        layout = {"width": "auto", "min_width": "4.4em", "padding": "0 6px"}
        button = ipywidgets.Button(description=text, icon=icon, tooltip=tooltip, layout=layout)
        if name == "start":
            button.button_style = "primary"
        button.add_class(f"course-lab-{name}")
        button.on_click(lambda _: action())
        return button

    def show(self, state: str) -> None:
        """Enable what makes sense in ``state``: idle, preparing, running, paused, or in a cell.

        While a cell trains, the kernel hears no button; only the notebook's own stop button ends it.
        """
        pressable, second = PRESSABLE[state]
        for name, button in self.buttons.items():
            button.disabled = name not in pressable
        self.buttons["pause"].description = second
        self.buttons["pause"].icon = "play" if second == "Resume" else "pause"
