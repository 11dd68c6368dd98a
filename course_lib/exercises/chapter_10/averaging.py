"""The mean loss of an epoch, from batch means and sizes (10-1)."""

from typing import Any

from course_lib.exercises.judge.asking import ask
from course_lib.exercises.judge.calling import need_function
from course_lib.exercises.judge.exercise import Exercise
from course_lib.exercises.judge.values import near, same_number

CASES = (
    ([2.0, 4.0], [64, 16]),
    ([1.0, 1.0, 6.0], [64, 64, 8]),
    ([0.5, 0.25, 3.0], [4, 4, 4]),
    ([1.5], [7]),
    ([2.5, 0.5, 1.0], [1, 30, 2]),
)


def mean(losses: list[float], sizes: list[int]) -> float:
    return sum(loss * size for loss, size in zip(losses, sizes)) / sum(sizes)


def _judge_mean(attempt: Any) -> str:
    epoch_mean = need_function(attempt, "epoch_mean(losses, sizes)")
    for losses, sizes in CASES:
        shown = f"epoch_mean({losses}, {sizes})"
        expected = mean(losses, sizes)
        slips = [(wrong, words) for wrong, words in _known_slips(losses, sizes) if not near(wrong, expected)]
        same_number(ask(epoch_mean, losses, sizes, shown=shown), expected, f"What {shown} returned", slips)
    return (
        "A batch mean speaks for as many pictures as its batch has. Where all batches are equally large it makes no "
        "difference; with a small last batch the plain mean gives each of its pictures more to say than the others, "
        "and the number depends on the batch size. Yours does not: it is the mean over pictures."
    )


def _known_slips(losses: list[float], sizes: list[int]) -> list[tuple[float, str]]:
    total, n = sum(loss * size for loss, size in zip(losses, sizes)), len(losses)
    return [
        (sum(losses) / n, "That is the mean of the batch means: a batch of 8 counts as much as one of 64."),
        (sum(losses[:-1]) / max(n - 1, 1), "The last batch is left out. Its pictures belong to the epoch too."),
        (mean(losses[:-1], sizes[:-1]) if n > 1 else 0.0, "The last batch is left out. Its pictures belong to the "
         "epoch too."),
        (total, "That is the sum over all pictures: divide it by how many there are."),
        (total / n, "You divide by the number of batches. The sum is over pictures, so divide by their number."),
        (total / (n * max(sizes)), "You divide as if each batch were as large as the largest: add up the sizes."),
        (total / (n * sizes[0]), "You divide as if each batch were as large as the first one: add up the sizes."),
        (sum(losses), "The losses are added up and nothing is divided. A mean over the pictures is wanted."),
        (sum(losses) / sum(sizes), "Each batch mean has to count as often as its batch has pictures: loss times size."),
        (sum(loss / size for loss, size in zip(losses, sizes)), "Multiply each batch mean by its size: that is what "
         "its pictures' losses add up to."),
        (sum(loss / size for loss, size in zip(losses, sizes)) / sum(1 / size for size in sizes), "The weights are "
         "upside down: a larger batch counts more, not less."),
    ]  # fmt: skip


MEAN = Exercise(
    id="10-1",
    title="The mean of an epoch",
    difficulty="easy",
    minutes=5,
    attempt="epoch_mean",
    expects="your function epoch_mean(losses, sizes) itself, without calling it",
    hints=(
        "The mean is the sum of the losses of all pictures, over the number of pictures. What do the losses of one "
        "batch's pictures add up to?",
        "A batch mean times the batch's size is what its pictures add up to. Add those up, and the sizes.",
        "`sum(loss * size for loss, size in zip(losses, sizes)) / sum(sizes)`",
    ),
    judge=_judge_mean,
)
