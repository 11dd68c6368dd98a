"""How runs look where several are shown at once: no two differ by color alone."""

from course_lib.plots import RUN_COLORS

DASHES = ("", "7 3", "2.5 2.5", "10 3 2 3", "5 2", "1.5 3")
# Each drawn around (0, 0), about 8 pixels wide: circle, square, triangle, diamond, cross, bar.
MARKERS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-3.6 -3.6h7.2v7.2h-7.2z",
    "M0 -4.6L4.4 3.4h-8.8z",
    "M0 -5L5 0L0 5L-5 0z",
    "M-4.2 -2.4L-2.4 -4.2L0 -1.8L2.4 -4.2L4.2 -2.4L1.8 0L4.2 2.4L2.4 4.2L0 1.8L-2.4 4.2L-4.2 2.4L-1.8 0z",
    "M-5 -1.8h10v3.6h-10z",
)


def run_style(number: int) -> dict[str, str]:
    """Color, dash pattern and marker (as SVG paths know them) of the run with that number, from 0 on.

    After the six colors are used up they come again with other dashes and markers.
    """
    again, color = divmod(number, len(RUN_COLORS))
    shape = (color + again) % len(MARKERS)
    return {"color": RUN_COLORS[color], "dash": DASHES[shape], "marker": MARKERS[shape]}
