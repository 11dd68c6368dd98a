"""What is drawn: ten kinds of sprite, each from a few parameters that make its shape.

The letters are those of `canvas`. Each drawing shows the body's material and the accent's, so that no two palettes can
make equal pictures.
"""

from collections.abc import Callable

from course_lib.corpora.sprites.canvas import EMPTY, Canvas, disc

Options = dict[str, tuple[int | str, ...]]
Draw = Callable[..., Canvas]

KINDS: dict[str, tuple[Draw, Options]] = {}
"""By name: what draws a sprite of that kind, and the values that each parameter may take."""


def kind(**options: tuple[int | str, ...]) -> Callable[[Draw], Draw]:
    """Enters a drawing function into `KINDS` under its own name."""

    def add(draw: Draw) -> Draw:
        KINDS[draw.__name__] = draw, options
        return draw

    return add


def eyes(canvas: Canvas, y: int, apart: int, look: str) -> None:
    """Two eyes around the middle, ``apart`` cells between them."""
    for x in (-apart // 2 - 1, apart - apart // 2):
        if look == "tall":
            canvas.stamp(x, y, ["k", "k"])
        elif look == "dots":
            canvas.put(x, y + 1, "k")
        else:  # wide
            canvas.stamp(x - (x < 0), y, ["ww", "wk"])


@kind(head=("hair", "cap", "helmet", "hood"), width=(4, 6), legs=(2, 3), hands=("empty", "shield", "wave"))
def hero(head: str, width: int, legs: int, hands: str) -> Canvas:
    """A little person."""
    c, w = Canvas(), width
    c.box(-w // 2, -2, w, 4, "s")  # a face
    c.put(-1, 0, "k")
    c.put(1, 0, "k")
    c.rows(-3, [w], "a")
    if head == "hair":
        c.rows(-4, [w + 2], "a")
        c.rows(-3, [w + 2], "a")
        c.box(-w // 2 - 1, -2, 1, 2, "a")
        c.put(w // 2, -2, "a")
    elif head == "cap":
        c.rows(-4, [w - 2, w], "a")
        c.box(-w // 2, -2, w + 2, 1, "a")
    elif head == "helmet":
        c.rows(-4, [w, w + 2, w + 2], "a")
        c.box(-w // 2 - 1, -1, 1, 2, "a")
        c.box(w // 2, -1, 1, 2, "a")
        c.box(-1, -6, 2, 2, "b")
    else:
        c.rows(-5, [2, w, w + 2, w + 2], "a")
        c.box(-w // 2 - 1, -1, 1, 3, "a")
        c.box(w // 2, -1, 1, 3, "a")
    c.rows(2, [w, w + 2, w], "b")
    c.rows(4, [w], "a")  # a belt
    for x in (-w // 2, w // 2 - 2):
        c.box(x, 5, 2, legs - 1, "b")
    c.put(-w // 2 - 1, 3, "s")
    c.put(w // 2, 3, "s")
    if hands == "shield":
        c.stamp(w // 2, 2, ["aaa", "awa", "aaa", " a "])
    elif hands == "wave":
        c.stamp(w // 2, 0, [" s", " b", "b "])
    return c


@kind(width=(8, 10), height=(9, 11), look=("tall", "wide", "dots"), extra=("scarf", "tongue", "cap"))
def ghost(width: int, height: int, look: str, extra: str) -> Canvas:
    """It hovers, and its hem is in waves."""
    c, w = Canvas(), width
    c.rows(0, [w - 4, w - 2, *[w] * (height - 3)], "b")
    for x in range(w):  # the hem
        if x % 4 in (0, 1) or x == w - 1:
            c.put(x - w // 2, height - 1, "b")
    eyes(c, 3, 2, look)
    if extra == "scarf":
        c.rows(6, [w], "a")
        c.box(w // 2 - 3, 7, 2, 2, "a")
    elif extra == "tongue":
        c.stamp(-2, 6, ["kkkk", " aa "])
    else:
        c.rows(-3, [2, 2, 4], "a")
        c.rows(6, [2], "k")
    return c


@kind(width=(9, 11), height=(6, 7, 8), look=("tall", "wide", "dots"), extra=("leaf", "flower", "tongue"))
def slime(width: int, height: int, look: str, extra: str) -> Canvas:
    """A drop with a face."""
    c, w = Canvas(), width
    c.rows(0, [w - 4, w - 2, *[w] * (height - 3), w + 2], "b")
    c.put(-w // 2 + 2, 1, "w")
    eyes(c, height - 5, 3, look)
    c.put(0, height - 3, "k")
    if extra == "leaf":
        c.stamp(0, -3, ["  aa", " aaa", "a"])
    elif extra == "flower":
        c.stamp(-1, -3, [" a ", "awa", " a "])
    else:
        c.stamp(-1, height - 3, ["kkk", " a "])
    return c


@kind(width=(9, 11, 13), height=(4, 5), dots=("three", "two", "band"), stem=("short", "long"), face=("yes", "no"))
def mushroom(width: int, height: int, dots: str, stem: str, face: str) -> Canvas:
    """A cap on a stem."""
    c, w = Canvas(), width
    c.rows(height, [max(5, w - 6)] * (4 if stem == "long" else 3), "s")
    c.rows(0, [w - 6, w - 2, *[w] * (height - 3), w - 2], "b")
    if dots == "band":
        c.rows(height - 2, [w], "a")
    else:
        c.stamp(-1, 0, [" a ", "aaa", " a "])
        for x in (-w // 2 + 1, w // 2 - 1):
            c.stamp(x, height - 3, [" a" if x < 0 else "a", "aa"] if dots == "three" else ["", "aa"])
    if face == "yes":
        c.put(-1, height + 1, "k")
        c.put(1, height + 1, "k")
    return c


@kind(width=(7, 9, 11), tall=(0, 1, 2), extra=("core", "band", "wings", "crack"))
def heart(width: int, tall: int, extra: str) -> Canvas:
    """Two lobes and a point."""
    c, w, lobe = Canvas(), width, width // 2
    for x in (-lobe, 1):  # two lobes
        c.box(x + 1, 0, lobe - 2, 1, "b")
        c.box(x, 1, lobe, 1, "b")
    c.rows(2, [*[w] * (w // 4 + tall - 1), *range(w - 2, 0, -2)], "b")
    c.put(1 - lobe, 1, "w")
    if extra == "core":
        c.rows(3, [3, 3, 1], "a")
    elif extra == "band":
        c.rows(2, [w, w - 2 * (w == 7 and not tall)], "a")
    elif extra == "wings":
        c.stamp(-lobe - 1, 1, ["a", "aa", " a"])
        c.stamp(lobe, 1, [" a", "aa", "a "])
    else:
        c.stamp(-1, 2, [" a", "a", " a", "  a", " a"][: 2 + w // 4])
    return c


@kind(flask=("round", "cone", "square"), size=(8, 10), neck=(2, 3), level=("low", "high"), label=("none", "star"))
def potion(flask: str, size: int, neck: int, level: str, label: str) -> Canvas:
    """A flask with a cork, filled to a level."""
    c, w = Canvas(), size
    if flask == "round":
        widths = list(disc(w, w - 1))
    elif flask == "cone":
        widths = [*range(4, w, 2), w, w, w][: w - 3] if w > 8 else [4, 6, 6, 8, 8, 8]
    else:
        widths = [w - 2, *[w - 2] * (w - 4), w - 2]
    full = len(widths) - (2 if level == "high" else len(widths) // 2)
    c.rows(0, widths, "g")
    c.rows(len(widths) - full, widths[-full:], "b")
    c.rows(-neck, [2] * neck, "g")
    c.rows(-neck - 2, [4, 2], "a")
    c.put(-w // 4, len(widths) - full + 1, "w")
    c.put(1, len(widths) - full + 1, "l")
    if label == "star":
        c.stamp(-1, len(widths) - 3, ["aa", "aa"])
    return c


@kind(width=(6, 8, 10, 12), height=(10, 12), sign=("bar", "cross", "square", "dot"))
def coin(width: int, height: int, sign: str) -> Canvas:
    """It turns: a narrow one shows its edge."""
    c, w, y = Canvas(), width, height // 2
    if w < 12:  # it turns: its edge is seen
        c.rows(0, disc(w, height), "D", x=2)
    c.rows(0, disc(w, height), "b")
    if sign == "bar":
        c.rows(y - 3, [2] * 6, "a")
    elif sign == "cross":
        c.rows(y - 2, [2, 4, 4, 2], "a")
    elif sign == "square":
        c.rows(y - 2, [4] * 4, "a")
        c.rows(y - 1, [2] * 2, "b")
    else:
        c.rows(y - 1, [2, 2], "a")
    return c


@kind(width=(9, 11, 13), height=(3, 4, 5), points=(3, 5), gem=("row", "one", "tips"))
def crown(width: int, height: int, points: int, gem: str) -> Canvas:
    """A band with points."""
    c, w, h = Canvas(), width, height
    c.rows(h, [w] * 3, "b")
    for place in (round(i * (w - 1) / (points - 1)) - w // 2 for i in range(points)):
        for y in range(h):
            left, right = max(-w // 2 + 1, place - y), min(w // 2, place + y)
            c.box(left, y, right - left + 1, 1, "b")
        if gem == "tips":
            c.box(place, -1, 1, 2, "a")
    if gem == "row":
        for x in range(-w // 2 + 2, w // 2, 2):
            c.put(x, h + 1, "a")
    elif gem == "one":
        c.rows(h - 1, [1, 3, 1], "a")
    else:
        c.rows(h + 1, [w - 2], "a")
    return c


def stand(canvas: Canvas, how: str) -> Canvas:
    """An upright thing as it is, lying, or leaning by 45 degrees."""
    if how == "upright":
        return canvas
    if how == "lying":
        places = {(x, y): [(y, x)] for x, y in canvas.cells}
    else:  # turned cells touch at their corners only: each gets a neighbor
        places = {(x, y): [(x - y, x + y), (x - y + 1, x + y)] for x, y in sorted(canvas.cells)}
    other = Canvas()
    for place, others in places.items():
        for x, y in others:
            other.put(x, y, canvas[place])
    return other


@kind(bow=("round", "square", "diamond"), length=(5, 6, 7), teeth=("two", "three", "block"), how=("upright", "lying"))
def key(bow: str, length: int, teeth: str, how: str) -> Canvas:
    """A bow, a shaft and teeth."""
    c = Canvas()
    if bow == "round":
        c.rows(-6, [3, 5, 5, 5, 3], "b")
        c.rows(-5, [1, 1, 1], EMPTY)
    elif bow == "square":
        c.rows(-6, [5] * 5, "b")
        c.rows(-5, [3, 1, 1], EMPTY)
    else:
        c.rows(-7, [1, 3, 5, 7, 5, 3], "b")
        c.rows(-5, [1, 3, 1], EMPTY)
    c.rows(-1, [3], "a")
    c.rows(0, [1] * length, "b")
    for j in {"two": (1, 3), "three": (0, 2, 4), "block": (1, 2)}[teeth]:
        c.box(1, length - 1 - j, 2 + (j == 1), 1, "b")
    return stand(c, how)


@kind(blade=(2, 3), length=(6, 7, 8), guard=(5, 7), how=("upright", "lying", "leaning"), knob=("yes", "no"))
def sword(blade: int, length: int, guard: int, how: str, knob: str) -> Canvas:
    """A blade, a guard and a grip."""
    c = Canvas()
    if how == "leaning":  # its cells are farther apart
        blade, guard = blade - 1, guard - 2
    tip = 2 - blade % 2
    c.rows(-length, [tip], "b")
    c.rows(-length + 1, [blade] * (length - 1), "b")
    c.rows(0, [guard + 1 - blade % 2], "a")
    c.rows(1, [tip] * 2, "a")
    if knob == "yes":
        c.rows(3, [tip], "b")
    return stand(c, how)
