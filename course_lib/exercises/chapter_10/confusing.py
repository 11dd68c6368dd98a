"""A confusion matrix from labels and answers (10-2)."""

from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.asking import Known, ask, telling
from course_lib.exercises.judge.calling import need_function
from course_lib.exercises.judge.exercise import Exercise
from course_lib.exercises.judge.tensors import need_tensor, same_tensor

CASES = (
    ([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 0, 0], 3),
    ([1, 1, 1, 0], [1, 1, 0, 0], 4),
    ([3, 3, 0, 2, 2, 0], [1, 1, 0, 2, 3, 2], 5),
    ([], [], 2),
)
"""Labels, answers and how many classes; in some cases a class never comes."""


def table_of(labels: Tensor, answers: Tensor, n_classes: int) -> Tensor:
    return torch.bincount(labels * n_classes + answers, minlength=n_classes**2).view(n_classes, n_classes)


def _judge_confusion(attempt: Any) -> str:
    confusion = need_function(attempt, "confusion(labels, answers, n_classes)")
    for label_list, answer_list, n_classes in CASES:
        labels, answers = (torch.tensor(row, dtype=torch.long) for row in (label_list, answer_list))
        shown = f"confusion(torch.tensor({label_list}), torch.tensor({answer_list}), {n_classes})"
        got = ask(confusion, labels, answers, n_classes, shown=shown)
        right, what = table_of(labels, answers, n_classes), f"What {shown} returned"
        missing = " A class that never came has its row and its column too: they are zero."
        need_tensor(got, what, (n_classes, n_classes), f"a row and a column for each class.{missing}")
        same_tensor(got, right, what, telling(_known_slips(labels, answers, right), right))
    return (
        "A row is what a class was taken for: its entries add up to how often the class came. The diagonal is what was "
        "named right, so accuracy is its sum over the sum of all. What a single accuracy hides stands beside it: "
        "whether the mistakes are spread, or all between two classes."
    )


def _known_slips(labels: Tensor, answers: Tensor, right: Tensor) -> Known:
    right_ones = torch.diag(right.diag())
    return [
        (right.T, "Rows and columns are the wrong way round: the row is the true class, the column the answer."),
        (right.clamp(max=1), "A pair that comes twice counts twice: add 1, do not set to 1. (`table[labels, answers] "
         "+= 1` adds only once for each pair.)"),
        (right.T.clamp(max=1), "Rows and columns are the wrong way round, and a pair that comes twice counts twice."),
        (right_ones, "Only the right answers are counted. The wrong ones are what the table is for."),
        (right - right_ones, "The right answers are missing: they stand on the diagonal."),
        (right + right.T, "Each pair is counted on both sides of the diagonal. A ghost taken for a slime is one thing, "
         "a slime taken for a ghost another."),
        (2 * right, "Each pair is counted twice."),
    ]  # fmt: skip


CONFUSION = Exercise(
    id="10-2",
    title="Who is taken for whom",
    difficulty="easy",
    minutes=7,
    attempt="confusion",
    expects="your function confusion(labels, answers, n_classes) itself, without calling it",
    hints=(
        "Begin with a table of zeros, `torch.zeros(n_classes, n_classes, dtype=torch.long)`, and go through the "
        "pictures.",
        "Each picture adds 1 at one place: its row is its label, its column is the answer.",
        "`for label, answer in zip(labels.tolist(), answers.tolist()): table[label, answer] += 1`",
    ),
    judge=_judge_confusion,
)
