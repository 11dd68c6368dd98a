"""What each of several choices comes to: a row of dots for each, one dot a seed."""

import statistics
from collections.abc import Mapping, Sequence

from course_lib.errors import CourseError
from course_lib.plots.picture import INK, OKABE_ITO, Picture


def choices(
    rows: Mapping[str, Sequence[float]], x_label: str, title: str = "", beside: Sequence[str] = ()
) -> Picture:  # fmt: skip
    """One row for each choice, from the top: its runs as dots, their mean as a tick.

    The first row is what the others are compared with: a line goes down from its mean.

    Args:
        rows: what a choice is called, to what its runs came to.
        beside: words at the right end of each row, such as what a step costs.

    Raises:
        CourseError: without rows, or for a row without runs; for words of another number.
    """
    if not rows or not all(rows.values()):
        raise CourseError("choices() expects at least one row, and a number in each; give it name to numbers.")
    if beside and len(beside) != len(rows):
        raise CourseError(f"beside should have words for each of the {len(rows)} rows; it has {len(beside)}.")
    means = {name: statistics.fmean(values) for name, values in rows.items()}
    figure = Picture(figsize=(7, 0.9 + 0.27 * len(rows)), facecolor="none", layout="constrained")
    figure.caption = f"{title or 'Choices'}: {x_label} of each run, in rows"
    figure.alt = f"{figure.caption}. The means are " + ", ".join(f"{n}: {mean:.3g}" for n, mean in means.items()) + "."
    axes = figure.add_subplot(facecolor="none", xlabel=x_label, title=title)
    for place, (name, values) in enumerate(rows.items()):
        axes.plot(values, [place] * len(values), "o", markersize=4, color=OKABE_ITO["blue"], label=name)
        axes.plot([means[name]], [place], "|", markersize=11, color=OKABE_ITO["vermillion"], label=f"_mean of {name}")
    axes.axvline(next(iter(means.values())), color=INK, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top
    for place, words in enumerate(beside):
        axes.annotate(words, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure
