"""Pictures with labels as torch datasets: the course's sprites, and anyone's own folder of PNGs."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from course_lib.corpora.sprites import KINDS, SIZE, draw_sprites
from course_lib.errors import CourseError, need_whole
from course_lib.paths import quoted, user_path

Color = tuple[int, int, int]


class LabelledPictures(Dataset[tuple[Tensor, int]]):
    """N pictures and what each one shows: ``dataset[i]`` is a picture (3, H, W) from 0 to 1 and its label.

    Args:
        images: (N, 3, H, W) float32, from 0 to 1: red, green and blue.
        labels: (N,) whole numbers, places in ``classes``.
        classes: the name of each class.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: tuple[str, ...]) -> None:
        self.images, self.labels, self.classes = images, labels, classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


class SpriteDataset(LabelledPictures):
    """Sprites that code draws, kind by kind: `draw_sprites` as pictures (3, 16, 16) with their labels.

    Args:
        n: how many.
        seed: which ones.
        part: ``train``, or ``held_out``, whose shapes and palettes ``train`` never has.
        plain: each in the middle of one color, and not mirrored.

    Raises:
        CourseError: as `draw_sprites`.
    """

    def __init__(self, n: int = 10_000, seed: int = 0, part: str = "train", plain: bool = False) -> None:
        self.sprites = draw_sprites(n, seed, part, plain)
        pixels = torch.frombuffer(bytearray(b"".join(sprite.pixels for sprite in self.sprites)), dtype=torch.uint8)
        images = pixels.view(n, SIZE, SIZE, 3).permute(0, 3, 1, 2)  # channels first, as convolutions want them
        labels = torch.tensor([sprite.label for sprite in self.sprites])
        super().__init__(images.contiguous().float() / 255, labels, KINDS)


class SpriteFolder(LabelledPictures):
    """A folder of PNGs, one folder a class: ``sprites/cat/1.png`` shows a cat. Classes and files go by their names.

    All are read at once. Palettes and greys become red, green and blue; where a picture is transparent, the background
    shows. Other files than PNGs, and hidden ones, are left out.

    Args:
        path: the folder.
        size: pixels in each direction.
        background: red, green and blue from 0 to 255; white by default.

    Raises:
        CourseError: where there is no such folder, or fewer than two classes in it; for a class without a PNG, a file
            that cannot be read, and a picture of another size.
    """

    def __init__(self, path: str | Path, size: int = SIZE, background: Color = (255, 255, 255)) -> None:
        folder, size = user_path(path), need_whole("size", size, 1)
        classes = _classes(folder)
        files = [(file, label) for label, name in enumerate(classes) for file in _pngs(folder / name)]
        self.files = [file for file, _ in files]
        pixels = torch.from_numpy(np.stack([read_png(file, size, background) for file in self.files]))
        images = pixels.permute(0, 3, 1, 2).contiguous().float() / 255  # (N, H, W, 3) -> (N, 3, H, W)
        super().__init__(images, torch.tensor([label for _, label in files]), classes)


class NoisyPictures(Dataset[tuple[Tensor, Tensor]]):
    """``noisy[i]`` is a picture with noise on it, and the picture itself: what a denoiser learns from.

    Args:
        pictures: a dataset whose items begin with a picture.
        noise: the standard deviation of the noise, drawn afresh from torch's generator at every call.
    """

    def __init__(self, pictures: Any, noise: float = 0.2) -> None:
        if not noise >= 0:
            raise CourseError(f"noise should be at least 0; it is {noise}.")
        self.pictures, self.noise = pictures, noise

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        clean = self.pictures[index][0]
        return (clean + self.noise * torch.randn_like(clean)).clamp(0, 1), clean


# ---- reading -----------------------------------------------------------------------------------------


def read_png(file: Path, size: int = SIZE, background: Color = (255, 255, 255)) -> np.ndarray:
    """The picture in a file as (size, size, 3) uint8, whatever kind of picture it is; see `SpriteFolder`.

    Raises:
        CourseError: where it cannot be read, or has another size.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(file) as image:
            warnings.simplefilter("ignore")  # of damaged side remarks: what matters is the picture
            if image.size == (size, size):
                image.load()
                return _as_rgb(image, background)
            width, height = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # PIL raises all of these
        raise CourseError(
            f"{quoted(file)} cannot be read as a picture ({_first_line(error)}). Save it anew as a PNG, or take it out."
        ) from error
    raise CourseError(
        f"{quoted(file)} has {width} x {height} pixels, and all should have {size} x {size}. Resize it, for example "
        f"with Image.open(file).resize(({size}, {size}), Image.Resampling.NEAREST).save(file), Image being PIL's; or "
        "give SpriteFolder the size that all have."
    )


def _as_rgb(image: Any, background: Color) -> np.ndarray:
    """Any picture of PIL's as (H, W, 3) uint8, laid on the background."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey, which PIL would cut off at 255
        grey = np.asarray(image).astype(np.int64)
        opaque = grey != image.info.get("transparency", -1)
        layers = [Image.fromarray((part >> shift).astype(np.uint8)) for part, shift in ((grey, 8), (255 * opaque, 0))]
        image = Image.merge("LA", layers)
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, (*background, 255))
    return np.asarray(Image.alpha_composite(ground, image).convert("RGB"))


def _classes(folder: Path) -> tuple[str, ...]:
    """The names of the folders in ``folder``, sorted."""
    if not folder.is_dir():
        raise CourseError(f"There is no folder {quoted(folder)}; the path is taken from {quoted(Path.cwd())}.")
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(names) < 2:
        there = f"one folder, {names[0]}" if names else "none"
        raise CourseError(
            f"{quoted(folder)} should hold a folder of PNGs for each class, at least two; there is {there}. To tell "
            "nothing apart needs no training: put the pictures of each class into a folder of its own."
        )
    return tuple(names)


def _pngs(folder: Path) -> list[Path]:
    """The PNGs in a class's folder, sorted."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    found = [file for file in files if file.suffix.lower() == ".png"]
    if not found:
        others = f"of its {len(files)} files none ends in .png" if files else "it is empty"
        raise CourseError(
            f"The folder {quoted(folder)} should hold PNGs of its class; {others}. Fill it, or take it out."
        )
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
