"""Which keys a query may see in a window (09-4)."""

from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.asking import Known, ask
from course_lib.exercises.judge.calling import described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong

CASES = ((6, 3), (5, 1), (5, 5), (4, 9), (1, 1), (7, 2))


def visible(N: int, W: int) -> Tensor:
    """(N, N), in row i the keys that query i may see: the last W up to itself."""
    every = torch.ones(N, N, dtype=torch.bool)
    return every.tril() & every.triu(1 - W)


def _judge_band(attempt: Any) -> str:
    band = need_function(attempt, "band(N, W)")
    for N, W in CASES:
        shown = f"band(N={N}, W={W})"
        got, expected = _need_mask(ask(band, N, W, shown=shown), shown, N), visible(N, W)
        if not got.equal(expected):
            i, j = (got != expected).nonzero()[0].tolist()
            first = max(0, i - W + 1)
            keys = f"key {i} alone" if first == i else f"the keys {first} to {i}"
            words = next((words for wrong, words in _known_slips(N, W) if got.equal(wrong)), "")
            raise Wrong(
                f"{shown}: query {i} may see {keys}; yours has {bool(got[i, j])} at [{i}, {j}]. {words}".rstrip()
            )
    return (
        "Each row has W times True, the first rows fewer, so the work grows with N x W. With W = 1 each patch sees "
        "itself alone; from W = N on it is the mask of a GPT. What lies further back comes through the layers between, "
        "W - 1 patches a layer, or through linear attention."
    )


def _need_mask(value: Any, shown: str, N: int) -> Tensor:
    what = f"What {shown} returned"
    if not isinstance(value, Tensor):
        hint = " Does the function end with return?" if value is None else ""
        made = " torch.tensor(...) makes one of a list of lists." if isinstance(value, list) else ""
        raise Wrong(f"{what} should be a tensor; it is {described(value)}.{hint}{made}")
    if tuple(value.shape) != (N, N):
        raise Wrong(
            f"{what} should have the shape {(N, N)}, a row for each query and a column for each key; it has "
            f"{tuple(value.shape)}. A column `torch.arange(N)[:, None]` compared with a row makes N x N."
        )
    if value.dtype != torch.bool:
        kind = str(value.dtype).removeprefix("torch.")
        raise Wrong(f"{what} should hold True and False; it holds {kind}. A comparison such as j <= i makes them.")
    return value.detach().cpu()


def _known_slips(N: int, W: int) -> Known:
    every = torch.ones(N, N, dtype=torch.bool)
    right, causal = visible(N, W), every.tril()
    i, j = torch.arange(N)[:, None], torch.arange(N)
    return [
        (visible(N, W + 1), "That is one key too many: W counts the query's own patch as well."),
        (visible(N, W - 1) | (every & False), "That is one key too few: with its own patch there are W."),
        (causal & (j < i) & (j >= i - W), "A query sees its own patch too: it is the last of the W."),
        (right.T, "Rows and columns are exchanged: row i belongs to query i, and it sees what was before it."),
        (~right, "It is the other way round: True is what may be seen."),
        (causal, "The future is hidden, the far past is not: beyond the last W patches nothing may be seen."),
        (every.triu(1 - W), "The far past is hidden, the future is not: no query sees a later key."),
        (visible(N, W) | visible(N, W).T, "The window reaches into the future. It ends with the query's own patch."),
        ((i - j).abs() <= W // 2, "The query stands in the middle of your window. It should stand at its end."),
        (causal & (i // W == j // W), "Those are blocks side by side: the window moves along with the query, one patch "
         "at a time."),
        (i // W == j // W, "Those are blocks side by side, and they show the future: the window moves along with the "
         "query and ends with it."),
        (causal & (j < W), "Those are the first W patches of the text. Wanted are the last W up to the query."),
        (visible(N, W) & (i >= W - 1), "The first queries see what there is, even if that is fewer than W keys."),
        (every, "Every query sees every key there."),
        (every & False, "No query sees anything there."),
    ]  # fmt: skip


BAND = Exercise(
    id="09-4",
    title="The window",
    difficulty="medium",
    minutes=7,
    attempt="band",
    expects="your function band(N, W) itself, without calling it",
    hints=(
        "Take query 5 with W = 3 and write down the keys it may see. Which is the first, in terms of i and W?",
        "Two conditions: the key is not later than the query, `j <= i`, and it is one of the last W, `j > i - W`.",
        "`torch.arange(N)[:, None]` is a column of queries, `torch.arange(N)` a row of keys. Compared, they make (N, "
        "N); `&` joins two masks.",
    ),
    judge=_judge_band,
)
