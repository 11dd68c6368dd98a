"""Sprites and folders of PNGs as datasets: what a picture becomes, and what is refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from course_lib.corpora.sprites import KINDS, draw_sprites
from course_lib.data import NoisyPictures, SpriteDataset, SpriteFolder
from course_lib.data.pictures import read_png
from course_lib.errors import CourseError

RED, CLEAR = (255, 0, 0), (0, 0, 0, 0)


def test_a_sprite_is_its_pixels_from_0_to_1_and_its_label():
    dataset, drawn = SpriteDataset(23, seed=5, part="held_out"), draw_sprites(23, seed=5, part="held_out")
    assert dataset.sprites == drawn
    assert dataset.classes == KINDS
    assert len(dataset) == 23
    for (image, label), sprite in zip((dataset[i] for i in range(23)), drawn, strict=True):
        assert type(label) is int
        assert (KINDS[label], image.shape, image.dtype) == (sprite.kind, (3, 16, 16), torch.float32)
        for x, y in ((0, 0), (7, 3), (15, 12)):
            rgb = sprite.pixels[3 * (16 * y + x) :][:3]
            assert (image[:, y, x] * 255).round().tolist() == list(rgb)


def test_a_loader_stacks_them():
    images, labels = next(iter(DataLoader(SpriteDataset(20), batch_size=8)))
    assert (images.shape, images.dtype, labels.shape, labels.dtype) == (
        (8, 3, 16, 16),
        torch.float32,
        (8,),
        torch.int64,
    )
    assert 0 <= images.min() < images.max() <= 1


def test_noise_has_the_strength_that_was_asked_for_and_the_target_has_none():
    torch.manual_seed(0)
    clean = SpriteDataset(40)
    noisy = NoisyPictures(clean, 0.1)
    pairs = [noisy[i] for i in range(40)]
    assert all(torch.equal(target, clean[i][0]) for i, (_, target) in enumerate(pairs))
    inputs, targets = (torch.stack(parts) for parts in zip(*pairs))
    assert inputs.min() >= 0
    assert inputs.max() <= 1
    inner = (targets > 0.4) & (targets < 0.6)  # far from where it is cut off
    assert (inputs - targets)[inner].std() == pytest.approx(0.1, abs=0.005)
    assert not torch.equal(noisy[0][0], noisy[0][0])
    with pytest.raises(CourseError, match="noise should be at least 0"):
        NoisyPictures(clean, -0.1)


# ---- folders of PNGs ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sprites as files, one folder a kind, beside things that are none."""
    for sprite in draw_sprites(30, seed=1):
        place = tmp_path / "mine" / sprite.kind
        place.mkdir(parents=True, exist_ok=True)
        number = len(list(place.iterdir()))
        Image.frombytes("RGB", (16, 16), sprite.pixels).save(place / f"{number}.{'png' if number else 'PNG'}")
    (tmp_path / "mine" / "hero" / "notes.txt").write_text("A hero.")
    (tmp_path / "mine" / "hero" / ".hidden.png").write_text("no picture")
    (tmp_path / "mine" / ".git").mkdir()
    (tmp_path / "mine" / "readme.md").write_text("Mine.")
    return tmp_path / "mine"


def test_a_folder_holds_what_was_put_into_it(folder):
    found, wanted = SpriteFolder(folder), SpriteDataset(30, seed=1)
    assert found.classes == tuple(sorted(KINDS))
    assert len(found) == 30
    assert found.files == sorted(found.files)
    for kind in KINDS:
        mine = found.images[found.labels == found.classes.index(kind)]
        theirs = wanted.images[wanted.labels == KINDS.index(kind)]
        assert sorted(image.flatten().tolist() for image in mine) == sorted(i.flatten().tolist() for i in theirs)
    image, label = found[29]
    assert (image.shape, label) == ((3, 16, 16), 9)


def as_file(folder: Path, image: Image.Image, **how) -> Path:
    image.save(folder / "a.png", **how)
    return folder / "a.png"


def test_grey_palette_and_bits_become_what_one_sees(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for image in (Image.fromarray(grey), Image.fromarray(grey).convert("RGB")):
        assert np.array_equal(read_png(as_file(tmp_path, image)), np.stack([grey] * 3, axis=2))
    paletted = Image.fromarray(grey % 4, mode="P")
    paletted.putpalette([9, 8, 7, *RED, 0, 0, 255, 4, 5, 6])
    found = read_png(as_file(tmp_path, paletted))
    assert found[0, :4].tolist() == [[9, 8, 7], list(RED), [0, 0, 255], [4, 5, 6]]
    bits = Image.fromarray((grey > 99).astype(np.uint8) * 255).convert("1")
    assert np.array_equal(read_png(as_file(tmp_path, bits))[:, :, 1], (grey > 99) * 255)


def test_sixteen_bits_of_grey_are_scaled_and_not_cut_off(tmp_path):
    grey = (np.arange(256, dtype=np.uint32) * 257).astype(np.uint16).reshape(16, 16)
    found = read_png(as_file(tmp_path, Image.fromarray(grey)))
    assert np.array_equal(found[:, :, 0], np.arange(256).reshape(16, 16))


def test_what_is_transparent_shows_the_background(tmp_path):
    """Compared with the formula of a half transparent color: a part of it, and the rest of what is behind."""
    image = Image.new("RGBA", (16, 16), CLEAR)
    image.putpixel((3, 0), (*RED, 255))
    image.putpixel((4, 0), (200, 100, 0, 64))
    file = as_file(tmp_path, image)
    white, blue = read_png(file), read_png(file, background=(0, 0, 255))
    assert white[0, 0].tolist() == [255, 255, 255]
    assert blue[0, 0].tolist() == [0, 0, 255]
    assert white[0, 3].tolist() == blue[0, 3].tolist() == list(RED)
    share = 64 / 255
    wanted = [share * color + (1 - share) * behind for color, behind in zip((200, 100, 0), (0, 0, 255))]
    assert blue[0, 4].tolist() == pytest.approx(wanted, abs=1)
    half = Image.new("LA", (16, 16), (0, 128))
    assert read_png(as_file(tmp_path, half))[0, 0].tolist() == pytest.approx([127] * 3, abs=1)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "I;16"])
def test_a_color_that_is_declared_transparent_is(tmp_path, mode):
    """PNG's tRNS: one value of a picture without an alpha channel counts as transparent."""
    value: object = RED if mode == "RGB" else 5
    if mode == "I;16":
        image = Image.fromarray(np.full((16, 16), 5, dtype=np.uint16))
    else:
        image = Image.new(mode, (16, 16), value)
    if mode == "P":
        image.putpalette([1, 2, 3] * 5 + [*RED])
    file = as_file(tmp_path, image, **({} if mode == "I;16" else {"transparency": value}))
    if mode == "I;16":  # PIL does not write it: put into the file by hand, before the picture's data
        content, chunk = file.read_bytes(), b"tRNS" + struct.pack(">H", 5)
        place = content.index(b"IDAT") - 4
        whole = struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk))
        file.write_bytes(content[:place] + whole + content[place:])
    assert read_png(file, background=(1, 2, 3))[7, 7].tolist() == [1, 2, 3]


def test_a_picture_of_another_size_is_named_with_what_to_do(folder):
    file = folder / "coin" / "wide.png"
    Image.new("RGB", (32, 16)).save(file)
    with pytest.raises(CourseError, match=r"wide.png has 32 x 16 pixels, and all should have 16 x 16. Resize it") as e:
        SpriteFolder(folder)
    line = str(e.value).split("with ")[1].split(", Image being")[0]
    exec(line, {"Image": Image, "file": file})
    assert len(SpriteFolder(folder)) == 31


def test_pictures_of_any_one_size_are_read_when_it_is_given(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (24, 24), RED).save(tmp_path / name / "1.png")
    assert SpriteFolder(tmp_path, size=24).images.shape == (2, 3, 24, 24)
    with pytest.raises(CourseError, match="size should be a whole number"):
        SpriteFolder(tmp_path, size=2.5)


def damaged() -> dict[str, bytes]:
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    whole = content.getvalue()
    changed = bytearray(whole)
    changed[60] ^= 0xFF
    header = bytearray(whole)
    header[20] ^= 0xFF
    return {
        "empty": b"", "no picture": b"A text.", "cut off": whole[: len(whole) // 2], "only a beginning": whole[:8],
        "a changed byte": bytes(changed), "a changed header": bytes(header),
    }  # fmt: skip


@pytest.mark.parametrize("how", damaged())
def test_a_file_that_cannot_be_read_is_named(folder, how):
    (folder / "coin" / "bad.png").write_bytes(damaged()[how])
    with pytest.raises(CourseError, match=r"bad.png cannot be read as a picture \(.+\). Save it anew as a PNG"):
        SpriteFolder(folder)


def test_a_folder_that_is_no_set_of_classes_is_refused_in_words(folder, tmp_path):
    with pytest.raises(CourseError, match=r"There is no folder .*nowhere"):
        SpriteFolder(tmp_path / "nowhere")
    with pytest.raises(CourseError, match="at least two; there is none"):
        SpriteFolder(folder / "coin")
    (tmp_path / "one" / "cat").mkdir(parents=True)
    with pytest.raises(CourseError, match="at least two; there is one folder, cat"):
        SpriteFolder(tmp_path / "one")
    (folder / "dog").mkdir()
    with pytest.raises(CourseError, match="dog should hold PNGs of its class; it is empty"):
        SpriteFolder(folder)
    for i in range(3):
        (folder / "dog" / f"{i}.jpg").write_bytes(b"")
    with pytest.raises(CourseError, match=r"of its 3 files none ends in \.png"):
        SpriteFolder(folder)
