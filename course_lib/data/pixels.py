"""Pictures as rows of tokens, one for each pixel: what a language model reads and writes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from course_lib.corpora.sprites import KINDS, PALETTE, SIZE
from course_lib.data.pictures import LabelledPictures
from course_lib.errors import CourseError, need_whole

MISSING = (255, 0, 255)
"""What stands where a model has written no color: magenta, as games draw a texture that is missing."""


class PixelTokenizer:
    """A picture as its class's token, then a token for each pixel, row by row: 1 + H x W ids.

    A color is one of a palette, by its place in it; whatever has another color gets the nearest one. The classes' ids
    come after the colors'. With the sprites' own palette nothing is lost.

    Args:
        palette: red, green and blue of each color, 0 to 255; `palette_of` finds it for other pictures.
        classes: the name of each class.
        size: pixels in each direction.

    Raises:
        CourseError: for an empty palette.
    """

    def __init__(
        self, palette: Sequence[tuple[int, int, int]] = PALETTE, classes: Sequence[str] = KINDS, size: int = SIZE
    ) -> None:
        if not palette:
            raise CourseError("A palette should have at least one color.")
        self.palette, self.classes, self.size = tuple(palette), tuple(classes), size
        self._colors = torch.tensor(self.palette).float()  # (K, 3)

    @property
    def vocab_size(self) -> int:
        """V: how many ids there are, colors and classes together."""
        return len(self.palette) + len(self.classes)

    @property
    def length(self) -> int:
        """Ids of a picture: its class's, and one for each pixel."""
        return 1 + self.size**2

    def class_id(self, label: int | str) -> int:
        """The id of a class, given by its number or its name; CourseError where there is none."""
        if isinstance(label, str):
            if label not in self.classes:
                raise CourseError(f"There is no class {label!r}; known are {', '.join(self.classes)}.")
            label = self.classes.index(label)
        if not 0 <= label < len(self.classes):
            raise CourseError(f"A label should be from 0 to {len(self.classes) - 1}; it is {label}.")
        return len(self.palette) + label

    def encode(self, images: Tensor, labels: Sequence[int] | Tensor) -> Tensor:
        """Pictures (N, 3, H, W) from 0 to 1 and their labels (N,) -> ids (N, 1 + H * W) int64."""
        if images.shape[1:] != (3, self.size, self.size):
            raise CourseError(
                f"Pictures should be (N, 3, {self.size}, {self.size}); these are {tuple(images.shape)}. Give the "
                "PixelTokenizer the size that they have."
            )
        each, numbers = _different(images)  # few, as a rule: each is compared once
        nearest = torch.cdist(each.float(), self._colors.to(images.device)).argmin(dim=1)
        first = torch.tensor([[self.class_id(int(label))] for label in labels], device=images.device)
        return torch.cat((first, nearest[numbers].view(len(images), -1)), dim=1)

    def decode(self, ids: Tensor) -> Tensor:
        """Ids (N, 1 + H * W) -> pictures (N, 3, H, W); a class's id where a color should stand becomes `MISSING`."""
        if ids.ndim != 2 or ids.shape[1] != self.length:
            raise CourseError(
                f"Ids should be (N, {self.length}), a class and its pixels; these are {tuple(ids.shape)}."
            )
        missing = torch.tensor([MISSING] * len(self.classes)).float().view(-1, 3)
        colors = torch.cat((self._colors, missing)).to(ids.device) / 255
        return colors[ids[:, 1:]].view(-1, self.size, self.size, 3).permute(0, 3, 1, 2)

    def labels(self, ids: Tensor) -> Tensor:
        """The labels (N,) that ids (N, ...) begin with."""
        return ids[:, 0] - len(self.palette)


class PixelRows(Dataset[tuple[Tensor, Tensor]]):
    """``rows[i]`` is what a language model learns from a picture: ids x and y, (H * W,) each, y shifted by one.

    ``x`` begins with the class and lacks the last pixel; ``y`` is all the pixels. ``ids`` has both, (N, 1 + H * W).
    """

    def __init__(self, pictures: LabelledPictures, tokenizer: PixelTokenizer | None = None) -> None:
        self.tokenizer = tokenizer or PixelTokenizer(classes=pictures.classes)
        self.ids = self.tokenizer.encode(pictures.images, pictures.labels)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row = self.ids[index]
        return row[:-1], row[1:]


def nearest(drawn: Tensor, known: Tensor) -> Tensor:
    """In how many pixels each picture differs from the known one that is most like it: (N,); 0 is a copy.

    Args:
        drawn: ids (N, 1 + H * W), as `PixelTokenizer` makes them.
        known: the same of those that it is compared with.
    """
    return torch.stack([(known[:, 1:] != row[1:]).sum(dim=1).min() for row in drawn])


def palette_of(images: Tensor, most: int = 64) -> tuple[tuple[int, int, int], ...]:
    """The colors of pictures (N, 3, H, W): all of them, where they are at most ``most``, else so many that stand for
    the rest (median cut, Heckbert 1982).

    Raises:
        CourseError: for a number that is not from 1 to 256.
    """
    from PIL import Image

    if need_whole("most", most, 1) > 256:
        raise CourseError(f"most should be at most 256, as PIL's palettes have no more; it is {most}.")
    each, numbers = _different(images)
    if len(each) > most:
        picture = Image.fromarray(each[numbers].flatten(0, 1).to(torch.uint8).numpy())  # all below one another
        reduced = picture.quantize(most, Image.Quantize.MEDIANCUT).convert("RGB")
        each = torch.tensor(sorted(color for _, color in reduced.getcolors(most) or []))
    return tuple((red, green, blue) for red, green, blue in each.tolist())


def _different(images: Tensor) -> tuple[Tensor, Tensor]:
    """The different colors of pictures (N, 3, H, W), (K, 3) from 0 to 255, and which one each pixel has, (N, H, W)."""
    red, green, blue = (images * 255).round().long().clamp(0, 255).unbind(dim=1)
    each, numbers = (red << 16 | green << 8 | blue).unique(return_inverse=True)
    return torch.stack([each >> 16, each >> 8 & 255, each & 255], dim=1), numbers
