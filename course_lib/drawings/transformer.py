"""The diagrams of chapter 03: a transformer's boxes and arrows, as SVG.

Pure strings: no torch, no matplotlib. A diagram has no background, so it stands on a light page and on a dark one:
every word is dark on a light box of its own, and lines have a gray that shows on both.
"""

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

BLUE, ORANGE, GREEN, GRAY = "#CFE8F7", "#FBE3B5", "#CDEBDD", "#E6E6E6"
INK, LINE = "#1A1A1A", "#808080"
FONT_SIZE, LINE_HEIGHT = 13, 17
LETTER = 0.55 * FONT_SIZE
"""How wide a letter is at most, on average; with the usual fonts it is less."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A filled rectangle with one line of words or several."""

    x: float
    y: float
    width: float
    height: float
    words: str
    fill: str = GRAY

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y + self.height

    def svg(self) -> Iterator[str]:
        rectangle = f'x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" rx="4"'
        yield f'<rect class="box" {rectangle} fill="{self.fill}" stroke="{LINE}"/>'
        lines = self.words.splitlines()
        middle, first = self.x + self.width / 2, self.y + self.height / 2 - (len(lines) - 1) * LINE_HEIGHT / 2
        for number, line in enumerate(lines):
            y = first + number * LINE_HEIGHT
            yield f'<text x="{middle:g}" y="{y:g}" dominant-baseline="central">{escape(line)}</text>'


@dataclass(frozen=True)
class Diagram:
    """Boxes and arrows; notebooks show it as a picture, with ``alt`` for those who do not see it.

    ``frames`` are outlines around several boxes; an arrow is a line through its points, with a head at the last one.
    """

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[tuple[Point, ...], ...]
    alt: str
    caption: str
    frames: tuple[Box, ...] = ()

    @property
    def svg(self) -> str:
        """The whole drawing as one well-formed SVG document."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="Helvetica, Arial, Liberation Sans, sans-serif" '
            f'font-size="{FONT_SIZE}" text-anchor="middle" fill="{INK}">'
        )
        tip = (
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker>'
        )
        parts = [head, f"<title>{escape(self.caption)}</title>", f"<defs>{tip}</defs>"]
        for frame in self.frames:
            rectangle = f'x="{frame.x:g}" y="{frame.y:g}" width="{frame.width:g}" height="{frame.height:g}" rx="8"'
            parts.append(f'<rect {rectangle} fill="none" stroke="{LINE}" stroke-dasharray="6 4"/>')
        for arrow in self.arrows:
            points = " ".join(f"{x:g},{y:g}" for x, y in arrow)
            line = f'<polyline points="{points}" fill="none" stroke="{LINE}" stroke-width="2"'
            parts.append(f'{line} marker-end="url(#tip)"/>')
        parts += [line for box in self.boxes for line in box.svg()]
        return "\n".join([*parts, "</svg>"])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """An image inside HTML, which a notebook shows before it is trusted, and the caption as text.

        The class keeps the book's dark theme from putting a filter over it.
        """
        data = base64.b64encode(self.svg.encode()).decode()
        source = f'src="data:image/svg+xml;base64,{data}"'
        image = f'<img class="dark-light" alt="{escape(self.alt)}" width="{self.width}" {source}>'
        return {"text/html": image, "text/plain": self.caption}

    def __repr__(self) -> str:
        return self.caption


def gpt_diagram(T: int, C: int, H: int, L: int, V: int) -> Diagram:
    """A decoder-only transformer from ids to logits, with the shape of what goes along each arrow.

    Args:
        T: tokens in a window. C: numbers for a token. H: heads. L: blocks. V: different tokens.
    """
    stream, wide = 130, 240
    ids = Box(10, 10, wide, 28, f"ids (B, T): T = {T} tokens each")
    embed = Box(10, 66, wide, 44, f"token row + position row\nx: (B, T, C), C = {C}", BLUE)
    norms = [Box(190, y, 110, 44, "norm\n(B, T, C)") for y in (160, 280)]
    attention = Box(
        340, 160, 340, 44, f"attention, {H} heads: (B, T, C)\neach token takes from itself and its past", ORANGE
    )
    mlp = Box(340, 280, 340, 44, f"MLP: C = {C} → 4C = {4 * C} → C\neach token by itself: (B, T, C)", GREEN)
    sums = [Box(stream - 14, y, 28, 28, "+") for y in (220, 340)]
    last = Box(10, 428, wide, 44, "norm\n(B, T, C)")
    head = Box(10, 500, wide, 44, f"output head: C → V = {V}\nlogits: (B, T, V)", BLUE)
    label = Box(516, 364, 164, 28, f"a block; there are {L}")
    arrows = [(ids.bottom, embed.top), (embed.bottom, sums[0].top), (sums[0].bottom, sums[1].top)]
    arrows += [(sums[1].bottom, last.top), (last.bottom, head.top)]
    for norm, part, total in zip(norms, (attention, mlp), sums):
        arrows.append(((stream, norm.left[1]), norm.left))
        arrows.append((norm.right, part.left))
        arrows.append((part.bottom, (part.bottom[0], total.right[1]), total.right))
    alt = (
        f"From top to bottom: ids (B, T) become x, (B, T, C), the stream. In each of {L} blocks two branches leave the "
        f"stream and are added back to it: norm and attention with {H} heads, then norm and MLP from {C} to {4 * C} to "
        f"{C} numbers. A last norm and the output head make logits, (B, T, V), V = {V}."
    )
    boxes = (ids, embed, *norms, attention, mlp, *sums, last, head, label)
    frame = Box(4, 140, 692, 262, "")
    return Diagram(700, 554, boxes, tuple(arrows), alt, "A GPT, with the shapes of what goes through it", (frame,))


def heads_diagram(C: int, H: int) -> Diagram:
    """How C numbers for a token are cut into H heads, each with its own weights, and put side by side again."""
    D, fills = C // H, (BLUE, ORANGE, GREEN, GRAY)
    height = 96 + 56 * H
    middle = 76 + 28 * H
    x = Box(4, middle - 22, 84, 44, "x\n(T, C)")
    qkv = Box(112, middle - 35, 118, 70, "times qkv:\nq, k, v\n(T, C) each", ORANGE)
    titles = [
        Box(262, 6, 138, 44, f"cut C = {C} into\nH = {H} heads"), Box(422, 6, 100, 44, "each its own\nattention"),
        Box(544, 6, 88, 44, "mixes\nof values"), Box(654, 6, 142, 44, "side by side again,\ntimes proj"),
    ]  # fmt: skip
    joined = Box(654, middle - 22, 60, 44, "(T, C)")
    proj = Box(736, middle - 22, 60, 44, "proj", ORANGE)
    boxes, arrows = [x, qkv, *titles, joined, proj], [(x.right, qkv.left), (joined.right, proj.left)]
    for head in range(H):
        y, fill = 68 + 56 * head, fills[head % len(fills)]
        numbers = f"{head * D} to {head * D + D - 1}"
        part = Box(262, y, 138, 44, f"head {head}: q, k, v\nnumbers {numbers}", fill)
        weights, mix = Box(422, y, 100, 44, "weights\n(T, T)", fill), Box(544, y, 88, 44, f"mix\n(T, {D})", fill)
        boxes += [part, weights, mix]
        arrows += [(qkv.right, part.left), (part.right, weights.left), (weights.right, mix.left)]
        arrows.append((mix.right, joined.left))
    alt = (
        f"From left to right: x, (T, C), times qkv gives queries, keys and values, (T, C) each. They are cut into {H} "
        f"heads of {D} numbers for each token. Each head has weights of its own, (T, T), and mixes values, (T, {D}). "
        f"The mixes are put side by side, (T, C), and multiplied by proj."
    )
    return Diagram(800, height, tuple(boxes), tuple(arrows), alt, f"How {C} numbers are cut into {H} heads")


def mask_diagram(scores: Sequence[Sequence[float]]) -> Diagram:
    """From scores, a square table with the row t for what token t looks for, over the causal mask to weights."""
    T, wide, high = len(scores), 54, 30
    masked = [[-math.inf if s > t else score for s, score in enumerate(row)] for t, row in enumerate(scores)]
    weights = []
    for row in masked:
        powers = [math.exp(score - max(row)) for score in row]
        weights.append([power / sum(powers) for power in powers])
    boxes = [Box(4, 94 + high * t, 96, high - 4, f"token {t} looks") for t in range(T)]
    arrows = []
    tables = {"scores": scores, "the future gets −∞": masked, "weights: softmax\nof each row": weights}
    for number, (title, table) in enumerate(tables.items()):
        left = 116 + number * (T * wide + 56)
        boxes.append(Box(left, 6, T * wide - 4, 44, title))
        boxes += [Box(left + wide * s, 60, wide - 4, high - 4, f"at {s}") for s in range(T)]
        for t, row in enumerate(table):
            for s, value in enumerate(row):
                words = "−∞" if value == -math.inf else f"{value:.2f}"
                fill = GRAY if s > t and number else (ORANGE, ORANGE, BLUE)[number]
                boxes.append(Box(left + wide * s, 94 + high * t, wide - 4, high - 4, words, fill))
        if number:
            y = 94 + high * T / 2 - 2
            arrows.append(((left - 50, y), (left - 10, y)))
    alt = (
        f"Three tables of {T} by {T}: the scores; the same with −∞ above the diagonal, where a token would look at a "
        "later one; and the weights, of which each row sums to 1 and all are 0 above the diagonal."
    )
    width = 116 + 3 * T * wide + 2 * 56
    return Diagram(width, 100 + high * T, tuple(boxes), tuple(arrows), alt, "Scores, the causal mask, and weights")
