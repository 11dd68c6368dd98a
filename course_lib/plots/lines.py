"""Loss curves with the lines that give them a meaning, and curves of anything else."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from course_lib.errors import CourseError
from course_lib.plots.picture import INK, OKABE_ITO, RUN_COLORS, Picture

TRAIN_COLOR, VAL_COLOR = OKABE_ITO["blue"], OKABE_ITO["vermillion"]
BAND_COLOR = (0.5, 0.5, 0.5, 0.3)
X_LABEL, UNIT = "completed optimizer steps", "nats per token"
Y_LABEL = f"loss ({UNIT})"

Points = list[tuple[int, float]]
"""(completed steps, loss in nats per token)"""
Bands = Mapping[str, Sequence[Sequence[Any]]]
"""What a band is called, to the rows of the runs that it spans, such as one run for each seed."""


def loss_points(rows: Iterable[Any]) -> tuple[Points, Points]:
    """The training and the validation losses of a run as points.

    A training loss is measured before its step's update, so that of step s stands at x = s: the first point is
    the untrained model. A validation loss is measured after the update, and stands at s + 1.

    Args:
        rows: StepRecords, rows of ``metrics.jsonl``, or plain training losses, one per step. A loss that
            is missing or not finite has no point.
    """
    train: Points = []
    val: Points = []
    for i, row in enumerate(rows):
        if row is None or isinstance(row, (int, float)):
            step, train_loss, val_loss = i, row, None
        elif isinstance(row, Mapping):
            step, train_loss, val_loss = row["step"], row["train_loss"], row.get("val_loss")
        else:
            step, train_loss, val_loss = row.step, row.train_loss, row.val_loss
        for points, x, loss in ((train, step, train_loss), (val, step + 1, val_loss)):
            if loss is not None and math.isfinite(loss):
                points.append((x, float(loss)))
    return train, val


def rounded(loss: float, digits: int = 2) -> str:
    """A loss to be read: with so many decimal places, or as a power of ten where it has exploded."""
    return f"{loss:.{digits}f}" if abs(loss) < 1000 else f"{loss:.0e}"


def reference_lines(vocab_size: int | None, lines: Mapping[str, float] | None = None) -> dict[str, float]:
    """Label to value: ln V where the vocabulary is known, then ``lines``."""
    if vocab_size is None:
        return dict(lines or {})
    value = math.log(vocab_size)
    return {f"knowing nothing: ln {vocab_size} = {value:.2f}": value} | dict(lines or {})


def band_points(runs: Sequence[Sequence[Any]], of: str = "train_loss") -> tuple[Points, Points]:
    """The lowest and the highest loss of several runs, at the steps that all of them have.

    Args:
        of: ``train_loss`` or ``val_loss``.
    """
    kinds = ("train_loss", "val_loss")
    if of not in kinds:
        raise CourseError(f"A band is of train_loss or of val_loss; this is {of!r}.")
    curves = [dict(loss_points(run)[kinds.index(of)]) for run in runs]
    steps = sorted(set.intersection(*map(set, curves))) if curves else []
    lowest = [(step, min(curve[step] for curve in curves)) for step in steps]
    return lowest, [(step, max(curve[step] for curve in curves)) for step in steps]


def highest(points: Iterable[Points], lines: Mapping[str, float]) -> float:
    """Where the loss axis should end: above every line; a loss beyond twice that runs out of the picture."""
    worst = max((loss for row in points for _, loss in row), default=0.0)
    top = max(lines.values(), default=0.0)
    if top <= 0:
        return 1.05 * worst or 1.0
    return max(1.1 * top, min(1.05 * worst, 2.2 * top))


def loss_curve(
    rows: Sequence[Any] | Mapping[str, Sequence[Any]],
    vocab_size: int | None = None,
    title: str = "",
    lines: Mapping[str, float] | None = None,
    log: bool = False,
    bands: Bands | None = None,
    bands_of: str = "train_loss",
    unit: str = UNIT,
) -> Picture:
    """The loss of one run, or of several by name, against completed steps.

    Training loss is a thin line, validation loss is dots; a dashed line stands at ln V, the loss of
    knowing nothing. A band is a gray strip behind them.

    Args:
        rows: see `loss_points`; or a dict from a run's name to its rows.
        vocab_size: V, for the line at ln V.
        lines: further horizontal lines, label to value.
        log: whether the loss axis is logarithmic; losses of zero and less then have no place.
        bands: what other runs came to, by name: a strip from their lowest to their highest ``bands_of``.
        bands_of: ``train_loss`` or ``val_loss``.
        unit: of the loss.
    """
    runs = {str(name): loss_points(run) for name, run in _named(rows).items()}
    marks = reference_lines(vocab_size, lines)
    strips = {label: band_points(several, bands_of) for label, several in (bands or {}).items()}
    figure = Picture(figsize=(7, 3.6), facecolor="none", layout="constrained")
    figure.alt = alt_text(rows, vocab_size, title, lines, bands, bands_of, unit)
    figure.caption = f"{title or 'A loss curve'}: loss ({unit}) against {X_LABEL}"
    axes = figure.add_subplot(facecolor="none", xlabel=X_LABEL, ylabel=f"loss ({unit})", title=title)
    for label, (low, high) in strips.items():
        axes.fill_between(*_columns(low), _columns(high)[1], color=BAND_COLOR, linewidth=2, label=label)
    for (name, (train, val)), color in zip(runs.items(), itertools.cycle(RUN_COLORS)):
        alone = len(runs) == 1
        _draw_run(axes, name, train, val, color, VAL_COLOR if alone else color)
    _draw_lines(axes, marks)
    if log:
        axes.set_yscale("log", nonpositive="mask")
    else:
        curves = [*runs.values(), *strips.values()]
        axes.set_ylim(0, highest([points for pair in curves for points in pair], marks))
    axes.margins(x=0.02)
    _tidy(axes, with_legend=bool(axes.get_legend_handles_labels()[0]))
    return figure


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    title: str = "",
    lines: Mapping[str, float] | None = None,
    log: str = "",
    dots: bool = False,
) -> Picture:
    """Anything against anything, by name, for curves other than a loss against steps.

    Args:
        series: what a curve is called, to its x and its y.
        lines: horizontal lines, label to value.
        log: which axes are logarithmic: ``"x"``, ``"y"`` or ``"xy"``.
        dots: whether to draw single points in place of a line.
    """
    figure = Picture(figsize=(7, 3), facecolor="none", layout="constrained")
    figure.caption = f"{title or 'A curve'}: {y_label} against {x_label}"
    figure.alt = f"{figure.caption}. " + " ".join(
        f"{name} goes from {ys[0]:.2g} to {ys[-1]:.2g}." for name, (_, ys) in series.items()
    )
    scales = {f"{axis}scale": "log" for axis in log}
    axes = figure.add_subplot(facecolor="none", xlabel=x_label, ylabel=y_label, title=title, **scales)
    for (name, (xs, ys)), color, marker in zip(series.items(), RUN_COLORS, "o^sDvP"):
        look = dict(marker=marker, markersize=4, linestyle="none") if dots else {}
        axes.plot(xs, ys, color=color, label=name, **look)
    _draw_lines(axes, lines or {})
    _tidy(axes, with_legend=len(series) > 1)
    return figure


def _tidy(axes: Axes, with_legend: bool) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if with_legend:
        axes.legend(frameon=False, fontsize=9)


def _draw_lines(axes: Axes, marks: Mapping[str, float]) -> None:
    """Dashed lines with their names, where a curve that falls from left to right leaves room.

    The name of a high line stands over its right end. The names of low ones, such as two floors, interrupt
    their lines, in turn at the left end and at the right, so that they cover neither one another nor the curve.
    The gap in a line is as wide as its name about is.
    """
    width = 0.77 * 72 * axes.get_figure().get_size_inches()[0]  # of the axes, in points, at least
    top = max(marks.values(), default=0.0)
    low = sorted((value for value in marks.values() if value < top / 2), reverse=True)
    for label, value in marks.items():
        at_left = value in low and low.index(value) % 2 == 0
        gap = min(1.0, (4.6 * len(label) + 12) / width) if value in low else 0.0
        ends = (gap, 1.0) if at_left else (0.0, 1.0 - gap)
        axes.axhline(value, *ends, color=INK, linestyle="--", linewidth=1.0)
        axes.annotate(
            label, (0 if at_left else 1, value), xycoords=("axes fraction", "data"), textcoords="offset points",
            xytext=(4 if at_left else -4, 0 if value in low else 4), ha="left" if at_left else "right",
            va="center_baseline" if value in low else "bottom", fontsize=9, color=INK,
        )  # fmt: skip


def _draw_run(axes: Axes, name: str, train: Points, val: Points, color: str, val_color: str) -> None:
    """Training as a thin line; validation, where it was measured, as dots."""
    label = name if name and not val else f"{name}: training" if name else "training"
    axes.plot(*_columns(train), color=color, linewidth=1.0, label=label)
    if val:
        dots = dict(linestyle="none", marker="o", markersize=6)
        axes.plot(*_columns(val), color=val_color, label=f"{name}: validation" if name else "validation", **dots)


def alt_text(
    rows: Sequence[Any] | Mapping[str, Sequence[Any]],
    vocab_size: int | None = None,
    title: str = "",
    lines: Mapping[str, float] | None = None,
    bands: Bands | None = None,
    bands_of: str = "train_loss",
    unit: str = UNIT,
) -> str:
    """What `loss_curve` shows, in words."""
    sentences = [f"{title or 'A loss curve'}: loss in {unit} against completed optimizer steps."]
    for name, run in _named(rows).items():
        train, val = loss_points(run)
        who = f"{name}: training" if name else "Training"
        if not train:
            sentences.append(f"{who} has no point yet.")
            continue
        sentences.append(
            f"{who} loss goes from {rounded(train[0][1], 1)} to {rounded(train[-1][1], 1)} in {train[-1][0] + 1} steps"
            + (f"; validation loss ends at {rounded(val[-1][1], 1)}." if val else ".")
        )
    for label, several in (bands or {}).items():
        low, high = band_points(several, bands_of)
        if low:
            ends = [f"{rounded(low[i][1], 1)} to {rounded(high[i][1], 1)}" for i in (0, -1)]
            sentences.append(f"A gray band, {label}, spans {ends[0]} at first and {ends[1]} in the end.")
    marks = reference_lines(vocab_size, lines)
    sentences += [f"A dashed line marks {_with_value(label, value)}." for label, value in marks.items()]
    return " ".join(sentences)


def _named(rows: Sequence[Any] | Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    return rows if isinstance(rows, Mapping) else {"": rows}


def _columns(points: Points) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _with_value(label: str, value: float) -> str:
    return label if f"{value:.2f}" in label else f"{label} ({value:.2f})"
