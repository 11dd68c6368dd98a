"""The tray: runs that are over, to lay over one another or to throw away."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import anywidget
import traitlets

from course_lib.widgets.page import script


@dataclass(frozen=True)
class TrayRow:
    """One run in the tray, in words; ``key`` is what the tray calls it when it is checked or removed."""

    key: int
    label: str
    about: str
    numbers: str
    style: dict[str, str]
    note: str = ""
    """What else there is to know, such as how the forecast came out, or an error."""
    command: str = ""
    """The command line that repeats it."""


class Tray(anywidget.AnyWidget):
    """A short table with a check box and a remove button per run.

    Args:
        changed: called when a run is checked or unchecked on the page.
        removed: called with a run's key when its remove button is pressed.
    """

    _esm = script("tray", __package__)
    rows = traitlets.List().tag(sync=True)
    checked = traitlets.List().tag(sync=True)

    def __init__(self, changed: Callable[[], None], removed: Callable[[int], None]) -> None:
        super().__init__(rows=[], checked=[])
        self.add_class("course-lab-tray")
        self._changed, self._removed = changed, removed
        self._given: list[int] = []
        self.observe(self._see, names="checked")
        self.on_msg(self._hear)

    def put(self, rows: list[TrayRow], checked: list[int]) -> None:
        """Show these runs, those with the keys ``checked`` laid over one another."""
        self._given = checked
        with self.hold_sync():
            self.rows = [asdict(row) for row in rows]
            self.checked = checked

    def _see(self, change: dict[str, Any]) -> None:
        if change["new"] != self._given:
            self._given = change["new"]
            self._changed()

    def _hear(self, _: object, content: object, buffers: object) -> None:
        if isinstance(content, dict) and "remove" in content:
            self._removed(int(content["remove"]))

    def __repr__(self) -> str:
        return "A tray of finished runs."
