"""`Picture`: a figure that notebooks show on a light page and on a dark one, with its words; and the colors of all.

Figures are made without pyplot: no state, no backend, safe in any thread. Colors are from the palette
of Okabe and Ito (2008), which people with any kind of color vision can tell apart. A picture has no ground
of its own: its words and curves hold on a light page and on a dark one.
"""

import base64
import io
from typing import Any

from matplotlib.colors import same_color, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

OKABE_ITO = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#000000",
}
RUN_COLORS = [OKABE_ITO[name] for name in ("blue", "vermillion", "green", "purple", "orange", "sky")]
INK = "#7A7A7A"  # the gray whose contrast is the same on white and on JupyterLab's dark page, above 4 on both


class Picture(Figure):
    """A Figure that notebooks show as a picture; ``alt`` says in words what is to be seen.

    A notebook's file keeps ``alt`` beside the picture. Its text is ``caption``, which says what is drawn but
    no measured number: stored outputs are compared, and numbers may differ a little.
    What is drawn black on white is shown in `INK` on the page itself, whose color is not known here.
    """

    alt = ""
    caption = ""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        _on_any_page(self)
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144)
        width, height = (round(96 * inches) for inches in self.get_size_inches())
        bundle = {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": self.caption}
        return bundle, {"image/png": {"width": width, "height": height, "alt": self.alt}}


def _on_any_page(figure: Figure) -> None:
    """Grays and black become `INK`, and white becomes nothing: what matplotlib draws by itself, and what others set."""
    for axes in figure.axes:
        axes.tick_params(which="both", color=INK, labelcolor=INK)  # ticks are made late, with colors of their own
    found = figure.findobj()
    boxes = [artist.get_bbox_patch() for artist in found if isinstance(artist, Text) and artist.get_bbox_patch()]
    for artist in [*found, *boxes]:
        if isinstance(artist, Text | Line2D):
            artist.set_color(_hue(artist.get_color()))
        if isinstance(artist, Line2D):
            artist.set_markeredgecolor(_hue(artist.get_markeredgecolor()))
            artist.set_markerfacecolor(_hue(artist.get_markerfacecolor()))
        if isinstance(artist, Patch):
            artist.set_facecolor(_hue(artist.get_facecolor()))
            artist.set_edgecolor(_hue(artist.get_edgecolor()))  # of its hatch too


def _hue(color: Any) -> Any:
    """A color that holds on any page: gray and dark is `INK`, white is nothing, what has a hue stays."""
    red, green, blue, alpha = to_rgba(color)
    if alpha == 0 or max(red, green, blue) - min(red, green, blue) > 0.02:
        return color
    if same_color((red, green, blue), "white"):
        return "none"
    return (*to_rgba(INK)[:3], alpha) if red < 0.5 else color
