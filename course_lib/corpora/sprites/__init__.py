"""Sprites of 16 x 16 pixels, drawn by code: heroes, ghosts, hearts and seven kinds more, labelled, without a download.

A sprite is a shape (what its kind's parameters say), a palette (which colors its body and its accents have) and what is
left to chance: where it stands, what is behind it, whether it is mirrored. A fifth of the shapes and a fifth of the
palettes are held out: who learns from the part ``train`` has seen none of those in the part ``held_out``.
"""

import random
from dataclasses import dataclass
from functools import cache
from itertools import product

from course_lib.corpora.sprites.colors import (
    BLACK,
    GLASS,
    GROUNDS,
    INKS,
    NUMBER,
    PAIRS,
    PALETTE,
    RAMPS,
    SKINS,
    WHITE,
    is_held_out,
)
from course_lib.corpora.sprites.kinds import KINDS as DRAWN
from course_lib.errors import CourseError, nearest, need_whole

__all__ = ["KINDS", "PALETTE", "PARTS", "SIZE", "Sprite", "draw_sprites", "shapes"]

SIZE = 16
"""Pixels in each direction."""
KINDS = tuple(DRAWN)
"""The names of the classes: a label is a place in it."""
PARTS = ("train", "held_out")
BEHIND = ("plain", "floor", "stars", "tiles")
MOST, MOST_PLAIN = 100_000, 10_000
"""So many sprites are drawn at once, and no more: there are at least twice as many."""

_RGB = tuple(map(bytes, PALETTE))
_RAMPS = tuple(RAMPS.values())


@dataclass(frozen=True)
class Sprite:
    """One picture, and what it was drawn from."""

    label: int
    """Which of `KINDS` it is."""
    shape: int
    """Which of the kind's `shapes` it has."""
    palette: tuple[int, int]
    """Which ramps of colors its body and its accents have."""
    colors: bytes
    """A number for each of the 16 x 16 pixels, row by row: which color of `PALETTE` it has."""

    @property
    def kind(self) -> str:
        return KINDS[self.label]

    @property
    def pixels(self) -> bytes:
        """Red, green and blue of each pixel, row by row: 768 bytes."""
        return b"".join([_RGB[color] for color in self.colors])


@cache
def shapes(kind: str) -> tuple[tuple[str, ...], ...]:
    """Every shape of a kind: rows of letters, no larger than 16 x 16, as `canvas` explains them.

    Raises:
        CourseError: for a kind that there is not.
    """
    if kind not in DRAWN:
        raise CourseError(f"There is no kind of sprite {kind!r}: {nearest(kind, KINDS)}")
    draw, options = DRAWN[kind]
    drawn = (draw(**dict(zip(options, values))) for values in product(*options.values()))
    return tuple(canvas.shaded().outlined().cropped() for canvas in drawn)


def draw_sprites(n: int = 10_000, seed: int = 0, part: str = "train", plain: bool = False) -> list[Sprite]:
    """``n`` sprites, no two of them equal, kind by kind: all heroes come first. The same for a seed, on every machine.

    The kinds share them equally; where n is no multiple of 10, the first ones have one more.

    Args:
        part: ``train``, or ``held_out``, whose shapes and palettes ``train`` never has.
        plain: each stands in the middle of one color and is not mirrored: less is left to chance.

    Raises:
        CourseError: for a part that there is not, and for no sprites, or more than `MOST` or `MOST_PLAIN`.
    """
    if part not in PARTS:
        raise CourseError(f"Sprites have the parts train and held_out; there is no {part!r}: {nearest(part, PARTS)}")
    most = MOST_PLAIN if plain else MOST
    if need_whole("n", n, 1) > most:
        raise CourseError(f"At most {most:,} sprites are drawn at once; n is {n:,}. Draw more with another seed.")
    generator = random.Random(f"{part} {seed}")
    held_out = part == "held_out"
    palettes = [pair for pair in PAIRS if is_held_out(pair) == held_out]
    drawn = list[Sprite]()
    for label, kind in enumerate(KINDS):
        known, wanted = set[bytes](), n // len(KINDS) + (label < n % len(KINDS))
        numbers = _shapes_of(kind, held_out)
        while len(known) < wanted:
            shape, palette = generator.choice(numbers), generator.choice(palettes)
            colors = _colored(shapes(kind)[shape], palette, generator, plain)
            if colors not in known:
                known.add(colors)
                drawn.append(Sprite(label, shape, palette, colors))
    return drawn


@cache
def _shapes_of(kind: str, held_out: bool) -> tuple[int, ...]:
    """The shapes of a part, by their numbers. Each value of a parameter is in both parts, no combination is."""
    places = product(*(range(len(values)) for values in DRAWN[kind][1].values()))
    return tuple(number for number, place in enumerate(places) if (sum(place) % 5 == 0) == held_out)


def _colored(shape: tuple[str, ...], palette: tuple[int, int], generator: random.Random, plain: bool) -> bytes:
    """A shape in the colors of a palette, somewhere near the middle, before something."""
    body, accent = (_RAMPS[number] for number in palette)
    colors = {"#": generator.choice(INKS), "s": generator.choice(SKINS), "w": WHITE, "k": BLACK, "g": GLASS}
    colors |= dict(zip("dbl", body)) | dict(zip("DaL", accent))
    numbers = {letter: NUMBER[color] for letter, color in colors.items()}
    picture = _background(generator, "plain" if plain else generator.choice(BEHIND))
    if not plain and generator.random() < 0.5:
        shape = tuple(row[::-1] for row in shape)
    room = [SIZE - len(shape[0]), SIZE - len(shape)]
    left, top = (space // 2 if plain else _somewhere(space, generator) for space in room)
    for y, row in enumerate(shape, top):
        for place, letter in enumerate(row, SIZE * y + left):
            if letter in numbers:
                picture[place] = numbers[letter]
    return bytes(picture)


def _somewhere(room: int, generator: random.Random) -> int:
    """Where a shape begins that leaves so much room: at most two pixels from the middle."""
    return generator.randint(max(0, room // 2 - 2), min(room, (room + 1) // 2 + 2))


def _background(generator: random.Random, behind: str) -> bytearray:
    """Two shades of one color: one alone, a floor, stars, or tiles."""
    far, near = (NUMBER[color] for color in generator.choice(tuple(GROUNDS.values())))
    picture = bytearray([far]) * SIZE**2
    if behind == "floor":
        start = SIZE * generator.randrange(10, 14)
        picture[start:] = bytes([near]) * (SIZE**2 - start)
    elif behind == "stars":
        for _ in range(10):
            picture[generator.randrange(SIZE**2)] = near
    elif behind == "tiles":
        even, odd = (bytes([first] * 4 + [second] * 4) * 2 for first, second in ((far, near), (near, far)))
        picture[:] = (even * 4 + odd * 4) * 2
    return picture
