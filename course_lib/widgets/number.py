"""A field for a whole number between two bounds, in which JupyterLab's Ctrl + S still saves the notebook."""

from typing import Any

import anywidget
import traitlets

from course_lib.widgets.page import script


class WholeNumber(anywidget.AnyWidget):
    """A whole number that is typed; what is out of bounds becomes the nearest that is not.

    The fields of ipywidgets keep every key from JupyterLab: in them Ctrl + S does not save the notebook, and a page
    that is then loaded anew has the lab of an older save, of which the kernel may know nothing.

    Args:
        value: where it stands; can be observed.
        description: its name.
    """

    _esm = script("number")
    description = traitlets.Unicode().tag(sync=True)
    min = traitlets.Int(0).tag(sync=True)
    max = traitlets.Int(2**53 - 1).tag(sync=True)  # the last whole number that JavaScript can count to
    value = traitlets.Int().tag(sync=True)

    @traitlets.validate("value")
    def _within(self, proposal: Any) -> int:
        return min(max(proposal["value"], self.min), self.max)
