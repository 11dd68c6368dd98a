"""Small models for pictures (B, 3, 16, 16): two that name what they see, and one that cleans them."""

from torch import Tensor, nn

from course_lib.errors import CourseError

PIXELS = 16
"""H and W of the pictures; the models are made for no other size."""


def _check(images: Tensor) -> None:
    if images.shape[1:] != (3, PIXELS, PIXELS):
        raise CourseError(
            f"Pictures should be (B, 3, {PIXELS}, {PIXELS}): red, green and blue of each pixel. These are "
            f"{tuple(images.shape)}."
        )


class LinearClassifier(nn.Module):
    """Scores that are weighted sums of the pixels: each class has one template that a picture is laid on.

    Args:
        n_classes: K.
    """

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * PIXELS * PIXELS, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 16, 16) -> scores (B, K)."""
        _check(images)
        return self.linear(images.flatten(1))  # (B, 3, 16, 16) -> (B, 768)


def conv_block(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution, BatchNorm (Ioffe and Szegedy 2015) and ReLU; ``stride`` 2 halves height and width."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False),  # BatchNorm has a bias of its own
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


class ConvClassifier(nn.Module):
    """Three convolutions, each followed by BatchNorm and ReLU, then dropout and a linear layer.

    What a convolution has learned of one place it knows everywhere; the linear layer alone sees where things are.

    Args:
        n_classes: K.
        width: channels after the first convolution; the next ones have twice and four times as many.
        dropout: the share of the last activations set to zero while training.
    """

    def __init__(self, n_classes: int = 10, width: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        self.see = nn.Sequential(
            conv_block(3, width),
            nn.MaxPool2d(2),  # (B, width, 8, 8)
            conv_block(width, 2 * width),
            nn.MaxPool2d(2),  # (B, 2 * width, 4, 4)
            conv_block(2 * width, 4 * width),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width * 16, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 16, 16) -> scores (B, K)."""
        _check(images)
        seen = self.see(images).flatten(1)  # (B, 4 * width, 4, 4) -> (B, 64 * width)
        return self.head(self.dropout(seen))


class Denoiser(nn.Module):
    """An autoencoder: a picture through a narrow place and back, so that what is typical remains and noise does not.

    Args:
        width: channels after the first convolution; at half the height and width there are twice as many.
        code: channels of the narrow place: there 64 times so many numbers stand for a picture's 768.
    """

    def __init__(self, width: int = 16, code: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            conv_block(3, width),
            conv_block(width, 2 * width, stride=2),  # (B, 2 * width, 8, 8)
            conv_block(2 * width, 2 * width),
            nn.Conv2d(2 * width, code, 1),  # (B, code, 8, 8)
        )
        self.decoder = nn.Sequential(
            conv_block(code, 2 * width),
            conv_block(2 * width, 4 * width),
            nn.PixelShuffle(2),  # (B, width, 16, 16): four channels become four pixels (Shi et al. 2016)
            conv_block(width, width),
            nn.Conv2d(width, 3, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 16, 16) -> pictures of the same shape, from 0 to 1."""
        _check(images)
        return self.decoder(self.encoder(images))
