"""A dataset of two kinds of pictures, with labels of its own (10-3)."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from course_lib.exercises.judge.calling import call, described
from course_lib.exercises.judge.exercise import Exercise, Unattempted, Wrong
from course_lib.exercises.judge.patience import patience
from course_lib.exercises.judge.tensors import alike

LABELS = (3, 1, 0, 1, 3, 2, 3, 1, 1, 2)
CASES = ((1, 3), (3, 1), (2, 1))
"""The two kinds; the second becomes 1, whichever number it has."""
IS_CLASS = "Expected is your class TwoKinds itself: its name, without parentheses after it. "


def _judge_two_kinds(attempt: Any) -> str:
    if not isinstance(attempt, type) and not callable(attempt):
        raise Wrong(f"{IS_CLASS}It got {described(attempt)}.")
    images, labels = torch.rand(len(LABELS), 3, 4, 4), torch.tensor(LABELS)
    for first, second in CASES:
        shown = f"TwoKinds(images, labels, {first}, {second})"
        with patience(attempt, shown):
            _judge_one(attempt, images, labels, (first, second), shown)
    return (
        "Length and items are all that a DataLoader asks of a dataset: it draws places, asks for each, and makes a "
        "batch of what comes. New labels from 0 on are what cross-entropy needs: with the old ones a model of two "
        "scores would have no third one to look up."
    )


def _judge_one(kind: Any, images: Tensor, labels: Tensor, two: tuple[int, int], shown: str) -> None:
    if isinstance(kind, type) and kind.__init__ is object.__init__:
        raise Wrong(f"{IS_CLASS}It got {described(kind)}, which takes no images: does it have an __init__?")
    dataset = call(kind, images.clone(), labels.clone(), *two, shown=shown)
    if not hasattr(type(dataset), "__len__") or not hasattr(type(dataset), "__getitem__") or not isinstance(kind, type):
        raise Wrong(f"Expected of {shown} is a dataset, with __len__ and __getitem__; it is {described(dataset)}.")
    places = [i for i, label in enumerate(labels.tolist()) if label in two]
    if all(call(method, dataset, *args, shown=shown) is None for method, *args in _asked(kind)):
        raise Unattempted
    length = call(len, dataset, shown=f"len({shown})")
    if length != len(places):
        every = " That is all of them, also those of other kinds." if length == len(labels) else ""
        raise Wrong(f"Of these {len(labels)} pictures, {len(places)} are of the two kinds; the dataset's length is "
                    f"{length}.{every}")  # fmt: skip
    for number, place in enumerate(places):
        item = call(dataset.__getitem__, number, shown=f"{shown}[{number}]")
        _need_item(item, images, (place, number), labels[place].item() == two[1], f"{shown}[{number}]")
    _end(dataset, len(places), shown)
    batch = call(next, iter(DataLoader(dataset, len(places))), shown=f"A DataLoader over {shown}")
    if tuple(batch[0].shape) != (len(places), *images.shape[1:]):
        raise Wrong(f"A DataLoader makes batches of the shape {tuple(batch[0].shape)} of {shown}.")


def _asked(kind: type) -> list[tuple[Any, ...]]:
    """The methods of a class that is still full of dots return nothing."""
    return [(kind.__len__,), (kind.__getitem__, 0)]


def _need_item(item: Any, images: Tensor, where: tuple[int, int], target: bool, what: str) -> None:
    place, number = where
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        hint = " Does __getitem__ end with return?" if item is None else ""
        raise Wrong(f"{what} should be a pair, a picture and its label; it is {described(item)}.{hint}")
    image, label = item
    if not isinstance(image, Tensor) or image.shape != images.shape[1:]:
        raise Wrong(f"{what} should begin with a picture, a tensor of the shape (3, H, W); it begins with "
                    f"{described(image)}.")  # fmt: skip
    if not alike(image, images[place]):
        old = " It is that number among all pictures: count only those of the two kinds." if alike(
            image, images[number]) else ""  # fmt: skip
        raise Wrong(f"{what} should be picture {place} of all, the one at place {number} of the two kinds.{old}")
    number_of = label.item() if isinstance(label, Tensor) and label.ndim == 0 else label
    if isinstance(number_of, float) or not isinstance(number_of, int):
        raise Wrong(f"The label of {what} should be a whole number, 0 or 1; it is {described(label)}.")
    if number_of != int(target):
        words = "the old label stands there" if number_of == LABELS[place] else "are the two the wrong way round?"
        words = "the first kind is 0, the second 1, whichever numbers they have" if number_of in (0, 1) else words
        raise Wrong(f"The label of {what} should be {int(target)}; it is {number_of}: {words}.")


def _end(dataset: Any, length: int, shown: str) -> None:
    """A `for` loop over a dataset ends at the first IndexError."""
    behind = (
        f"{shown}[{length}] lies behind the end. It should raise IndexError, by which a for loop knows that all items "
        "have come;"
    )
    try:
        dataset[length]
    except IndexError:
        return
    except Exception as error:
        raise Wrong(f"{behind} it raised {type(error).__name__}.") from error
    raise Wrong(f"{behind} it gave something.")


TWO_KINDS = Exercise(
    id="10-3",
    title="A dataset of two kinds",
    difficulty="medium",
    minutes=10,
    attempt="TwoKinds",
    expects="your class TwoKinds itself, without parentheses after it",
    hints=(
        "Choose once, in `__init__`. A mask of True and False picks rows of a tensor: `images[mask]`.",
        "`(labels == first) | (labels == second)` is the mask. The new labels are 1 where the old one is `second`.",
        "`__len__` returns how many were chosen, and `__getitem__` the pair "
        "`self.images[index], int(self.targets[index])`.",
    ),
    judge=_judge_two_kinds,
)
