"""The 64 colors of all sprites, and which colors a sprite may have together."""

from itertools import product

INKS = ("1a1626", "3a1f3d")
"""Outlines."""
WHITE, BLACK, GLASS = "f7f3e8", "0e0c14", "c3dfe8"
SKINS = ("f3c9a5", "c98d5e", "80502f")
RAMPS = {
    "ruby": ("8f1d33", "d93a4a", "ff8a80"),
    "orange": ("9a4312", "ea7a1f", "ffb45e"),
    "gold": ("a06a10", "efb52a", "ffe88a"),
    "lime": ("4f7a17", "93c832", "d5f07e"),
    "green": ("1a5f38", "35a45a", "8ae09a"),
    "teal": ("0f5c66", "1fa39b", "7fe5d3"),
    "sky": ("1f5f96", "3c9ee0", "9cd8ff"),
    "blue": ("25318a", "4a5fe0", "98a8ff"),
    "violet": ("4d2386", "8a4bd6", "c79cff"),
    "pink": ("8f2470", "e35ab0", "ffa8dc"),
    "brown": ("54301c", "94603a", "cfa074"),
    "silver": ("596273", "a3adbd", "e2e8f0"),
}
"""Materials: in the shade, plain, and in the light."""
GROUNDS = {
    "night": ("232a4d", "2f3866"),
    "cave": ("3b3440", "4c4352"),
    "forest": ("274437", "345a47"),
    "dusk": ("5b3a5e", "744a70"),
    "day": ("a9cfe6", "c4e0f0"),
    "sand": ("dcc79a", "e9dab6"),
    "meadow": ("a5c48d", "bcd6a6"),
    "mist": ("b9b3c9", "cfcadb"),
}
"""What is behind: a color and another shade of it."""

HEX = (*INKS, WHITE, BLACK, GLASS, *SKINS, *sum(RAMPS.values(), ()), *sum(GROUNDS.values(), ()))
PALETTE: tuple[tuple[int, int, int], ...] = tuple((int(h[:2], 16), int(h[2:4], 16), int(h[4:], 16)) for h in HEX)
"""Red, green and blue of each color, 0 to 255; `COLORS` says which name it has."""
NUMBER = {color: number for number, color in enumerate(HEX)}
"""Which place in `PALETTE` a color has."""

PAIRS = tuple(pair for pair in product(range(len(RAMPS)), repeat=2) if pair[0] != pair[1])
"""A sprite's palette: which of `RAMPS` its body has, and which its accent."""


def is_held_out(pair: tuple[int, int]) -> bool:
    """Whether a palette belongs to the held-out part: a fifth of them, in which each color has its share."""
    return sum(pair) % 5 == 0
