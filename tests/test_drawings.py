"""The drawings: sound SVG that says in words what it shows, with what it is given and nothing else."""

import itertools
import math
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from course_lib.drawings.learning import Drawing, cycle, graph, ladder
from course_lib.drawings.signs import spelled
from course_lib.drawings.thoughts import DARKEST, LIGHTEST, Thought, shades, thought_drawing
from course_lib.errors import CourseError
from course_lib.models.micro import Value

SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawing: Drawing) -> ET.Element:
    """The drawing as XML; every word lies inside it."""
    bundle = drawing._repr_mimebundle_()
    assert bundle["text/plain"] == repr(drawing) == drawing.alt
    root = ET.fromstring(bundle["image/svg+xml"])
    assert root.find(f"{SVG}title").text == drawing.alt
    width, height = float(root.get("width")), float(root.get("height"))
    for node in root.iter(f"{SVG}text"):
        assert 0 <= float(node.get("x")) <= width
        assert 0 <= float(node.get("y")) <= height
    return root


def words(root: ET.Element) -> list[str]:
    return [node.text for node in root.iter(f"{SVG}text")]


def test_a_round_has_its_steps_in_order_and_a_way_back():
    root = parsed(cycle({"Sample": "a <name>", "Update": "a & step"}, back="again"))
    assert words(root) == ["1. Sample", "a <name>", "2. Update", "a & step", "again"]
    assert len(list(root.iter(f"{SVG}line"))) == 1
    assert len(list(root.iter(f"{SVG}rect"))) == 3  # the paper, and two boxes


def five() -> dict[str, Value]:
    w, x = Value(2.0), Value(3.0)
    p = w * x
    e = p - 5
    return {"w": w, "x": x, "p": p, "e": e, "L": e**2}


def test_a_graph_has_a_box_for_each_node_and_an_arrow_for_each_way():
    nodes = five()
    root = parsed(graph(nodes, gradients=False))
    assert len(list(root.iter(f"{SVG}line"))) == 4
    assert "value 6" in words(root)
    assert not [word for word in words(root) if "gradient" in word or "×" in word]
    nodes["L"].backward()
    drawing = graph(nodes)
    assert {"gradient 6", "gradient 4", "gradient 2", "× 3", "× 2", "× 1"} <= set(words(parsed(drawing)))
    assert "w = 2 (gradient 6)" in drawing.alt
    assert "w leads to p with 3" in drawing.alt
    assert "p leads to L" not in drawing.alt


def test_boxes_stand_in_the_order_of_the_computation_and_none_covers_another():
    rng = random.Random(3)
    for _ in range(20):
        nodes = {f"n{i}": Value(rng.random()) for i in range(rng.randint(1, 4))}
        for i in range(rng.randint(1, 6)):
            a, b = rng.choices(list(nodes.values()), k=2)
            nodes[f"m{i}"] = a * b
        root = parsed(graph(nodes))
        boxes = [node for node in root.iter(f"{SVG}rect") if node.get("rx")]
        corners = [tuple(float(box.get(name)) for name in ("x", "y", "width", "height")) for box in boxes]
        assert len(corners) == len(nodes)
        for i, (x, y, width, height) in enumerate(corners):
            for other_x, other_y, *_ in corners[:i]:
                assert abs(x - other_x) >= width or abs(y - other_y) >= height
        places = dict(zip(nodes, corners))
        names = {id(node): name for name, node in nodes.items()}
        for name, node in nodes.items():
            assert all(places[names[id(child)]][0] < places[name][0] for child in node.children)


def test_a_node_before_what_it_is_computed_from_is_told():
    nodes = five()
    turned = dict(reversed(nodes.items()))
    with pytest.raises(CourseError, match="e should come before L, which is computed from it"):
        graph(turned)


def test_a_ladder_has_a_dot_for_each_step_and_its_marks_where_they_belong():
    losses = [3.3 - 0.01 * i for i in range(60)]
    drawing = ladder(losses, {1: 3.2, 60: 2.8}, {1: (3.1, 3.3), 60: (2.7, 2.9)}, knowing_nothing=3.296)
    root = parsed(drawing)
    dots = [node for node in root.iter(f"{SVG}circle") if node.get("r") == "2"]
    assert len(dots) == 60
    heights = [float(dot.get("cy")) for dot in dots]
    assert heights == sorted(heights), "a falling loss goes down"
    marks = [node.get("d") for node in root.iter(f"{SVG}path") if node.get("fill") == "#D55E00"]
    places = [tuple(map(float, re.match(r"M([\d.]+) ([\d.]+)l5", d).groups())) for d in marks if "l5" in d]
    bands = [node for node in root.iter(f"{SVG}rect") if node.get("fill") == "#D9D9D9"]
    assert len(places) == len(bands) == 2
    for (x, y), band in zip(places, bands):
        assert float(band.get("x")) == pytest.approx(x - 13, abs=0.11)
        top = float(band.get("y"))
        assert top < y + 5 < top + float(band.get("height"))
    assert "knowing nothing: 3.30" in words(root)
    assert "3.20 after 1, 2.80 after 60 steps" in drawing.alt


@pytest.mark.parametrize("name", ["learning", "transformer", "thoughts", "signs"])
def test_they_need_the_standard_library_alone(name):
    code = f"import course_lib.drawings.{name}, sys; assert not {{'numpy', 'matplotlib', 'torch'}} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# Patches and how far they moved ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"a b\n\t", "a␣b↵⇥"),
        ("é日🦊".encode(), "é日🦊"),
        ("日".encode()[:2] + b"!", "\\xE6\\x97!"),
        (b"\xff\xc0\x80", "\\xFF\\xC0\\x80"),
        (b"\xed\xa0\x80", "\\xED\\xA0\\x80"),  # half a character, as UTF-8 forbids it
        (b"\x00\x1b\x7f", "U+0000U+001BU+007F"),
        ("\u0301e\u0301".encode(), "◌\u0301e\u0301"),
        ("\u202e\ufffe\xa0".encode(), "U+202EU+FFFEU+00A0"),
        (b"", ""),
    ],
)
def test_any_bytes_are_spelled(content, shown):
    assert spelled(content) == shown
    assert spelled(content, spaces=False) == shown.replace("␣", " ")


def test_any_bytes_become_a_sound_drawing_in_rows():
    rng = random.Random(5)
    alphabet = [b"<", b"&", b'"', b"'", b"a ", b"]]>", "日".encode(), "\u0301".encode(), b"\xe6", b"\x00", b"\xff"]
    for count in (1, 7, 90):
        pieces = [b"".join(rng.choices(alphabet, k=rng.choice((1, 4, 200 if count == 7 else 4)))) for _ in range(count)]
        found = [Thought(one, rng.random(), f"<told {i}> {spelled(one)}") for i, one in enumerate(pieces)]
        root = parsed(thought_drawing(found))
        assert [node.find(f"{SVG}title").text for node in root.iter(f"{SVG}g")] == [one.words for one in found]
        shown = [word for one in found for word in (one.shown, one.number)]
        assert words(root)[:-1] == shown
        boxes = [node.find(f"{SVG}rect") for node in root.iter(f"{SVG}g")]
        corners = [tuple(float(box.get(name)) for name in ("x", "y", "width", "height")) for box in boxes]
        for (x, y, width, _), (x2, y2, *_) in itertools.pairwise(corners):
            assert (x2 >= x + width and y2 == y) or (x2 <= x and y2 > y), "in rows, and none over another"
        assert all(x + width <= float(root.get("width")) for x, _, width, _ in corners)


def test_the_stronger_the_color_the_farther_it_moved():
    def made(*moved):
        return [Thought(b"abcd", one, "") for one in moved]

    assert shades(made(1.0, 3.0, 2.0)) == pytest.approx([LIGHTEST, DARKEST, (LIGHTEST + DARKEST) / 2])
    assert shades(made(0.4, 0.4)) == [LIGHTEST, LIGHTEST]
    nothing, no_number, infinite, one = shades(made(None, math.nan, math.inf, 2.0))
    assert (nothing, one) == (None, LIGHTEST)
    assert math.isnan(no_number)
    assert math.isnan(infinite)
    drawing = thought_drawing(made(1.0, math.nan, None))
    rects = [node.find(f"{SVG}rect") for node in parsed(drawing).iter(f"{SVG}g")]
    assert [rect.get("fill-opacity") for rect in rects] == [f"{LIGHTEST:.3f}", f"{DARKEST:.3f}", "0.000"]
    assert [rect.get("stroke-dasharray") is None for rect in rects] == [True, True, False]
    assert rects[0].get("fill") != rects[1].get("fill")
    assert "Orange: no finite number." in drawing.alt
    assert "from 1 to 1" in drawing.alt
    assert "Orange" not in thought_drawing(made(1.0)).alt
