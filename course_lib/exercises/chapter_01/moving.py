"""A trained table moves to a new vocabulary (01-7)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import need_tensor, same_tensor

CASES = (("bdf", "abcdef"), ("abn", "abn"), (" abe", "!abxz"), ("xyz", "abcd"), ("ab", "b"))
"""Old and new vocabularies; between them every kind of move."""
C = 3


def _judge_moved(attempt: Any) -> str:
    moved_table = need_function(attempt, "moved_table(table, old, new)")
    for old, new in CASES:
        table = torch.randn(len(old), C, generator=torch.Generator().manual_seed(7))
        given = table.clone()
        shown = f"moved_table(table, {old!r}, {new!r})"
        returned = _called(moved_table, given, old, new, shown)
        if not given.equal(table):
            raise Wrong(f"{shown} changed the table that it was given. Make a new one.")
        what = f"What {shown} returned"
        need_tensor(returned, what, (len(new), C), "(V, C) of the new vocabulary: one row for each of its characters")
        same_tensor(returned, _moved(table, old, new), what, _known_slips(table, old, new))
        _is_its_own(returned, given, shown)
    return (
        "Each character keeps its row, wherever its id went, and a new one begins as a mean of all: nothing in "
        "particular yet. The head has a row for each id too, and moves the same way."
    )


def _called(moved_table: Callable[..., Any], table: Tensor, old: str, new: str, shown: str) -> Any:
    """What it returns; the two errors that this task leads to are told with their reason."""
    try:
        return call(moved_table, table, old, new, shown=shown)
    except Wrong as told:
        if isinstance(told.__cause__, IndexError):
            raise Wrong(
                f"The table has {len(old)} rows, 0 to {len(old) - 1}, one for each character of {old!r}; yours asked "
                "for another one. An id in new says nothing about the old table: a character's row there is "
                f"old.index(character).\n{told}"
            ) from told
        if isinstance(told.__cause__, ValueError) and "substring" in str(told.__cause__):
            raise Wrong(
                "old.index(character) fails for a character that old does not have. Ask first, `if character in old`, "
                f"and give the others the mean row.\n{told}"
            ) from told
        raise


def _moved(table: Tensor, old: str, new: str, fresh: Tensor | None = None) -> Tensor:
    """(V new, C): the rows of ``new``; ``fresh`` (C,) is the row of a character that ``old`` lacks."""
    fresh = table.mean(dim=0) if fresh is None else fresh
    return torch.stack([table[old.index(character)] if character in old else fresh for character in new])


def _known_slips(table: Tensor, old: str, new: str) -> list[tuple[Tensor, str]]:
    mean, kept = table.mean(dim=0), min(len(old), len(new))
    by_id = torch.cat([table[:kept], mean.expand(len(new) - kept, C)])
    zeros_by_id = torch.cat([table[:kept], torch.zeros(len(new) - kept, C)])
    staying = [table[old.index(character)] for character in old if character in new]
    moved = "The rows kept their ids, not their characters: the old rows stand first, as they stood before."
    slips = [
        (by_id, moved),
        (zeros_by_id, moved),
        (_moved(table, old, new, torch.zeros(C)), "New characters should start with the mean of the old rows; yours "
         "are 0."),
        (_moved(table, old, new, table.mean().expand(C)), "The mean was taken over the whole table, one number. It "
         "should be over the rows, dim=0, which leaves C numbers."),
        (_moved(table, old, new, table.sum(dim=0)), "New characters got the sum of the old rows; divide by how many."),
        (_moved(table, old, new, table[-1]), "New characters got the last old row: find() gives -1 for what is not "
         "there, and as an index that means the last."),
    ]  # fmt: skip
    if len(old) == C:  # only then do the means along the rows look like a row
        words = (
            "New characters got table.mean(dim=1), means along the rows. dim=0 goes down the columns, over all rows."
        )
        slips.append((_moved(table, old, new, table.mean(dim=1)), words))
    if staying:
        of_staying = torch.stack(staying).mean(dim=0)
        slips.append((_moved(table, old, new, of_staying), "The mean was taken over the rows that stay; asked for is "
                      "that of all old rows."))  # fmt: skip
    return slips


def _is_its_own(returned: Tensor, given: Tensor, shown: str) -> None:
    """Whether the new table shares no memory with the old one."""
    kept = returned.detach().clone()
    with torch.no_grad():
        given.add_(1.0)  # the old one moves, since an expanded table cannot be written to
    if not returned.equal(kept):
        raise Wrong(f"{shown} returned the old table itself: whoever trains the new one changes the old. Make a copy.")


MOVED = Exercise(
    id="01-7",
    title="Moving to a new vocabulary",
    difficulty="hard",
    minutes=20,
    attempt="moved_table",
    expects="your function moved_table(table, old, new) itself, without calling it",
    hints=(
        "Go through `new`, character by character: `new[i]` decides what stands in row `i` of the new table.",
        "`old.index(character)` is the row in the old table, if `character in old`. The mean row is "
        "`table.mean(dim=0)`, of shape (C,).",
        "Collect one row for each character in a list; `torch.stack(rows)` makes a tensor (V, C) of them, and copies.",
    ),
    judge=_judge_moved,
)
