"""The lab: sliders, buttons, a live curve, and the same trainer that the command line and a plain loop drive.

It is made of parts that know nothing of one another: `controls` (sliders and what they mean), `buttons`,
`chart` (the live picture) with its `curves`, `sample` (what the model writes) and `sample_view` (how that looks),
`tray` (finished runs), `driver` (runs a trainer, and listens between two steps), `forecast` and the `counting` that it
stands on. A `session` is one run from its start to its end, a `run` is what is left of it, a `scene` what `view` and
`panel` show of it.
`sweep` runs one setting at several values, and draws the valley of their losses; `replay` shows recorded runs where
there is no kernel.
`Lab` puts them together; what it has to know of a text is in `of_text`. `PixelLab` (`pixels`) is the same lab on
sprites, and shows drawings (`drawing_view`) in place of texts. There is no training code here.

`moments` says when a run writes a sample and how long that may take, `memory` what is free and what a run took,
`fitting` refuses what does not fit, `neighbors` sees to it that no lab's run goes on unseen.
"""

try:
    import anywidget  # noqa: F401
    import ipywidgets  # noqa: F401
except ImportError as error:
    raise ImportError("The lab needs two packages that show sliders: pip install ipywidgets anywidget") from error

from course_lib.lab.chart import LossChart
from course_lib.lab.controls import Choice, Controls
from course_lib.lab.curves import Curve
from course_lib.lab.driver import Driver, drive_here
from course_lib.lab.lab import Lab
from course_lib.lab.pixels import PixelLab
from course_lib.lab.replay import Replay
from course_lib.lab.run import Trial
from course_lib.lab.sample import SampleWriter
from course_lib.lab.sample_view import SampleBrowser
from course_lib.lab.sweep import Sweep
from course_lib.lab.tray import Tray
from course_lib.widgets.buttons import Buttons

__all__ = [
    "Buttons",
    "Choice",
    "Controls",
    "Curve",
    "Driver",
    "Lab",
    "PixelLab",
    "Replay",
    "Trial",
    "LossChart",
    "SampleBrowser",
    "SampleWriter",
    "Sweep",
    "Tray",
    "drive_here",
]
