"""The lab: sliders, a live curve, and the same trainer that the command line and a plain loop drive.

It is made of parts that know nothing of one another: `controls` (sliders and what they mean), `chart`
(the live picture), `driver` (runs a trainer and tells others of it), `run` (what is left when it is
over). `Lab` puts them together. There is no training code here.
"""

try:
    import anywidget  # noqa: F401
    import ipywidgets  # noqa: F401
except ImportError as error:
    raise ImportError("The lab needs two packages that show sliders: pip install ipywidgets anywidget") from error

from course_lib.lab.chart import LossChart
from course_lib.lab.controls import Controls
from course_lib.lab.lab import Lab
from course_lib.lab.run import LabRun

__all__ = ["Controls", "Lab", "LabRun", "LossChart"]
