"""Diagrams: well-formed, with their words in them, and nothing that covers anything else."""

import base64
import itertools
import math
import re
from xml.etree import ElementTree

import pytest

from course_lib.drawings.transformer import INK, LETTER, LINE, Box, Diagram, gpt_diagram, heads_diagram, mask_diagram

SCORES = [[0.71, 0.0, 0.71], [0.71, 0.71, 1.41], [1.41, 0.71, 2.12]]
DIAGRAMS = {
    "the chapter's GPT": gpt_diagram(T=32, C=64, H=4, L=2, V=53),
    "GPT-2": gpt_diagram(T=1024, C=768, H=12, L=12, V=50257),
    "four heads": heads_diagram(C=64, H=4),
    "twelve heads": heads_diagram(C=768, H=12),
    "one head": heads_diagram(C=8, H=1),
    "the mask": mask_diagram(SCORES),
    "a larger mask": mask_diagram([[float(s - t) for s in range(5)] for t in range(5)]),
}
each_diagram = pytest.mark.parametrize("diagram", DIAGRAMS.values(), ids=DIAGRAMS)
SVG = "{http://www.w3.org/2000/svg}"


def rectangles(diagram: Diagram) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of every box, read from what is drawn."""
    found = []
    for node in ElementTree.fromstring(diagram.svg).iter(f"{SVG}rect"):
        if node.get("class") == "box":
            x, y, width, height = (float(node.attrib[name]) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def covered(diagram: Diagram) -> list[tuple]:
    """Pairs of boxes that have an area in common."""
    return [
        (a, b)
        for a, b in itertools.combinations(rectangles(diagram), 2)
        if min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
    ]


def crossings(diagram: Diagram) -> list[tuple]:
    """Arrows that run through the inside of a box: a point of theirs, and the box."""
    found, boxes = [], rectangles(diagram)
    for arrow in diagram.arrows:
        for (x1, y1), (x2, y2) in itertools.pairwise(arrow):
            for share in (i / 200 for i in range(201)):
                x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1)
                inside = [r for r in boxes if r[0] + 0.5 < x < r[2] - 0.5 and r[1] + 0.5 < y < r[3] - 0.5]
                found += [((x, y), one) for one in inside]
    return found


@each_diagram
def test_boxes_do_not_overlap_and_lie_inside_the_picture(diagram):
    assert covered(diagram) == []
    assert len(rectangles(diagram)) == len(diagram.boxes)
    for left, top, right, bottom in rectangles(diagram):
        assert 0 <= left < right <= diagram.width
        assert 0 <= top < bottom <= diagram.height


@each_diagram
def test_words_fit_into_their_boxes(diagram):
    for box in diagram.boxes:
        for line in box.words.splitlines():
            assert len(line) * LETTER <= box.width, (line, box.width)
        assert 17 * len(box.words.splitlines()) <= box.height


@each_diagram
def test_arrows_run_beside_the_boxes(diagram):
    assert crossings(diagram) == []


@each_diagram
def test_every_word_is_in_the_drawing_and_the_ends_of_arrows_touch_it(diagram):
    root = ElementTree.fromstring(diagram.svg)
    drawn = [node.text for node in root.iter(f"{SVG}text")]
    assert drawn == [line for box in diagram.boxes for line in box.words.splitlines()]
    assert (root.get("width"), root.get("height")) == (str(diagram.width), str(diagram.height))
    assert "<script" not in diagram.svg


def test_a_planted_overlap_and_a_planted_crossing_are_found():
    """The checks above, on a drawing that is wrong."""
    wrong = Diagram(100, 100, (Box(0, 0, 50, 50, "a"), Box(40, 40, 50, 50, "b")), (((45, 0), (45, 100)),), "", "")
    assert len(covered(wrong)) == 1
    assert crossings(wrong)


def test_words_of_any_kind_are_escaped():
    box = Box(0, 0, 90, 30, "a < b & c")
    root = ElementTree.fromstring(Diagram(100, 40, (box,), (), 'an "alt" < text', "a & b").svg)
    assert [node.text for node in root.iter(f"{SVG}text")] == ["a < b & c"]


def test_a_notebook_gets_an_image_that_needs_no_trust():
    diagram = DIAGRAMS["the mask"]
    bundle = diagram._repr_mimebundle_()
    assert bundle["text/plain"] == repr(diagram) == diagram.caption
    html = bundle["text/html"]
    assert re.fullmatch(
        r'<img class="dark-light" alt="[^"]+" width="\d+" src="data:image/svg\+xml;base64,[^"]+">', html
    )
    assert base64.b64decode(html.split("base64,")[1].removesuffix('">')).decode() == diagram.svg


def luminance(color: str) -> float:
    """Of WCAG 2.1."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@each_diagram
def test_it_is_readable_by_day_and_by_night(diagram):
    assert all(contrast(INK, box.fill) >= 7 for box in diagram.boxes)
    assert all(contrast(LINE, page) >= 3 for page in ("#FFFFFF", "#111111", "#14181E"))


def test_the_masks_numbers_are_softmax_of_what_may_be_seen():
    cells = [box.words for box in DIAGRAMS["the mask"].boxes if re.fullmatch(r"−∞|\d\.\d\d", box.words)]
    weights = [float(words) for words in cells[18:]]
    e = math.exp
    last = [e(1.41), e(0.71), e(2.12)]
    expected = [1, 0, 0, 0.5, 0.5, 0, *(one / sum(last) for one in last)]
    assert weights == pytest.approx(expected, abs=0.0051)
    assert [words == "−∞" for words in cells[9:18]] == [False, True, True, False, False, True, False, False, False]
