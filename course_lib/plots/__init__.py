"""Pictures of training: loss curves, sheets of sprites, a table of who is taken for whom."""

from course_lib.plots.choices import choices
from course_lib.plots.lines import (
    TRAIN_COLOR,
    VAL_COLOR,
    X_LABEL,
    Y_LABEL,
    alt_text,
    band_points,
    curves,
    highest,
    loss_curve,
    loss_points,
    reference_lines,
    rounded,
)
from course_lib.plots.picture import INK, OKABE_ITO, RUN_COLORS, Picture
from course_lib.plots.sprites import confusion, picture_rows, sheet

__all__ = [
    "INK",
    "OKABE_ITO",
    "RUN_COLORS",
    "TRAIN_COLOR",
    "VAL_COLOR",
    "X_LABEL",
    "Y_LABEL",
    "Picture",
    "alt_text",
    "band_points",
    "choices",
    "confusion",
    "curves",
    "highest",
    "loss_curve",
    "loss_points",
    "picture_rows",
    "reference_lines",
    "rounded",
    "sheet",
]
