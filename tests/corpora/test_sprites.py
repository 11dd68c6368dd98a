"""The sprites: distinct, labelled, the same everywhere, and split so that no shape and no palette is in both parts."""

import hashlib
import subprocess
import sys
from collections import Counter

import pytest

from course_lib.corpora import sprites
from course_lib.corpora.sprites import KINDS, PALETTE, PARTS, SIZE, Sprite, draw_sprites, shapes
from course_lib.corpora.sprites.canvas import Canvas, disc
from course_lib.corpora.sprites.colors import GROUNDS, NUMBER, PAIRS, RAMPS, is_held_out
from course_lib.errors import CourseError


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Sprite]]:
    return {"train": draw_sprites(10_000), "held_out": draw_sprites(2_000, part="held_out")}


def test_there_are_ten_thousand_different_ones_shared_equally_by_ten_kinds(drawn):
    train = drawn["train"]
    assert len({sprite.pixels for sprite in train}) == 10_000
    assert Counter(sprite.kind for sprite in train) == dict.fromkeys(KINDS, 1_000)
    assert len(KINDS) == 10
    assert [sprite.label for sprite in train] == sorted(sprite.label for sprite in train), "kind by kind"
    odd = Counter(sprite.label for sprite in draw_sprites(13))
    assert [odd[label] for label in range(10)] == [2, 2, 2, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("part", PARTS)
def test_all_shapes_palettes_and_grounds_of_a_part_are_drawn(drawn, part):
    if part == "train":
        assert {s.palette for s in drawn[part]} == {pair for pair in PAIRS if not is_held_out(pair)}
    else:
        assert {s.palette for s in drawn[part]} == set(filter(is_held_out, PAIRS))
    for label, kind in enumerate(KINDS):
        mine = {s.shape for s in drawn[part] if s.label == label}
        assert mine == set(sprites._shapes_of(kind, part == "held_out"))
    corners = {s.colors[0] for s in drawn[part]}
    assert corners >= {NUMBER[far] for far, _ in GROUNDS.values()}


def test_no_shape_palette_or_picture_is_in_both_parts(drawn):
    """A shape's mirror image counts as the shape: half of all sprites are mirrored."""
    train, held_out = drawn["train"], drawn["held_out"]
    assert {s.palette for s in train}.isdisjoint({s.palette for s in held_out})
    assert {frozenset(s.palette) for s in train}.isdisjoint({frozenset(s.palette) for s in held_out})
    assert {(s.label, s.shape) for s in train}.isdisjoint({(s.label, s.shape) for s in held_out})
    for kind in KINDS:
        known = {shapes(kind)[number] for number in sprites._shapes_of(kind, False)}
        known |= {tuple(row[::-1] for row in shape) for shape in known}
        assert known.isdisjoint({shapes(kind)[number] for number in sprites._shapes_of(kind, True)})
    assert {s.colors for s in train}.isdisjoint({s.colors for s in held_out})


def test_a_fifth_of_shapes_and_palettes_is_held_out_and_every_color_is_in_both_parts():
    for kind in KINDS:
        share = len(sprites._shapes_of(kind, True)) / len(shapes(kind))
        assert 0.1 < share < 0.3, kind
    held_out = [pair for pair in PAIRS if is_held_out(pair)]
    assert 0.15 < len(held_out) / len(PAIRS) < 0.25
    for ramp in range(len(RAMPS)):
        for place in (0, 1):
            assert {is_held_out(pair) for pair in PAIRS if pair[place] == ramp} == {True, False}


@pytest.mark.parametrize("kind", KINDS)
def test_every_shape_fits_is_whole_and_is_the_only_one_of_its_kind(kind):
    """Each shows the body's and the accent's material: so different palettes never make equal pictures."""
    found = shapes(kind)
    assert len(set(found)) == len(found) >= 24
    for shape in found:
        assert len(shape) <= SIZE
        assert {len(row) for row in shape} == {len(shape[0])} <= set(range(SIZE + 1))
        letters = set("".join(shape))
        assert letters & set("bdl")
        assert letters & set("aDL")
        assert letters <= set(".#wkgsbdlaDL")
        assert set(shape[0] + shape[-1]) <= {".", "#"}, "an outline all around"
        assert {row[0] for row in shape} | {row[-1] for row in shape} <= {".", "#"}


def test_no_shape_is_one_of_another_kind():
    every = [shape for kind in KINDS for shape in shapes(kind)]
    assert len(set(every)) == len(every)


def test_a_shape_stands_whole_within_two_pixels_of_the_middle(drawn):
    """Found again in the pictures: where the outline is, and how much room is left and right of it."""
    offsets = set()
    inks = {NUMBER[ink] for ink in sprites.INKS}
    for sprite in drawn["train"][::7]:
        rows = [sprite.colors[SIZE * y : SIZE * (y + 1)] for y in range(SIZE)]
        columns = [x for x in range(SIZE) if any(row[x] in inks for row in rows)]
        width = len(shapes(sprite.kind)[sprite.shape][0])
        assert columns[-1] - columns[0] + 1 == width
        offsets.add(2 * columns[0] + width - SIZE)  # twice the distance of its middle from the picture's
    assert offsets == set(range(-5, 6))


def test_pixels_are_the_palettes_colors_row_by_row(drawn):
    assert len(set(PALETTE)) == len(PALETTE) <= 64
    for sprite in drawn["held_out"][::100]:
        assert len(sprite.pixels) == 3 * SIZE * SIZE
        for place in (0, 17, 255):
            assert tuple(sprite.pixels[3 * place : 3 * place + 3]) == PALETTE[sprite.colors[place]]


def test_they_are_the_same_for_a_seed_on_every_machine():
    found = hashlib.sha256(b"".join(s.pixels for s in draw_sprites(500, seed=3))).hexdigest()
    assert found[:16] == "229b010e80541858"
    assert draw_sprites(50, seed=4) == draw_sprites(50, seed=4) != draw_sprites(50, seed=5)


def test_plain_ones_stand_in_the_middle_of_one_color():
    for sprite in draw_sprites(300, plain=True):
        shape = shapes(sprite.kind)[sprite.shape]
        top, left = (SIZE - len(shape)) // 2, (SIZE - len(shape[0])) // 2
        inside = {(left + x, top + y) for y, row in enumerate(shape) for x, letter in enumerate(row) if letter != "."}
        behind = {sprite.colors[SIZE * y + x] for y in range(SIZE) for x in range(SIZE) if (x, y) not in inside}
        assert len(behind) == 1
        assert behind.isdisjoint(sprite.colors[SIZE * y + x] for x, y in inside)
    assert len({sprite.colors for sprite in draw_sprites(10_000, plain=True, part="held_out")}) == 10_000


def test_light_falls_from_above_on_the_left():
    canvas = Canvas()
    canvas.box(0, 0, 3, 3, "b")
    assert canvas.shaded().cropped() == ("llb", "lbd", "bdd")
    assert canvas.outlined().cropped() == (".###.", "#bbb#", "#bbb#", "#bbb#", ".###.")


@pytest.mark.parametrize("width", range(2, 14))
def test_an_ellipse_is_symmetric_and_no_wider_than_it_should_be(width):
    for height in range(2, 14):
        rows = list(disc(width, height))
        assert rows == rows[::-1]
        assert max(rows) <= width
        assert {row % 2 for row in rows} == {width % 2}
        assert rows[: (height + 1) // 2] == sorted(rows[: (height + 1) // 2])


def test_what_cannot_be_drawn_is_refused_in_words():
    with pytest.raises(CourseError, match="there is no 'test'"):
        draw_sprites(10, part="test")
    with pytest.raises(CourseError, match="At most 100,000 sprites"):
        draw_sprites(100_001)
    with pytest.raises(CourseError, match="At most 10,000 sprites"):
        draw_sprites(10_001, plain=True)
    for n in (0, -1, 2.5, True):
        with pytest.raises(CourseError, match="n should be"):
            draw_sprites(n)
    with pytest.raises(CourseError, match=r"no kind of sprite .heroe.*did you mean .hero"):
        shapes("heroe")


def test_no_tensors_are_loaded():
    code = "import sys; from course_lib.corpora.sprites import draw_sprites; draw_sprites(10)\n"
    code += "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
