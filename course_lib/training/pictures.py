"""Losses of a trainer whose batches are pictures, and what a classifier makes of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.device import device_of
from course_lib.errors import CourseError
from course_lib.losses import cross_entropy
from course_lib.models.mode import evaluating
from course_lib.training.record import Loss


def class_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of a classifier, in nats per picture.

    Args:
        model: x -> scores (B, K) of K classes.
        x: pictures (B, 3, H, W).
        y: (B,) whole numbers: which class it is.

    Raises:
        CourseError: for scores and labels that do not go together.
    """
    logits = model(x)
    if logits.ndim != 2 or y.shape != logits.shape[:1]:
        raise CourseError(
            "A classifier should give scores (B, K) for labels (B,); the scores are "
            f"{tuple(logits.shape)} and the labels {tuple(y.shape)}."
        )
    return cross_entropy(logits[:, None], y[:, None])  # as a text of one token: (B, 1, K) and (B, 1)


def mse_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The mean squared difference between the model's picture and the one it should be; both of one shape."""
    return F.mse_loss(*_pair(model(x), y))


def l1_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The mean absolute difference between the model's picture and the one it should be; both of one shape."""
    return F.l1_loss(*_pair(model(x), y))


def toward(target: Tensor) -> Loss:
    """A loss by which every output should become one picture: the mean squared difference from it.

    Args:
        target: (3, H, W). The batches' own targets do not matter.
    """

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        output = model(x)
        return F.mse_loss(*_pair(output, target.to(output.device).expand(len(x), *target.shape)))

    return loss


def _pair(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float32; CourseError for two shapes, which torch would stretch to one."""
    if output.shape != target.shape:
        raise CourseError(
            f"The model's pictures and their targets should have one shape; they have {tuple(output.shape)} and "
            f"{tuple(target.shape)}."
        )
    return output.float(), target.float()


@dataclass(frozen=True)
class Answers:
    """What a classifier said of N pictures: `ask` makes it."""

    probabilities: Tensor
    """(N, K): how likely it holds each class to be."""
    labels: Tensor
    """(N,): which class each one is."""

    @property
    def said(self) -> Tensor:
        """(N,): the class that it holds to be the likeliest."""
        return self.probabilities.argmax(dim=1)

    @property
    def accuracy(self) -> float:
        """The share of pictures of which it names the class."""
        return (self.said == self.labels).float().mean().item()

    @property
    def confusion(self) -> Tensor:
        """(K, K) counts: how many pictures of class i (rows) it takes for class j (columns)."""
        K = self.probabilities.shape[1]
        return torch.bincount(self.labels * K + self.said, minlength=K * K).view(K, K)

    def worst(self, n: int) -> Tensor:
        """The numbers of the ``n`` pictures whose class it holds to be the least likely, the worst one first."""
        return self.probabilities[torch.arange(len(self.labels)), self.labels].argsort()[:n]


def ask(model: nn.Module, windows: Iterable[tuple[Tensor, Tensor]]) -> Answers:
    """What a classifier says of each picture, in evaluation mode.

    Args:
        windows: pairs of pictures (B, 3, H, W) and labels (B,): a DataLoader, or `LoaderBatches.windows`.

    Raises:
        CourseError: where there are none.
    """
    device, said, labels = device_of(model), list[Tensor](), list[Tensor]()
    with evaluating(model), torch.no_grad():
        for x, y in windows:
            said.append(model(x.to(device)).float().softmax(dim=1).cpu())
            labels.append(y.cpu())
    if not said:
        raise CourseError("There are no pictures to ask about: the windows are empty.")
    return Answers(torch.cat(said), torch.cat(labels))
