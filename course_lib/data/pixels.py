"""Pictures as rows of tokens, one for each pixel: what a language model reads and writes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from course_lib.corpora.sprites import KINDS, PALETTE, SIZE
from course_lib.data.pictures import LabelledPictures
from course_lib.errors import CourseError

MISSING = (255, 0, 255)
"""What stands where a model has written no color: magenta, as games draw a texture that is missing."""


class PixelTokenizer:
    """A picture as its class's token, then a token for each pixel, row by row: 1 + H x W ids.

    A color is one of a palette, by its place in it; whatever has another color gets the nearest one. The classes' ids
    come after the colors'. With the sprites' own palette nothing is lost.

    Args:
        palette: red, green and blue of each color, 0 to 255.
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
        bytes_ = (images * 255).round().long().clamp(0, 255)
        packed = (bytes_ * torch.tensor([1 << 16, 1 << 8, 1], device=images.device).view(3, 1, 1)).sum(1)  # (N, H, W)
        each, numbers = packed.unique(return_inverse=True)  # a picture has few colors: each is compared once
        unpacked = torch.stack([each >> 16, each >> 8 & 255, each & 255], dim=1).float()
        nearest = torch.cdist(unpacked, self._colors.to(images.device)).argmin(dim=1)
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
