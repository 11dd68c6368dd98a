"""What there is to see of a race, for ``race.js`` and as a still picture, and what became of each in words."""

from typing import Any

import contourpy  # matplotlib brings it

from course_lib.widgets.style import run_style
from course_lib.widgets.surfaces import NEAR, SURFACES, Path, Setting, height, levels, lowest, lowest_places, race

FLOOR = 1e-8
"""The loss chart ends here: a logarithm has no place for zero."""
DIGITS = 5


def seen(setting: Setting) -> dict[str, Any]:
    """Everything there is to see, as ``race.js`` wants it; no number in it is infinite or NaN."""
    surface, paths, bottom = SURFACES[setting.surface], race(setting), lowest(setting)
    words = {name: outcome(path, setting) for name, path in paths.items()}
    places = lowest_places(setting)
    arrived = {name: path.arrival(places, NEAR * surface.width) for name, path in paths.items()}
    racers = [
        run_style(number)
        | {
            "name": name,
            "points": [_rounded(point) for point in path.points],
            "heights": [max(loss - bottom, FLOOR) for loss in path.losses],
            "words": words[name],
        }
        for number, (name, path) in enumerate(paths.items())
    ]
    first = _first(arrived)
    return {
        "window": list(surface.window),
        "start": list(setting.start),
        "lowest": [list(point) for point in places],
        "others": [list(point) for point in surface.bottoms if point not in places],
        "contours": contours(setting),
        "racers": racers,
        "steps": setting.steps,
        "first": first,
        "alt": _in_words(setting, words, first),
    }


def _rounded(point: tuple[float, float]) -> list[float]:
    return [round(value, DIGITS) for value in point]


def contours(setting: Setting) -> list[list[list[float]]]:
    """Lines of equal loss, each a list of points."""
    x, y, heights = height(setting)
    generator = contourpy.contour_generator(x.numpy(), y.numpy(), heights.numpy())
    found = []
    for level in levels(heights):
        found += [[[round(a, 3), round(b, 3)] for a, b in line.tolist()] for line in generator.lines(level)]
    return found


def outcome(path: Path, setting: Setting) -> str:
    """What became of one optimizer."""
    surface = SURFACES[setting.surface]
    if path.diverged:
        return f"diverged: out of sight after {_steps(len(path.points))}"
    places = {"the lowest place": lowest_places(setting), "another valley's bottom": surface.bottoms}
    for where, bottoms in places.items():
        arrival = path.arrival(bottoms, NEAR * surface.width)
        if arrival is not None:
            return f"at {where} after {_steps(arrival)}" if arrival else f"at {where} from the start"
    return f"still under way after {_steps(len(path.points) - 1)}, at loss {path.losses[-1]:.3g}"


def _first(arrived: dict[str, int | None]) -> str:
    """Who was first at the lowest bottom, in a sentence."""
    times = {name: steps for name, steps in arrived.items() if steps is not None}
    if not times:
        return "None of the four has reached the lowest place."
    best = min(times.values())
    winners = [name for name, steps in times.items() if steps == best]
    if best == 0:
        return "The start is the lowest place."
    who = " and ".join([", ".join(winners[:-1]), winners[-1]]) if len(winners) > 1 else winners[0]
    return f"First at the lowest place: {who}, after {_steps(best)}."


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _in_words(setting: Setting, words: dict[str, str], first: str) -> str:
    form = f", {setting.narrow:g} times as steep across as along" if setting.surface == "ravine" else ""
    turned = f", turned by {setting.turn:g} degrees" if form and setting.turn else ""
    x, y = setting.start
    became = "; ".join(f"{name}: {text}" for name, text in words.items())
    return f"A map of a loss surface: {setting.surface}{form}{turned}. From ({x:.2f}, {y:.2f}): {became}. {first}"


# ---- without a kernel ------------------------------------------------------------------------------------


def draw_map(axes: Any, data: dict[str, Any]) -> None:
    for line in data["contours"]:
        axes.plot(*zip(*line), color="#B0B0B0", linewidth=0.7)
    for racer in data["racers"]:
        axes.plot(*zip(*racer["points"]), color=racer["color"], linewidth=1.4, linestyle=_dash(racer["dash"]))
    axes.plot(*data["start"], "o", color="black", markersize=6)
    axes.annotate("start", data["start"], xytext=(4, 5), textcoords="offset points", fontsize=9)
    for place in data["lowest"]:
        axes.plot(*place, "*", color="black", markersize=11, markeredgecolor="white", zorder=5)
    axes.set(xlim=data["window"][:2], ylim=data["window"][2:], xlabel="weight x", ylabel="weight y")


def draw_losses(axes: Any, data: dict[str, Any]) -> None:
    for racer in data["racers"]:
        axes.plot(racer["heights"], color=racer["color"], linestyle=_dash(racer["dash"]), label=racer["name"])
    axes.set(yscale="log", xlabel="step", ylabel="loss above the lowest", xlim=(0, data["steps"]))
    axes.set_ylim(FLOOR, max(1.0, 3 * max(racer["heights"][0] for racer in data["racers"])))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)


def _dash(pattern: str) -> Any:
    return (0, tuple(float(part) for part in pattern.split())) if pattern else "-"
