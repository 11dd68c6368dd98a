"""What the widgets share: the JavaScript of `page.js`, and a picture for pages without a kernel."""

from abc import ABC, abstractmethod
from importlib.resources import files
from typing import Any

import ipywidgets

from course_lib import plots


def script(name: str, package: str = __package__, rooms: tuple[str, ...] = ()) -> str:
    """The module of a widget, as one text: it cannot import another file.

    Args:
        rooms: further files of ``package`` that stand between ``page.js`` and ``<name>.js``; what one of them
            declares, those after it can use.
    """
    own = [(files(package) / f"{part}.js").read_text(encoding="utf-8") for part in (*rooms, name)]
    return "\n".join([(files(__package__) / "page.js").read_text(encoding="utf-8"), *own])


def first_sentence(error: Exception) -> str:
    """What was wrong, for those who type a text; the rest of an error's advice is for those who write a program."""
    return str(error).split(". ")[0].rstrip(".") + "."


class Pictured(ABC):
    """A widget that leaves its `picture` in the notebook's file, for those who read it without a kernel."""

    widget: ipywidgets.Widget

    @abstractmethod
    def picture(self) -> plots.Picture:
        """What is to be seen at this moment, as a still picture with its alternative text."""

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, Any], dict[str, Any]]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        still, about = self.picture()._repr_mimebundle_()
        return {"application/vnd.jupyter.widget-view+json": view, **still}, about
