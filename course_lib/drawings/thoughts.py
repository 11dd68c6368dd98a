"""A text in the patches of an AGIFORMER, each the stronger in color the farther thinking moved its latent."""

import html
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from course_lib.drawings.learning import BLUE, INK, LINE, MARK, Drawing, text
from course_lib.drawings.signs import spelled

if TYPE_CHECKING:
    from course_lib.models.agiformer.inspecting import Movement

LIGHTEST, DARKEST = 0.05, 0.5
"""How opaque a patch's color is: letters stay legible on all of them."""
CELL, ROW, PAD, MARGIN = 9.0, 46.0, 5.0, 10.0
"""In pixels: the width of a letter, the height of a row, the room left and right of letters, and that around all."""
WIDTH = 900.0


@dataclass(frozen=True)
class Thought:
    """A patch of the text."""

    content: bytes
    moved: float | None
    """How far thinking moved its latent, as a share of its length; None for a last patch that is not whole."""
    words: str
    """All that is known of it."""

    @property
    def shown(self) -> str:
        return spelled(self.content)

    @property
    def number(self) -> str:
        """``moved`` in a few digits."""
        return "–" if self.moved is None else f"{self.moved:.3g}"


def thoughts(content: bytes, patch_size: int, found: "Movement") -> list[Thought]:
    """The patches of a text, of which ``found`` is the movement (of its first row)."""
    total, share, steps = (of[0].tolist() for of in (found.total, found.total_relative, found.steps))
    by_step = found.absolute[:, 0].T.tolist()
    made = []
    for n, (moved, part, took, each) in enumerate(zip(total, share, steps, by_step)):
        piece = content[n * patch_size : (n + 1) * patch_size]
        single = ", ".join(f"{distance:.3g}" for distance in each[:took])
        words = f"{_named(n, piece)}: moved by {moved:.3g}, {part:.3g} of its length, in {_steps(took)}"
        made.append(Thought(piece, part, f"{words} ({single})" if took > 1 else words))
    if rest := content[len(made) * patch_size :]:
        made.append(Thought(rest, None, f"{_named(len(made), rest)}: not whole, so not thought about yet"))
    return made


def _named(number: int, piece: bytes) -> str:
    return f"patch {number}, bytes {piece.hex(' ').upper()}"


def _steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"


def shades(found: Sequence[Thought]) -> list[float | None]:
    """How opaque each patch's color is, from `LIGHTEST` to `DARKEST`; None for no number, NaN for no finite one."""
    finite = [one.moved for one in found if one.moved is not None and math.isfinite(one.moved)]
    low, span = min(finite, default=0.0), max(finite, default=0.0) - min(finite, default=0.0)

    def shade(moved: float | None) -> float | None:
        if moved is None or not math.isfinite(moved):
            return None if moved is None else math.nan
        return LIGHTEST + (DARKEST - LIGHTEST) * ((moved - low) / span if span else 0.0)

    return [shade(one.moved) for one in found]


def legend(found: Sequence[Thought]) -> str:
    """What the shades mean, with their ends."""
    moved = [one for one in found if one.moved is not None]
    finite = sorted((one for one in moved if math.isfinite(one.moved or 0)), key=lambda one: one.moved or 0)
    ends = f", from {finite[0].number} to {finite[-1].number}" if finite else ""
    words = f"Under each patch: by what share of its length thinking moves its latent{ends}; the bluest moved farthest."
    return words + (" Orange: no finite number." if len(finite) < len(moved) else "")


def thought_drawing(found: Sequence[Thought]) -> Drawing:
    """The patches in rows, as SVG on white, for any page; each tells its numbers when one points at it."""
    parts, x, y, widest = [], MARGIN, MARGIN, WIDTH
    for one, shade in zip(found, shades(found)):
        width = max(_cells(one.shown) * CELL, len(one.number) * 7.0) + 2 * PAD
        if x + width > WIDTH - MARGIN and x > MARGIN:
            x, y = MARGIN, y + ROW
        parts.append(_box_svg(one, shade, x, y, width))
        x += width + 3
        widest = max(widest, x + MARGIN)
    words = legend(found)
    parts.append(text(MARGIN, y + ROW + 10, words, 13, "start"))
    told = "".join(one.shown for one in found)
    return Drawing(widest, y + ROW + 24, parts, f"A text of {len(found)} patches: {told}. {words}")


def _box_svg(one: Thought, shade: float | None, x: float, y: float, width: float) -> str:
    color = MARK if shade is not None and math.isnan(shade) else BLUE
    opacity = 0.0 if shade is None else DARKEST if math.isnan(shade) else shade
    place = f"x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{ROW - 6:.1f}' rx='4'"
    dashes = " stroke-dasharray='4 3'" if shade is None else ""
    box = f"<rect {place} fill='{color}' fill-opacity='{opacity:.3f}' stroke='{LINE}'{dashes}/>"
    middle = f"x='{x + width / 2:.1f}' text-anchor='middle' fill='{INK}'"
    letters = f"<text {middle} y='{y + 18:.1f}' font-family='monospace' font-size='15'>{html.escape(one.shown)}</text>"
    number = f"<text {middle} y='{y + 34:.1f}' font-family='sans-serif' font-size='11'>{one.number}</text>"
    return f"<g><title>{html.escape(one.words)}</title>{box}{letters}{number}</g>"


def _cells(words: str) -> int:
    """How many letters wide: those of China and Japan take two places, marks on letters none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    return max(1, len(words) + wide - sum(unicodedata.category(letter).startswith("M") for letter in words))
