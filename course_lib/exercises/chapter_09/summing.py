"""Linear attention in one pass (09-3): right, and neither N x N nor N x E x E numbers at once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.judge.asking import Known, ask, telling
from course_lib.exercises.judge.calling import call, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.measuring import Meter
from course_lib.exercises.judge.tensors import need_tensor, same_tensor

SHAPES = ((6, 4), (1, 3), (9, 9))
EPS = 0.3
"""Large, so that its place matters."""
LONG, WIDE = 512, 32
MOST = 200
"""Operations for each patch: a solution takes about ten."""
ONE_PASS = 2.5
"""Twice as long a text may cost so many times as much: 2 in one pass, 4 where each patch looks at all before it."""
AGAIN = "Does each patch go through those before it again? All that it needs of them is in the two sums."


def causal(q: Tensor, k: Tensor) -> Tensor:
    """The weights of all pairs, (N, N): this is what the learner should do without."""
    return (q @ k.T).tril()


def attended(weights: Tensor, v: Tensor, eps: float) -> Tensor:
    return weights @ v / (weights.sum(dim=1, keepdim=True) + eps)


def _judge_running(attempt: Any) -> str:
    mine = need_function(attempt, "linear_attention(q, k, v, eps)")
    for N, E in SHAPES:
        q, k = (torch.rand(N, E) + 0.1 for _ in range(2))
        v = torch.randn(N, E)
        shown = f"linear_attention(q, k, v, eps={EPS}) for q, k and v of shape {(N, E)}"
        got = ask(mine, q, k, v, EPS, shown=shown)
        expected = attended(causal(q, k), v, EPS)
        need_tensor(got, f"What {shown} returned", (N, E), "(N, E): one output for each patch")
        known = telling(_known_slips(q, k, v), expected)
        same_tensor(got, expected, f"What {shown} returned", known)
    _costs(mine)
    return (
        "Two sums, E x E and E numbers, are all that is left of the past, after ten patches as after a million. Each "
        "patch costs the same: linear in the length, which gave this attention its name. Softmax attention cannot be "
        "had so: to write e to the power of q · k as a product of features would take infinitely many of them."
    )


def _costs(mine: Callable[..., Any]) -> None:
    """Nothing, if twice as long a text takes about twice as much, and little is held at once."""
    short, long = (_metered(mine, n) for n in (LONG // 2, LONG))
    what = f"linear_attention for N = {LONG} and E = {WIDE}"
    shape = " x ".join(map(str, long.largest))
    if long.peak > LONG * LONG * 3 // 4:
        words = f"One of them has {shape}."
        if long.largest == (LONG, LONG):
            words = f"One of them has {shape}, N x N: every patch with every other. Add up instead, patch by patch."
        elif torch.Size(long.largest).numel() >= LONG * WIDE * WIDE:
            words = f"One of them has {shape}: a sum of E x E for each patch. Keep one sum, and add to it."
        elif torch.Size(long.largest).numel() <= LONG * WIDE:
            words = "None of them is large by itself: an old sum is kept for each patch. Keep one sum, and add to it."
        raise Wrong(
            f"The outputs are right. But {what} held {number(long.peak)} numbers at once in its tensors; q, k and v "
            f"have {number(3 * LONG * WIDE)} together, and one pass needs little more. {words}"
        )
    if long.read > ONE_PASS * short.read:
        raise Wrong(
            f"The outputs are right. But for N = {LONG} its operations read {number(long.read / short.read)} times as "
            f"many numbers as for N = {LONG // 2}; in one pass it is twice as many. {AGAIN} (So does torch.cat onto "
            "the outputs so far: write into a tensor, or stack a list.)"
        )


def _metered(mine: Callable[..., Any], n: int) -> Meter:
    q, k, v = (torch.rand(n, WIDE) + 0.1 for _ in range(3))
    shown = f"linear_attention(q, k, v, eps={EPS}) for q, k and v of shape {(n, WIDE)}"
    many = (
        f"The outputs are right for a few patches. But for N = {n} it had made {MOST * n:,} operations on tensors and "
        f"was not done; in one pass a few for each patch are enough. {AGAIN}"
    )
    with torch.no_grad(), Meter((q, k, v), MOST * n, many) as meter:
        call(mine, q, k, v, EPS, shown=shown)
    return meter


def _known_slips(q: Tensor, k: Tensor, v: Tensor) -> Known:
    w, N = causal(q, k), len(q)
    total = w @ v
    every = q @ k.T
    strict = w.tril(-1)
    root = q.shape[1] ** 0.5
    future = torch.ones(N, N).triu(1).bool()
    norm = w.sum(dim=1, keepdim=True)
    elu = torch.nn.functional.elu
    fq, fk = elu(q) + 1, elu(k) + 1
    turned = (q @ v.T).tril() @ k  # what comes of v k^T in place of k v^T
    return [
        (attended(every, v, EPS), "Each patch hears of later ones. Read output i off right after patch i was added."),
        (attended(strict, v, EPS), "A patch hears itself too: first add its key and value, then read the output off."),
        (total / norm, "eps is missing: it is added to the denominator."),
        (total, "The denominator is missing: divide by q · (sum of the keys) + eps."),
        ((total + EPS) / (norm + EPS), "eps belongs to the denominator alone."),
        (total / norm + EPS, "eps is added to the denominator, not to the fraction."),
        (total / (every.sum(1, keepdim=True) + EPS), "The denominator counts the keys of later patches. It is a sum "
         "that grows along, like the other."),
        (total / (k.cumsum(0).sum(1, keepdim=True) + EPS), "The denominator has no query in it: it is q · (sum of the "
         "keys) + eps."),
        (total / (torch.arange(1, N + 1)[:, None] + EPS), "You divide by the number of patches. The weights are q · k, "
         "and their sum is q · (sum of the keys)."),
        (total / torch.arange(1, N + 1)[:, None], "You divide by the number of patches. The weights are q · k, and "
         "their sum is q · (sum of the keys)."),
        (total / (q.sum(1, keepdim=True) * k.cumsum(0).sum(1, keepdim=True) + EPS), "The denominator is q · (sum of "
         "the keys), number by number; not the sum of the one times the sum of the other."),
        (turned / (norm + EPS), "The sum lies on its side: it is k times v, rows for the numbers of k, and q @ sum "
         "takes the rows together."),
        (turned, "The sum lies on its side: it is k times v, rows for the numbers of k. And no denominator is there."),
        (attended(w.tril().diag().diag(), v, EPS), "Nothing is left of the patches before: add to the sums, do not "
         "replace them."),
        (total / (w.diag()[:, None] + EPS), "The denominator has only the patch's own key in it. It is a sum as well."),
        (w.diag()[:, None] * v / (norm + EPS), "The numerator has only the patch's own value in it. Add to the sum."),
        (attended(w / root, v, EPS), "Do not divide q by the root of E: in the fraction it cancels, but for eps."),
        (attended(causal(fq, fk), v, EPS), "q and k are features already: do not make features of them again."),
        ((q @ k.T).masked_fill(future, -torch.inf).softmax(dim=1) @ v, "That is softmax attention. The weight here is "
         "q · k itself."),
        ((q @ k.T / root).masked_fill(future, -torch.inf).softmax(dim=1) @ v, "That is softmax attention. The weight "
         "here is q · k itself."),
    ]  # fmt: skip


RUNNING = Exercise(
    id="09-3",
    title="Linear attention as a running sum",
    difficulty="medium",
    minutes=12,
    attempt="linear_attention",
    expects="your function linear_attention(q, k, v, eps) itself, without calling it",
    hints=(
        "q · k is a sum over E numbers, so (q · k₀) v₀ + (q · k₁) v₁ is q @ (k₀ v₀ᵀ + k₁ v₁ᵀ). What is in parentheses "
        "does not depend on q, and it grows by one product with each patch.",
        "`k[i][:, None] * v[i]` is that product, (E, E). A second sum, of the keys alone, (E,), makes the denominator: "
        "`q[i] @ norm + eps`.",
        "For each patch: add to both sums, then `out[i] = (q[i] @ total) / (q[i] @ norm + eps)`. Begin with "
        "`torch.zeros(E, E)` and `torch.zeros(E)`.",
    ),
    judge=_judge_running,
)
