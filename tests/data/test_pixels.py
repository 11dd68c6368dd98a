"""Pictures as tokens: nothing is lost of a sprite, and what is written is a picture again."""

import itertools

import pytest
import torch

from course_lib.corpora.sprites import KINDS, PALETTE
from course_lib.data import PixelRows, PixelTokenizer, SpriteDataset
from course_lib.data.pixels import MISSING, palette_of
from course_lib.errors import CourseError

SPRITES = SpriteDataset(60, seed=2)


def test_a_sprite_is_its_class_and_its_colors_and_comes_back_whole():
    tokenizer = PixelTokenizer()
    ids = tokenizer.encode(SPRITES.images, SPRITES.labels)
    assert (ids.shape, ids.dtype) == ((60, 257), torch.int64)
    for row, sprite in zip(ids.tolist(), SPRITES.sprites, strict=True):
        assert row == [len(PALETTE) + sprite.label, *sprite.colors]
    assert tokenizer.decode(ids).equal(SPRITES.images)
    assert tokenizer.labels(ids).equal(SPRITES.labels)
    assert (tokenizer.vocab_size, tokenizer.length) == (len(PALETTE) + 10, 257)
    assert tokenizer.vocab_size <= 256


def test_another_color_gets_the_nearest_one():
    """By the distance between colors, computed one by one."""
    tokenizer = PixelTokenizer(classes=("thing",))
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    ids = tokenizer.encode(images, [0, 0])[:, 1:].view(2, 16, 16)
    for n, y, x in itertools.product(range(2), range(0, 16, 5), range(0, 16, 3)):
        color = (images[n, :, y, x] * 255).round().tolist()
        distances = [sum((a - b) ** 2 for a, b in zip(color, known)) for known in PALETTE]
        assert distances[ids[n, y, x]] == min(distances)


def test_a_palette_of_few_colors_is_all_of_them():
    palette = palette_of(SPRITES.images)
    assert set(palette) == {PALETTE[color] for sprite in SPRITES.sprites for color in sprite.colors}
    tokenizer = PixelTokenizer(palette)
    assert tokenizer.decode(tokenizer.encode(SPRITES.images, SPRITES.labels)).equal(SPRITES.images)


def test_a_palette_of_many_colors_stands_for_all_of_them():
    """The more colors it has, the nearer is what comes back."""
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    errors = []
    for most in (2, 16, 128):
        palette = palette_of(images, most)
        assert len(set(palette)) == len(palette) <= most
        tokenizer = PixelTokenizer(palette)
        errors.append((tokenizer.decode(tokenizer.encode(images, [0, 1, 2])) - images).square().mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 5
    for most in (0, 257):
        with pytest.raises(CourseError, match="most should be at"):
            palette_of(images, most)


def test_what_is_no_color_is_seen_at_once():
    tokenizer = PixelTokenizer(palette=[(0, 0, 0), (255, 255, 255)], classes=("a", "b"), size=2)
    assert [tokenizer.class_id(name) for name in ("a", "b", 1)] == [2, 3, 3]
    picture = tokenizer.decode(torch.tensor([[2, 0, 1, 3, 0]]))
    assert picture.shape == (1, 3, 2, 2)
    assert (picture[0, :, 1, 0] * 255).tolist() == list(MISSING)
    assert picture[0, :, 0].tolist() == [[0, 1]] * 3


def test_rows_are_the_picture_and_the_picture_one_pixel_later():
    rows = PixelRows(SPRITES)
    assert len(rows) == 60
    x, y = rows[7]
    assert x[1:].equal(y[:-1])
    assert (x[0].item(), y.tolist()) == (rows.tokenizer.class_id("ghost"), list(SPRITES.sprites[7].colors))
    assert rows.tokenizer.classes == KINDS


def test_what_does_not_fit_is_refused():
    tokenizer = PixelTokenizer()
    with pytest.raises(CourseError, match=r"Pictures should be \(N, 3, 16, 16\); these are \(1, 3, 8, 8\)"):
        tokenizer.encode(torch.zeros(1, 3, 8, 8), [0])
    with pytest.raises(CourseError, match=r"Ids should be \(N, 257\), a class and its pixels; these are \(1, 256\)"):
        tokenizer.decode(torch.zeros(1, 256, dtype=torch.long))
    with pytest.raises(CourseError, match="no class 'cat'; known are hero"):
        tokenizer.class_id("cat")
    for label in (-1, 10):
        with pytest.raises(CourseError, match=f"from 0 to 9; it is {label}"):
            tokenizer.class_id(label)
    with pytest.raises(CourseError, match="at least one color"):
        PixelTokenizer(palette=[])
