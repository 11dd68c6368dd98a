"""The drawings of chapter 00, as SVG, with the standard library alone.

Like the figures of `plots` they stand on white, so that they can be read on a dark page too, and no two things
differ by color alone.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.errors import CourseError

INK, LINE, PAPER = "#1A1A1A", "#595959", "#FFFFFF"
FILL, MARK, BAND = "#E6F1F8", "#D55E00", "#D9D9D9"
BLUE = "#0072B2"
FONT = "font-family='sans-serif'"
NODE = (128, 62)
"""Width and height of a node of a graph."""
GAP = (92, 22)


class Drawing:
    """An SVG picture that notebooks show; ``alt`` says in words what is to be seen, and is its plain text."""

    def __init__(self, width: float, height: float, parts: Sequence[str], alt: str) -> None:
        self.alt = alt
        words = html.escape(alt)
        head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' "
        size = f"width='{width:g}' height='{height:g}' style='max-width: 100%; height: auto' role='img'"
        paper = f"<rect width='{width:g}' height='{height:g}' fill='{PAPER}'/>"
        arrow = (
            "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' markerHeight='8' "
            f"orient='auto-start-reverse'><path d='M0 0L8 4L0 8z' fill='{LINE}'/></marker></defs>"
        )
        self.svg = "\n".join([f"{head}{size}>", f"<title>{words}</title>", arrow, paper, *parts, "</svg>"])

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": self.alt}


def text(x: float, y: float, words: str, size: int = 13, anchor: str = "middle", more: str = "") -> str:
    """Words at a place; ``anchor`` is start, middle or end."""
    place = f"x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}'"
    return f"<text {place} {FONT} fill='{INK}' {more}>{html.escape(words)}</text>"


def box(x: float, y: float, width: float, height: float, fill: str = FILL) -> str:
    """A box with round corners."""
    place = f"x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}'"
    return f"<rect {place} rx='7' fill='{fill}' stroke='{LINE}'/>"


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """An arrow from one place to another."""
    ends = f"x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'"
    return f"<line {ends} stroke='{LINE}' stroke-width='1.4' marker-end='url(#tip)'/>"


# ---- a round of steps ---------------------------------------------------------------------------------------


def cycle(steps: Mapping[str, str], back: str) -> Drawing:
    """Steps in a row, each a name and what it does in a few words, and an arrow from the last back to the first.

    Args:
        back: what stands at the arrow that leads back.
    """
    width, height, gap = 126.0, 66.0, 26.0
    parts = []
    for i, (name, words) in enumerate(steps.items()):
        x = 10 + i * (width + gap)
        parts += [box(x, 10, width, height), text(x + width / 2, 36, f"{i + 1}. {name}", 15, more="font-weight='bold'")]
        parts.append(text(x + width / 2, 58, words, 12))
        if i:
            parts.append(arrow(x - gap + 2, 10 + height / 2, x - 2, 10 + height / 2))
    last, first = 10 + (len(steps) - 0.5) * width + (len(steps) - 1) * gap, 10 + width / 2
    path = f"M{last:.1f} {12 + height:.1f}V{34 + height:.1f}H{first:.1f}V{13 + height:.1f}"
    parts.append(f"<path d='{path}' fill='none' stroke='{LINE}' stroke-width='1.4' marker-end='url(#tip)'/>")
    parts.append(text((first + last) / 2, 51 + height, back))
    in_words = ", ".join(f"{i + 1} {name} ({words})" for i, (name, words) in enumerate(steps.items()))
    return Drawing(len(steps) * (width + gap) - gap + 20, 62 + height, parts, f"Steps in a round: {in_words}; {back}.")


# ---- a computation ------------------------------------------------------------------------------------------


def graph(nodes: Mapping[str, Any], gradients: bool = True) -> Drawing:
    """A computation of `Value` objects, from its inputs on the left to its result on the right.

    Each box has the node's name, its value and, on request, its gradient; at an arrow stands the local derivative,
    that is how much the node on the right moves when the one on the left does.

    Args:
        nodes: name to node, inputs before what is computed from them; only arrows between these are drawn.

    Raises:
        CourseError: for a node that comes before one of its children.
    """
    places = _columns(nodes)
    names = {id(node): name for name, node in nodes.items()}
    width, height = NODE
    parts, told = [], []
    for name, node in nodes.items():
        x, y = places[name]
        for child, local in zip(node.children, node.local_grads):
            if id(child) in names:
                cx, cy = places[names[id(child)]]
                x1, y1, x2, y2 = cx + width, cy + height / 2, x - 3, y + height / 2
                parts.append(arrow(x1, y1, x2, y2))
                if gradients:
                    parts.append(text((x1 + x2) / 2, (y1 + y2) / 2 - 6, f"× {local:.3g}", 12))
                told.append(f"{names[id(child)]} leads to {name}" + (f" with {local:.3g}" if gradients else ""))
        parts += [box(x, y, width, height), text(x + width / 2, y + 20, name, 14, more="font-weight='bold'")]
        parts.append(text(x + width / 2, y + 38, f"value {node.data:.4g}", 12))
        if gradients:
            parts.append(text(x + width / 2, y + 54, f"gradient {node.grad:.4g}", 12, more="font-weight='bold'"))
    right = max(x for x, _ in places.values()) + width
    bottom = max(y for _, y in places.values()) + height
    values = ", ".join(
        f"{name} = {node.data:.4g}" + (f" (gradient {node.grad:.4g})" if gradients else "")
        for name, node in nodes.items()
    )
    return Drawing(right + 10, bottom + 10, parts, f"A graph: {values}. {'; '.join(told)}.")


def _columns(nodes: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Where each node stands: as many columns from the left as it is computations away from the inputs."""
    column: dict[int, int] = {}
    for name, node in nodes.items():
        if missing := [child for child in node.children if id(child) not in column and _is_named(child, nodes)]:
            other = next(n for n, value in nodes.items() if value is missing[0])
            raise CourseError(f"{other} should come before {name}, which is computed from it.")
        known = [column[id(child)] for child in node.children if id(child) in column]
        column[id(node)] = 1 + max(known) if known else 0
    rows: dict[int, int] = {}
    places = {}
    tallest = max(list(column.values()).count(c) for c in column.values())
    for name, node in nodes.items():
        c = column[id(node)]
        row = rows.get(c, 0)
        rows[c] = row + 1
        count = list(column.values()).count(c)
        y = 10 + (row + (tallest - count) / 2) * (NODE[1] + GAP[1])
        places[name] = (10 + c * (NODE[0] + GAP[0]), y)
    return places


def _is_named(node: Any, nodes: Mapping[str, Any]) -> bool:
    return any(node is other for other in nodes.values())


# ---- losses -------------------------------------------------------------------------------------------------


def ladder(
    losses: Sequence[float],
    scores: Mapping[int, float],
    bands: Mapping[int, tuple[float, float]],
    knowing_nothing: float,
) -> Drawing:
    """Every step's own loss as a dot, the score on other data as diamonds, and where other seeds' scores lay.

    Args:
        losses: the loss of each step, the first one first.
        scores: after how many steps, to the score there.
        bands: after how many steps, to the lowest and the highest score of other seeds.
        knowing_nothing: the loss of one who gives each token the same probability; a dashed line.
    """
    width, height, left, right, top, bottom = 720.0, 320.0, 52.0, 14.0, 14.0, 44.0
    lowest, highest = math.floor(min(losses)), math.ceil(max(knowing_nothing, *losses))
    n = len(losses)

    def x(step: float) -> float:
        return left + step / n * (width - left - right)

    def y(loss: float) -> float:
        return top + (highest - loss) / (highest - lowest) * (height - top - bottom)

    base, middle = y(lowest), y((lowest + highest) / 2)
    parts = [f"<path d='M{left} {top}V{base:.1f}H{x(n):.1f}' fill='none' stroke='{LINE}'/>"]
    parts += [text(left - 8, y(tick) + 4, str(tick), 12, "end") for tick in range(lowest, highest + 1)]
    parts += [text(x(tick), base + 17, str(tick), 12) for tick in range(0, n + 1, max(1, n // 5))]
    parts.append(text(x(n / 2), height - 8, "completed steps"))
    parts.append(text(14, middle, "loss (nats)", more=f"transform='rotate(-90 14 {middle:.1f})'"))
    for step, loss in enumerate(losses):
        parts.append(f"<circle cx='{x(step):.1f}' cy='{y(loss):.1f}' r='2' fill='{BLUE}' fill-opacity='0.35'/>")
    for step, (low, high) in bands.items():
        parts.append(
            f"<rect x='{x(step) - 13:.1f}' y='{y(high):.1f}' width='26' height='{y(low) - y(high):.1f}' "
            f"fill='{BAND}' stroke='{LINE}' stroke-width='0.8'/>"
        )
    line = f"x1='{left}' x2='{x(n):.1f}' y1='{y(knowing_nothing):.1f}' y2='{y(knowing_nothing):.1f}'"
    parts.append(f"<line {line} stroke='{LINE}' stroke-dasharray='5 4'/>")
    parts.append(text(x(n) - 4, y(knowing_nothing) - 5, f"knowing nothing: {knowing_nothing:.2f}", 12, "end"))
    for step, score in scores.items():
        parts.append(f"<path d='M{x(step):.1f} {y(score) - 5:.1f}l5 5l-5 5l-5 -5z' fill='{MARK}' stroke='{INK}'/>")
    parts += _key(left + 16, height - bottom - 36)
    return Drawing(width, height, parts, _ladder_in_words(losses, scores, knowing_nothing))


def _ladder_in_words(losses: Sequence[float], scores: Mapping[int, float], knowing_nothing: float) -> str:
    ends = [f"{score:.2f} after {step}" for step, score in scores.items()]
    return (
        f"{len(losses)} losses, one for each step, scatter between {min(losses):.1f} and {max(losses):.1f}. The score "
        f"on names that are held out: {', '.join(ends)} steps. Gray boxes show where other seeds' scores lay. A dashed "
        f"line marks {knowing_nothing:.2f}, knowing nothing."
    )


def _key(x: float, y: float) -> list[str]:
    """What the signs of a ladder mean."""
    return [
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='2.5' fill='{BLUE}' fill-opacity='0.6'/>",
        text(x + 12, y + 4, "the loss of one step: one name", 12, "start"),
        f"<path d='M{x:.1f} {y + 12:.1f}l6 6l-6 6l-6 -6z' fill='{MARK}' stroke='{INK}'/>",
        text(x + 12, y + 22, "held-out names, this run; gray: the other seeds", 12, "start"),
    ]
