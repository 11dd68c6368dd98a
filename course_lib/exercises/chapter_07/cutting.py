"""Cutting the tail: exactly k of equals (07-3), and a nucleus in any order (07-4)."""

from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.chapter_07.rows import same_probabilities
from course_lib.exercises.judge.calling import call, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.tensors import need_tensor
from course_lib.sampling import ROUNDING

K_CASES = (
    ([0.1, 0.4, 0.2, 0.3], 2), ([0.25, 0.25, 0.25, 0.25], 2), ([0.1, 0.3, 0.3, 0.3], 2), ([0.2, 0.5, 0.3], 3),
    ([0.2, 0.5, 0.3], 7), ([0.2, 0.2, 0.6], 1), ([0.05, 0.2, 0.35, 0.2, 0.2], 3),
)  # fmt: skip


def _kept(probabilities: list[float], places: list[int]) -> list[float]:
    """What is left where only ``places`` stay, renormalized."""
    together = sum(probabilities[i] for i in places)
    return [p / together if i in places else 0.0 for i, p in enumerate(probabilities)]


def _judge_exactly_k(attempt: Any) -> str:
    exactly_k = need_function(attempt, "exactly_k(probabilities, k)")
    for probabilities, k in K_CASES:
        given = list(probabilities)
        shown = f"exactly_k({probabilities}, k={k})"
        returned = call(exactly_k, given, k, shown=shown)
        if given != probabilities:
            raise Wrong(f"{shown} changed the list that it was given. Make a list of your own.")
        n = len(probabilities)
        order = sorted(range(n), key=lambda i: -probabilities[i])
        places = order[:k]
        last = sorted(range(n), key=lambda i: (-probabilities[i], -i))[:k]
        equals = [i for i in range(n) if probabilities[i] >= probabilities[places[-1]]]
        mistakes = [
            (_kept(probabilities, equals), "All equals of the k-th have stayed, as in the chapter's top-k: here "
             "exactly k should, of equals the first ones."),
            (_kept(probabilities, last), "Of equals the last ones have stayed; it should be the first ones."),
            ([p if i in places else 0.0 for i, p in enumerate(probabilities)], "The right ones stay, but they are "
             "not renormalized: divide by their sum."),
            (_kept(probabilities, order[: k + 1]), "One too many has stayed."),
            (_kept(probabilities, order[: max(k - 1, 1)]), "One more should stay."),
            (_kept(probabilities, sorted(range(n), key=lambda i: probabilities[i])[:k]), "Those are the unlikeliest."),
            (_kept(probabilities, list(range(min(k, n)))), "Those are the first k in the list, not the k likeliest."),
            (sorted(_kept(probabilities, places), reverse=True), "The right ones, but sorted: each should stand at its "
             "own place, since the place says which token it is."),
        ]  # fmt: skip
        same_probabilities(returned, _kept(probabilities, places), f"What {shown} returned", mistakes)
    return (
        "Exactly k are left, whatever is equal. It rarely matters which way one takes: in 32 bits, trained models "
        "hardly ever give two tokens the same probability. But it should be said, and a test should know it."
    )


EXACTLY_K = Exercise(
    id="07-3",
    title="Exactly k",
    difficulty="medium",
    minutes=8,
    attempt="exactly_k",
    expects="your function exactly_k(probabilities, k) itself, without calling it",
    hints=(
        "A threshold cannot tell equals apart. Choose places, not values.",
        "`sorted(range(len(probabilities)), key=lambda i: -probabilities[i])` lists the places from likely to "
        "unlikely; `sorted` leaves equals in their order.",
        "Keep the first k places of that list as a set, put 0.0 everywhere else, and divide by the sum. A slice that "
        "is longer than the list is no error.",
    ),
    judge=_judge_exactly_k,
)

P_CASES = (
    ([0.125, 0.5, 0.0625, 0.25, 0.0625], 0.7), ([0.125, 0.5, 0.0625, 0.25, 0.0625], 0.75),
    ([0.0625, 0.0625, 0.875], 0.5), ([0.25, 0.125, 0.5, 0.125], 1.0), ([0.125, 0.25, 0.5, 0.125], 0.8),
    ([0.5, 0.25, 0.25], 0.01), ([0.25, 0.25, 0.25, 0.25], 0.5),
)  # fmt: skip


def _nucleus(probabilities: list[float], p: float) -> list[int]:
    """The places that stay, from likely to unlikely."""
    places: list[int] = []
    together = 0.0
    for i in sorted(range(len(probabilities)), key=lambda i: -probabilities[i]):
        if together < p * (1 - ROUNDING):
            places.append(i)
            together += probabilities[i]
    return places


def _judge_nucleus(attempt: Any) -> str:
    nucleus = need_function(attempt, "nucleus(probabilities, p)")
    for probabilities, p in P_CASES:
        given = torch.tensor(probabilities)
        shown = f"nucleus({probabilities}, p={p})"
        returned = call(nucleus, given, p, shown=shown)
        if not torch.equal(given, torch.tensor(probabilities)):
            raise Wrong(f"{shown} changed the tensor that it was given. Make a new one: masked_fill, without _.")
        what = f"What {shown} returned"
        value: Tensor = need_tensor(returned, what, (len(probabilities),), "(V,): one for each token")
        if not value.isfinite().all():
            raise Wrong(
                f"{what} holds {value[~value.isfinite()][0].item()}: nothing was left, and 0 / 0 is no number. The "
                "token that crosses p stays: so at least one always does."
            )
        expected = _kept(probabilities, _nucleus(probabilities, p))
        same_probabilities(value, expected, what, _nucleus_mistakes(probabilities, p))
    return (
        "What came before a token decides, not what has come with it: so the one that crosses p stays. And sort moves "
        "tokens: scatter brings each back. (The library forgives a sum two millionths of p: 0.7 + 0.1 should be 0.8, "
        "and is 0.7999999999999999.)"
    )


def _nucleus_mistakes(probabilities: list[float], p: float) -> list[tuple[list[float], str]]:
    places = _nucleus(probabilities, p)
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
    ordered = [probabilities[i] for i in order]
    moved = _kept(ordered, list(range(len(places))))
    in_order = [q if i < len(places) else 0.0 for i, q in enumerate(probabilities)]
    by_mask = [q / sum(in_order) for q in in_order] if sum(in_order) else in_order
    equals = [i for i, q in enumerate(probabilities) if q >= probabilities[places[-1]]]
    mistakes = [
        (_kept(probabilities, equals), "All equals of the last one have stayed: a threshold cannot tell them apart."),
        (moved, "Those are the right numbers in sorted order: each token has lost its place. sort also returns the "
         "places; bring each back to its own."),
        (by_mask, "The mask was made for the sorted row and put on the unsorted one: it cuts by place, not by "
         "probability. Bring it back to the tokens' own places."),
        ([q if i in places else 0.0 for i, q in enumerate(probabilities)], "The right ones stay, but they are not "
         "renormalized: divide by their sum."),
        (_kept(probabilities, order[: len(places) + 1]), "One too many has stayed: as soon as p is reached, it is "
         "enough."),
    ]  # fmt: skip
    if len(places) > 1:
        mistakes.append((_kept(probabilities, places[:-1]), "The token that crosses p is missing: the ones that stay "
                         "should together reach p."))  # fmt: skip
    rising: list[int] = []
    for i in reversed(order):
        if sum(probabilities[j] for j in rising) < p:
            rising.append(i)
    mistakes.append((_kept(probabilities, rising), "Those are the unlikeliest: sort in descending order."))
    return mistakes


NUCLEUS = Exercise(
    id="07-4",
    title="A nucleus in any order",
    difficulty="medium",
    minutes=12,
    attempt="nucleus",
    expects="your function nucleus(probabilities, p) itself, without calling it",
    hints=(
        "`ordered, places = probabilities.sort(descending=True, stable=True)` gives the values from large to small, "
        "equals in their order, and where each came from. `ordered.cumsum(0)` is the running sum.",
        "Cut a token if the sum *before* it has reached p: `ordered.cumsum(0) - ordered >= p`. So the one that crosses "
        "p stays.",
        "`torch.zeros_like(probabilities).scatter_(0, places, kept)` puts each of `kept` back to its own place. Then "
        "divide by the sum.",
    ),
    judge=_judge_nucleus,
)
