"""A head that copies, by hand (03-7): an induction head (Olsson and others, 2022)."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import need_tensor

ENOUGH = 0.9
NAMES = ("W_q", "W_k", "W_v")


def stream_of(tokens: Tensor, V: int) -> Tensor:
    """(T,) -> (T, 2V): which token it is, and which one stood before it; nothing stood before the first."""
    own = F.one_hot(tokens, V).float()
    return torch.cat((own, torch.cat((torch.zeros(1, V), own[:-1]))), dim=1)


def _attention(stream: Tensor, W_q: Tensor, W_k: Tensor) -> Tensor:
    scores = (stream @ W_q) @ (stream @ W_k).T / math.sqrt(W_q.shape[1])
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(dim=-1)


def _judge_copy(attempt: Any) -> str:
    copy_head = need_function(attempt, "copy_head(V)")
    for V, n in ((9, 6), (30, 20)):
        W_q, W_k, W_v = _matrices(call(copy_head, V, shown=f"copy_head(V={V})"), V)
        once = torch.randperm(V)[:n]
        tokens = torch.cat((once, once))  # (2n,): in the second half each token has stood once before
        stream = stream_of(tokens, V)
        weights = _attention(stream, W_q, W_k)
        if not weights.isfinite().all():
            raise Wrong(f"With V={V} the weights are not all finite: make the numbers smaller.")
        places = torch.arange(n, 2 * n)
        _looks_there(weights[places], places - n + 1, places, V)
        _hands_over(weights @ stream @ W_v, tokens, places, n)
    return (
        "An induction head. Where a token comes again, it proposes what followed the last time, for any token, also in "
        "a text that no training has shown. Trained models have such heads. It takes two layers, as it did here: one "
        "writes down the token before, the next one searches for it."
    )


def _matrices(returned: Any, V: int) -> list[Tensor]:
    if not isinstance(returned, (list, tuple)) or len(returned) != 3:
        hint = " Does the function end with return?" if returned is None else ""
        raise Wrong(f"copy_head should return W_q, W_k and W_v; it returned {described(returned)}.{hint}")
    found = []
    for name, matrix in zip(NAMES, returned):
        if isinstance(matrix, Tensor) and matrix.shape == (V, 2 * V):
            raise Wrong(f"{name} should have the shape (2V, V), a row for each number of the stream; it has (V, 2V).")
        found.append(need_tensor(matrix, name, (2 * V, V), "(2V, V)").detach().float())
    return found


def _looks_there(weights: Tensor, wanted: Tensor, places: Tensor, V: int) -> None:
    """Whether each position of the second half looks at what followed its token the first time."""
    shares = weights.gather(1, wanted[:, None])[:, 0]
    share = shares.min().item()
    if share > ENOUGH:
        return
    others = weights.scatter(1, wanted[:, None], 0).amax(dim=1)
    if (shares > others + 1e-6).all():
        raise Wrong(
            f"With V={V} it looks at the right token, but takes only {share:.0%} from it; more than {ENOUGH:.0%} is "
            "wanted. Make the scores larger: multiply one of W_q and W_k."
        )
    words = "Whom should the query find? One that has the token at hand *before* it."
    if (weights.amax(dim=1) - 1 / (places + 1) < 1e-4).all():
        words = "All weights are even: do query and key ever have an entry in common?"
    elif _taken(weights, places, wanted - 1):
        words = "It finds the same token, earlier and at hand. Wanted is the one after: the key is what stood before."
    elif _taken(weights, places - 1, wanted - 2):
        words = "It finds the token before the one at hand. The query should be the token at hand: the first half."
    where = f"position {int(places[-1])} should look at position {int(wanted[-1])}"
    raise Wrong(f"With V={V}, {where}, and takes {shares[-1]:.0%} from it. {words}")


def _taken(weights: Tensor, *columns: Tensor) -> bool:
    """Whether each row but the first takes most from the named columns together."""
    return bool((sum(weights[1:].gather(1, column[1:, None]) for column in columns) > 0.5).all())


def _hands_over(out: Tensor, tokens: Tensor, places: Tensor, n: int) -> None:
    """Whether the mix names the token that followed."""
    guesses = out[places].argmax(dim=1)
    followed = tokens[places - n + 1]
    if (guesses == followed).all() and (out[places].amax(dim=1) > 0).all():
        return
    words = "W_v decides what is handed over: which half of the stream says which token stands there?"
    if (guesses == tokens[places]).all():
        words = "It hands over the token before the one it found, the one at hand: W_v should take the first half."
    raise Wrong(f"It looks at the right position, and proposes the wrong token. {words}")


COPY = Exercise(
    id="03-7",
    title="A head that copies",
    difficulty="hard",
    minutes=20,
    attempt="copy_head",
    expects="your function copy_head(V) itself, without calling it",
    hints=(
        "The token at hand is c. Somewhere before it stands c, and after that the token you want. What do you know of "
        "*that* token's row in the stream? Its second half says c.",
        "So the query is the first half of the row, the key is the second half. `torch.eye(V)` copies V numbers as "
        "they are, `torch.zeros(V, V)` drops them; `torch.cat` puts one above the other.",
        "The value is the first half: which token stands there. And the query times 10 · √V makes a score of 10 where "
        "it fits, against 0 elsewhere.",
    ),
    judge=_judge_copy,
)
