"""What the widgets share: the JavaScript of `page.js`, and a picture for pages without a kernel."""

from abc import ABC, abstractmethod
from importlib.resources import files
from typing import Any

import ipywidgets

from course_lib import plots


def script(name: str, package: str = __package__) -> str:
    """The module of a widget: ``page.js``, then ``<name>.js`` of ``package``; it cannot import another file."""
    shared, own = files(__package__) / "page.js", files(package) / f"{name}.js"
    return f"{shared.read_text(encoding='utf-8')}\n{own.read_text(encoding='utf-8')}"


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
