"""Pictures of sprites: each pixel stands where it should, on any page, and bad input is named."""

import base64
import io

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from course_lib import plots
from course_lib.corpora.sprites import PALETTE
from course_lib.data import SpriteDataset
from course_lib.errors import CourseError

PAGES = ("#FFFFFF", "#111111")  # of JupyterLab, light and dark


@pytest.fixture(scope="module")
def sprites() -> SpriteDataset:
    return SpriteDataset(20)


def rows_of(figure: plots.Picture) -> list[np.ndarray]:
    """Each row as it was drawn, (H, columns, W, 4): the gap is cut off."""
    strips = [np.asarray(axes.get_images()[0].get_array()) for axes in figure.axes]
    return [strip.reshape(16, -1, 17, 4)[:, :, :16] for strip in strips]


def words_of(figure: plots.Picture) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def seen(figure: plots.Picture) -> np.ndarray:
    """The picture as a notebook shows it: (height, width, 4), from 0 to 1."""
    bundle, _ = figure._repr_mimebundle_()
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(bundle["image/png"])))


def test_each_picture_of_a_sheet_stands_in_its_place(sprites):
    figure = plots.sheet(sprites.images, columns=8, title="All")
    rows = rows_of(figure)
    assert [row.shape for row in rows] == [(16, 8, 16, 4)] * 3
    for number, image in enumerate(sprites.images):
        place = rows[number // 8][:, number % 8]
        assert (place[..., :3] == (image.permute(1, 2, 0) * 255).round().numpy()).all()
        assert (place[..., 3] == 255).all()
    assert (rows[2][:, 4:] == 0).all(), "where no picture stands, the page is seen"
    assert figure.caption == "All: 20 pictures in 3 rows"


def test_words_stand_above_their_pictures(sprites):
    words = [f"word {n}" for n in range(5)]
    figure = plots.sheet(sprites.images[:5], words, columns=3)
    assert words_of(figure) == words
    places = [axes.texts[i].xy[0] for axes in figure.axes for i in range(len(axes.texts))]
    assert places == [8, 25, 42, 8, 25]
    assert "word 0, word 1" in figure.alt
    assert "word" not in figure.caption, "stored outputs are compared, and a classifier's words may differ"


def test_rows_have_their_names_and_columns_their_words(sprites):
    clean = sprites.images[::2]
    figure = plots.picture_rows({"before": clean, "after": 1 - clean}, sprites.classes, "Two")
    first, second = rows_of(figure)
    assert np.abs(first[..., :3].astype(int) + second[..., :3] - 255).max() <= 1
    assert words_of(figure) == [*sprites.classes, "before", "after"]
    assert figure.alt == "Two: before, after, each a row of 10 pictures."


def test_what_is_too_dark_or_too_bright_is_cut_off():
    images = torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1, 1).expand(3, 3, 16, 16)
    (row,) = rows_of(plots.sheet(images))
    assert row[0, :3, 0, 0].tolist() == [0, 128, 255]


def test_arrays_do_as_well_as_tensors(sprites):
    assert (rows_of(plots.sheet(sprites.images.numpy()))[0] == rows_of(plots.sheet(sprites.images))[0]).all()


def test_the_colors_are_those_of_the_sprites_when_they_are_shown(sprites):
    """Pixels are neither mixed with their neighbors nor changed for a dark page."""
    pixels = seen(plots.sheet(sprites.images[:4]))
    shown = {tuple(color) for color in (pixels[pixels[..., 3] == 1] * 255).round().astype(int)[:, :3].tolist()}
    theirs = {PALETTE[color] for sprite in sprites.sprites[:4] for color in sprite.colors}
    assert theirs <= shown
    assert len(shown - theirs) < 8, "but for a seam at a border, where the page shines through"


def test_a_table_says_who_is_taken_for_whom():
    counts = [[3, 1, 0], [0, 4, 0], [2, 0, 1200]]
    figure = plots.confusion(counts, ["a", "b", "c"], "A table")
    (axes,) = figure.axes
    written = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert written == {(0, 0): "3", (0, 1): "1", (1, 1): "4", (2, 0): "2", (2, 2): "1,200"}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("taken for", "what it is")
    assert figure.alt.endswith("1,207 of 1,210 are right. Most often wrong: c taken for a (2), a taken for b (1).")
    assert "1,207" not in figure.caption
    tiles = np.asarray(axes.get_images()[0].get_array()).astype(int)
    assert tiles[1, 1, 2] > tiles[1, 1, 0], "right ones are blue"
    assert tiles[0, 1, 0] > tiles[0, 1, 2], "wrong ones are orange"
    assert tiles[0, 0].sum() > tiles[1, 1].sum(), "the more of a row, the darker"
    assert len({tuple(tiles[i, j]) for i, j in ((0, 2), (1, 0), (1, 2), (2, 1))}) == 1


@pytest.mark.parametrize("share", [0.005, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("column", [0, 1], ids=["right", "wrong"])
def test_numbers_can_be_read_on_their_tiles(share, column):
    """The contrast that WCAG asks of words, 4.5, whatever page lies behind: the tiles cover it."""
    counts = np.zeros((2, 2), int)
    counts[0, column] = round(200 * share)
    counts[0, 1 - column] = 200 - counts[0, column]
    figure = plots.confusion(counts, ["a", "b"])
    seen(figure)  # what is too close to the page's ink is changed here
    (axes,) = figure.axes
    (text,) = [t for t in axes.texts if t.get_position() == (column, 0)]
    tile = np.asarray(axes.get_images()[0].get_array())[0, column] / 255
    assert contrast(to_rgb(text.get_color()), tuple(tile)) >= 4.5


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    low, high = sorted(luminance(color) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(color: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("page", PAGES)
def test_words_can_be_read_on_any_page(sprites, page):
    figure = plots.picture_rows({"before": sprites.images[:3]}, ["a", "b", "c"], "Title")
    seen(figure)
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    assert len(texts) == 5
    assert min(contrast(to_rgb(text.get_color()), to_rgb(page)) for text in texts) > 4


def test_nothing_is_cut_off_at_the_border(sprites):
    names = {"a rather long name of a row": sprites.images[:10], "another": sprites.images[10:]}
    for figure in (plots.picture_rows(names, sprites.classes, "T"), plots.sheet(sprites.images[:3], ["mushroom"] * 3)):
        figure.canvas.draw()
        width, height = figure.get_size_inches() * figure.dpi
        for text in (text for axes in figure.axes for text in axes.texts):
            box = text.get_window_extent()
            assert min(box.x0, box.y0) > -1
            assert box.x1 < width + 1
            assert box.y1 < height + 1


def test_bad_input_is_named(sprites):
    with pytest.raises(CourseError, match=r"\(N, 3, H, W\).*\(20, 16, 16\)"):
        plots.sheet(sprites.images[:, 0])
    with pytest.raises(CourseError, match=r"at least one"):
        plots.sheet(sprites.images[:0])
    with pytest.raises(CourseError, match=r"20 pictures.*2 of them"):
        plots.sheet(sprites.images, ["a", "b"])
    with pytest.raises(CourseError, match="columns"):
        plots.sheet(sprites.images, columns=0)
    with pytest.raises(CourseError, match=r"one length.*\[3, 20\]"):
        plots.picture_rows({"a": sprites.images, "b": sprites.images[:3]})
    with pytest.raises(CourseError, match="one length"):
        plots.picture_rows({})
    with pytest.raises(CourseError, match=r"3 names.*\(3, 3\).*\(2, 2\)"):
        plots.confusion(np.eye(2, dtype=int), "abc")
