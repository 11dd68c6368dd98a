"""How a sweep looks: the valley as a live chart and as a still picture, and what is to be learned from it in words."""

import html
import math
from collections.abc import Sequence
from typing import Any

import anywidget
import traitlets

from course_lib import plots
from course_lib.plots import OKABE_ITO, rounded
from course_lib.recipes.sweeping import CLOSE, Point, Valley
from course_lib.widgets.page import script

NAMES = {"max_lr": "learning rate", "block_size": "block_size"}
"""What a setting is called in words."""
AXES = {"max_lr": "learning rate, the schedule's peak (log axis)", "block_size": "block_size, in tokens (log axis)"}
Y_LABEL = "validation loss (nats per token)"
HINT = (
    "Point at a value, or use the arrow keys, to read what its run came to. The green band is as good as the lowest "
    "loss: {} cannot tell what lies in it from that."
)


class SweepChart(anywidget.AnyWidget):
    """An SVG chart of the last validation loss against a setting; ``data`` is all there is to see."""

    _esm = script("sweep", __package__)
    data = traitlets.Dict().tag(sync=True)

    def __repr__(self) -> str:
        return "A chart of loss against a setting: run this cell to see it."


def seen(
    valley: Valley, values: Sequence[float], max_steps: int, heading: str, status: str, is_over: bool = True
) -> dict[str, Any]:
    """Everything there is to see, as ``sweep.js`` wants it; no number in it is infinite or NaN.

    Args:
        values: all that are tried; those without a point yet keep their place on the axis.
        max_steps: how long a run is.
        heading: whose losses these are.
        status: what goes on.
        is_over: whether no point is to come: before that the lowest is called no more than that.
    """
    by_value = {point.value: point for point in valley.points}
    good = valley.good
    low, high = _range(valley)
    return {
        "points": [_drawn(value, by_value.get(value), valley, max_steps) for value in values],
        "good": values.index(good.value) if good else -1,
        "good_word": "lowest loss " if is_over else "lowest so far: ",
        "limit": valley.limit,
        "nothing": valley.knowing_nothing,
        "nothing_label": f"knowing nothing: {valley.knowing_nothing:.2f}",
        "floor_label": _floor_label(valley),
        "y_min": low,
        "y_max": high,
        "y_ticks": _ticks(low, high),
        "x_label": AXES[valley.setting],
        "y_label": Y_LABEL,
        "color": OKABE_ITO["blue"],
        "good_color": OKABE_ITO["green"],
        "heading": heading,
        "status": status,
        "hint": HINT.format(_the_seeds(good)) if good else "",
        "alt": in_words(valley, max_steps),
    }


def _the_seeds(point: Point) -> str:
    return f"{len(point.losses)} seeds" if len(point.losses) > 1 else "one seed"


def _floor_label(valley: Valley) -> str:
    """What the dashed line is, with its value where it is the same for all."""
    floors = {f"{point.floor:.2f}" for point in valley.points if point.floor is not None}
    value = f" {min(floors)}" if len(floors) == 1 else ""
    return f"floor{value}: a reader who sees only block_size letters can do no better"


def _drawn(value: float, point: Point | None, valley: Valley, max_steps: int) -> dict[str, Any]:
    """One value of the axis: its point, or nothing yet."""
    drawn: dict[str, Any] = {"value": value, "label": f"{value:g}", "loss": None, "low": None, "high": None}
    if point is None:
        return drawn | {"floor": None, "diverged": False, "words": f"{value:g}: not run yet."}
    losses = {} if point.loss is None else {
        "loss": point.loss, "low": min(point.finite), "high": max(point.finite), "loss_label": rounded(point.loss),
    }  # fmt: skip
    above = point.above_floor
    if losses and above is not None and valley.setting == "block_size":
        losses["loss_label"] = f"{losses['loss_label']} (+{above:.2f})"
    words = f"{NAMES[valley.setting]} {value:g}: {outcome(point, valley, max_steps)}"
    return drawn | losses | {"floor": point.floor, "diverged": valley.diverged(point), "words": words}


def _range(valley: Valley) -> tuple[float, float]:
    """The ends of the loss axis: around what did not diverge and its floors; ln V where losses come near it."""
    sound = [loss for point in valley.points if not valley.diverged(point) for loss in point.finite]
    if not sound:
        return 0.0, 1.15 * valley.knowing_nothing
    low = min([*sound, *(point.floor for point in valley.points if point.floor is not None)])
    high = max(sound)
    if high > 0.7 * valley.knowing_nothing:
        high = valley.knowing_nothing
    room = 0.16 * (high - low) or 0.1 * high
    return low - room, high + 1.6 * room


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two ends, about ``count`` of them."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


# ---- in words ----------------------------------------------------------------------------------------


def outcome(point: Point, valley: Valley, max_steps: int) -> str:
    """What became of the runs with one value."""
    read = f"{max_steps * point.tokens_per_step:,} tokens read"
    if point.loss is None:
        at = min(steps for steps, loss in zip(point.steps, point.losses, strict=True) if loss is None)
        return f"diverged: the loss ceased to be finite after {at} steps."
    spread = ""
    if len(point.losses) > 1:
        spread = f" ({min(point.finite):.3f} to {max(point.finite):.3f} over {len(point.losses)} seeds)"
    if valley.diverged(point):
        nothing = f"worse than knowing nothing ({valley.knowing_nothing:.2f})"
        return f"diverged: it ended at {rounded(point.loss)}{spread}, {nothing}."
    floor = "" if point.above_floor is None else f", {point.above_floor:.3f} above the floor of {point.floor:.3f}"
    return f"{point.loss:.3f} nats per token{spread} after {max_steps} steps, {read}{floor}."


def lessons(valley: Valley) -> list[str]:
    """What is to be learned, in sentences; none before two runs are over."""
    name, good = NAMES[valley.setting], valley.good
    if len(valley.points) < 2:
        return []
    if good is None:
        return [f"All of them diverged. Try a lower {name}." if valley.setting == "max_lr" else "All of them diverged."]
    rule = "the lowest validation loss of the runs that did not diverge"
    if valley.open_end or valley.setting != "max_lr":  # nobody has seen where the valley ends, or there is none
        found = [f"Lowest here: {name} {good.value:g}, {rule}."]
    else:
        found = [f"Good here: {name} {good.value:g}, by this rule: {rule}."]
    if valley.as_good:
        others = " and ".join(f"{point.value:g}" for point in valley.as_good)
        if len(good.losses) > 1:
            spread = f"Its {len(good.losses)} seeds span {min(good.finite):.3f} to {max(good.finite):.3f}. Within that"
            found.append(f"{spread}, and so as good as these seeds can tell: {others}.")
        else:
            found.append(f"Within {CLOSE:.0%} of it, and so as good as one seed can tell: {others}.")
    if (chosen := valley.chosen) is not None and chosen is not good:
        found.append(f"Among equals take the lower rate, {chosen.value:g}: a longer run wants less.")
    if valley.open_end:
        end = valley.open_end
        found.append(f"It is the {end}est value tried: the valley may go on there. Try further, with {end}er values.")
    if valley.setting == "max_lr":
        found.append("The best rate of a longer run is often lower, easily by a factor of three.")
    else:
        found += _reading(valley)
    return found


def _reading(valley: Valley) -> list[str]:
    """What equal numbers of steps hide: a longer block reads more, and can know more."""
    first, last = valley.points[0], valley.points[-1]
    times = last.tokens_per_step / first.tokens_per_step
    found = [
        "Losses are per token, so they can be compared. But a longer block reads more tokens per step: at "
        f"{last.value:g} each run read {times:g} times as many as at {first.value:g}, and took longer. A part of the "
        "lead is more reading, not more to look back at."
    ]
    if first.floor is not None and last.floor is not None:
        known = [(p.above_floor, p.value) for p in valley.points if p.above_floor is not None]
        above = ", ".join(f"{loss:.2f} at {value:g}" for loss, value in known)
        found.append(
            f"The floor moves too: {first.floor:.3f} at {first.value:g}, {last.floor:.3f} at {last.value:g}. Who sees "
            f"more of the past can know more of what comes. Above their floors, in brackets, the runs ended: {above}."
        )
    return found


def in_words(valley: Valley, max_steps: int) -> str:
    """The whole picture for those who do not see it."""
    parts = [f"{Y_LABEL} against {AXES[valley.setting]}, each point a run of {max_steps} steps."]
    parts += [f"{point.value:g}: {outcome(point, valley, max_steps)}" for point in valley.points]
    return " ".join([*parts, *lessons(valley)])


def lessons_html(valley: Valley) -> str:
    """`lessons` as a short list."""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in lessons(valley))
    look = "font: 13px/1.5 sans-serif; max-width: 840px; margin: 0; padding-left: 34px"
    return f"<ul style='{look}'>{items}</ul>" if items else ""


# ---- without widgets ---------------------------------------------------------------------------------


def picture(data: dict[str, Any]) -> plots.Picture:
    """The same as a still picture; ``data`` as `seen` makes it."""
    figure = plots.Picture(figsize=(7, 3.6), facecolor="none", layout="constrained")
    figure.alt, figure.caption = data["alt"], f"{data['heading']}: {data['y_label']} against {data['x_label']}"
    axes = figure.add_subplot(
        facecolor="none", xlabel=data["x_label"], ylabel=data["y_label"], title=data["heading"], xscale="log"
    )
    points = data["points"]
    axes.set_xlim(points[0]["value"] / 1.6, points[-1]["value"] * 1.6)
    sound = [point for point in points if point["loss"] is not None and not point["diverged"]]
    xs, ys = [p["value"] for p in sound], [p["loss"] for p in sound]
    bars = [[y - p["low"] for y, p in zip(ys, sound)], [p["high"] - y for y, p in zip(ys, sound)]]
    axes.errorbar(xs, ys, yerr=bars, color=data["color"], marker="o", capsize=3)
    for point in sound:
        place = dict(textcoords="offset points", xytext=(0, 11), ha="center", fontsize=9, color=plots.INK)
        axes.annotate(point["loss_label"], (point["value"], point["high"]), **place)
    for point in points:
        if point["diverged"]:
            top = dict(xycoords=("data", "axes fraction"), ha="center", va="top", color=OKABE_ITO["vermillion"])
            axes.annotate("▲\ndiverged", (point["value"], 0.99), fontsize=9, **top)
    _draw_floor(axes, points)
    if data["good"] >= 0:
        good = points[data["good"]]
        axes.axhspan(good["loss"], data["limit"], color=data["good_color"], alpha=0.16, linewidth=0)
        ring: dict[str, Any] = dict(
            marker="o", markersize=15, markerfacecolor="none", markeredgewidth=2.5, linestyle="none"
        )
        ring |= dict(mec=data["good_color"], label=f"lowest loss, at {good['label']}")
        axes.plot(good["value"], good["loss"], **ring)
    axes.set_xticks([p["value"] for p in points], [p["label"] for p in points])
    axes.minorticks_off()
    axes.set_ylim(data["y_min"], data["y_max"])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    return figure


def _draw_floor(axes: Any, points: Sequence[dict[str, Any]]) -> None:
    """A dashed line; right across where the floor is the same for all: through one point there is no other."""
    look: dict[str, Any] = dict(color=plots.INK, linestyle="--", linewidth=1, label="floor")
    floors = [(point["value"], point["floor"]) for point in points if point["floor"] is not None]
    if len({floor for _, floor in floors}) == 1:
        axes.axhline(floors[0][1], **look)
    elif floors:
        axes.plot(*zip(*floors), **look)
