"""A fold that opens by mouse and by keyboard, and while the kernel is busy too."""

from collections.abc import Sequence

import anywidget
import ipywidgets
import traitlets

from course_lib.widgets.page import script


class FoldButton(anywidget.AnyWidget):
    """Opens and closes the fold around it, in the page itself."""

    _esm = script("fold", __package__)
    label = traitlets.Unicode().tag(sync=True)
    is_open = traitlets.Bool(False).tag(sync=True)


def fold(label: str, rows: Sequence[ipywidgets.Widget]) -> ipywidgets.VBox:
    """A button that says ``label``, and under it ``rows``, which are hidden at first."""
    body = ipywidgets.VBox(list(rows), layout={"display": "none"})
    body.add_class("course-lab-fold-body")
    whole = ipywidgets.VBox([FoldButton(label=label), body])
    whole.add_class("course-lab-fold")
    return whole
