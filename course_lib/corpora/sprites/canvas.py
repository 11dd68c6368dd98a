"""A small canvas on which the kinds are drawn: materials instead of colors, shaded and outlined by rule.

A drawing is a grid of letters. ``b`` is the body's material and ``a`` the accent's; light from above on the left turns
them into their light and dark shades (``l d``, ``L D``). ``s`` is skin, ``g`` glass, ``w`` white, ``k`` black, ``#``
the outline, and ``.`` nothing.
"""

from collections.abc import Iterable, Iterator

EMPTY, OUTLINE = ".", "#"
SHADES = {"b": ("l", "d"), "a": ("L", "D")}
"""Of a material: where light falls, and where it does not."""


class Canvas:
    """A grid of letters without borders: x to the right, y downwards. What is drawn is cropped in the end."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], str] = {}

    def __getitem__(self, place: tuple[int, int]) -> str:
        return self.cells.get(place, EMPTY)

    def put(self, x: int, y: int, letter: str) -> None:
        if letter == EMPTY:
            self.cells.pop((x, y), None)
        else:
            self.cells[x, y] = letter

    def box(self, x: int, y: int, width: int, height: int, letter: str) -> None:
        """A filled rectangle whose upper left cell is (x, y)."""
        for place in ((x + i, y + j) for j in range(height) for i in range(width)):
            self.put(*place, letter)

    def stamp(self, x: int, y: int, rows: Iterable[str]) -> None:
        """Letters as they are written, the first one at (x, y); a space leaves what is there."""
        for j, row in enumerate(rows):
            for i, letter in enumerate(row):
                if letter != " ":
                    self.put(x + i, y + j, letter)

    def rows(self, y: int, widths: Iterable[int], letter: str, x: int = 0) -> None:
        """Rows one below the other, each so wide, around the column x (even widths reach one cell farther left)."""
        for j, width in enumerate(widths):
            self.box(x - width // 2, y + j, width, 1, letter)

    def shaded(self) -> "Canvas":
        """With light from above on the left: a material's edge is lighter there, and darker on the other side."""
        lit = Canvas()
        for (x, y), letter in self.cells.items():
            if letter in SHADES:
                in_light = EMPTY in (self[x - 1, y], self[x, y - 1])
                in_shade = EMPTY in (self[x + 1, y], self[x, y + 1])
                light, dark = SHADES[letter]
                if in_light != in_shade:  # what is thin has no sides
                    letter = light if in_light else dark
            lit.put(x, y, letter)
        return lit

    def outlined(self) -> "Canvas":
        """With a dark line around everything that is drawn."""
        drawn = Canvas()
        for x, y in self.cells:
            for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                drawn.put(x + i, y + j, OUTLINE)
        drawn.cells |= self.cells
        return drawn

    def cropped(self) -> tuple[str, ...]:
        """The rows of letters, no larger than what is drawn."""
        across, down = ([place[i] for place in self.cells] for i in (0, 1))
        columns = range(min(across), max(across) + 1)
        return tuple("".join(self[x, y] for x in columns) for y in range(min(down), max(down) + 1))


def disc(width: int, height: int) -> Iterator[int]:
    """How wide each row of an ellipse is: whole numbers that are all even, or all odd, as ``width`` is."""
    odd = width % 2
    for row in range(height):
        y = (2 * row + 1) / height - 1  # from -1 to 1
        half = width / 2 * (1 - y * y) ** 0.5
        yield max(2 - odd, 2 * round(half - odd / 2 + 0.01) + odd)
