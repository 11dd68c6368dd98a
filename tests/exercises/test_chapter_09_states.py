"""Chapter 09's checks, its last two: a state that is continued, and when thinking stops; planted wrong answers."""

import collections
import math
import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib.config import AGIFormerConfig
from course_lib.exercises import check
from course_lib.exercises.chapter_09.stepping_slips import together
from course_lib.models.agiformer.linear_attention import linear_attention
from course_lib.models.agiformer.state import LayerState
from course_lib.models.agiformer.thinking import Thinking
from course_lib.models.agiformer.window_attention import window_attention

from .planted import endless, nothing, raises, slow, solved, then

pytestmark = pytest.mark.usefixtures("one_thread")


# 09-6 -----------------------------------------------------------------------------------------------------


def features(x):
    return F.elu(x) + 1


def step_06(
    fk=features, fq=features, below=lambda q, norm, k, eps: q @ norm + eps, outer=lambda k, v: k[:, None] * v,
    decay=1.0, sums_first=True, window_first=True, wide=0, keep=lambda x, W: x[-W:] if W else x[:0], scale=math.sqrt,
    wk=lambda x: x, join=lambda everything, near: everything + near, order=lambda out, state: (out, state),
):  # fmt: skip
    """The solution with one thing or another gone wrong."""

    def step(state, q, k, v, W, eps):
        E = len(q)
        total, norm, keys, values = state or (torch.zeros(E, E), torch.zeros(E), torch.zeros(0, E), torch.zeros(0, E))
        old = total, norm, keys, values
        total, norm = decay * total + outer(fk(k), v), decay * norm + fk(k)
        keys, values = keep(torch.cat((keys, wk(k)[None])), W + wide), keep(torch.cat((values, v[None])), W + wide)
        used = (total, norm) if sums_first else old[:2]
        everything = fq(q) @ used[0] / below(fq(q), used[1], fk(k), eps)
        seen = (keys, values) if window_first else old[2:]
        near = (seen[0] @ wk(q) / scale(E)).softmax(0) @ seen[1]
        return order(join(everything, near), (total, norm, keys, values))

    return step


def empty_ring(state, q, k, v, W, eps):
    """W places from the beginning, full of zeros."""
    E = len(q)
    state = state or (torch.zeros(E, E), torch.zeros(E), torch.zeros(W, E), torch.zeros(W, E))
    return solved("09-6")(state, q, k, v, W, eps)


def in_place(state, q, k, v, W, eps):
    E = len(q)
    state = state or [torch.zeros(E, E), torch.zeros(E), torch.zeros(0, E), torch.zeros(0, E)]
    state[0] += features(k)[:, None] * v
    state[1] += features(k)
    state[2], state[3] = torch.cat((state[2], k[None]))[-W:], torch.cat((state[3], v[None]))[-W:]
    near = (state[2] @ q / math.sqrt(E)).softmax(0) @ state[3]
    return features(q) @ state[0] / (features(q) @ state[1] + eps) + near, state


def a_deque(state, q, k, v, W, eps):
    """The oldest falls out by itself; but append changes the old state."""
    E = len(q)
    total, norm, last = state or (torch.zeros(E, E), torch.zeros(E), collections.deque(maxlen=W))
    total, norm = total + features(k)[:, None] * v, norm + features(k)
    last.append((k, v))
    keys, values = (torch.stack(rows) for rows in zip(*last))
    near = (keys @ q / math.sqrt(E)).softmax(0) @ values
    return features(q) @ total / (features(q) @ norm + eps) + near, (total, norm, last)


def outside():
    """The state is kept in a name outside."""
    kept = {}

    def step(state, q, k, v, W, eps):
        if state is None:
            kept["state"] = None
        out, kept["state"] = solved("09-6")(kept["state"], q, k, v, W, eps)
        return out, "mine"

    return step


def default_ring(right):
    """Right for one text at a time: the keys are in a default value, emptied at a text's beginning."""

    def step(state, q, k, v, W, eps, kept=[]):  # noqa: B006
        if state is None:
            kept.clear()
        kept.append((k, v))
        del kept[:-W]
        _, (total, norm, *_) = right(state, q, k, v, W, eps)
        keys, values = (torch.stack(rows) for rows in zip(*kept))
        near = (keys @ q / math.sqrt(len(q))).softmax(0) @ values
        everything = features(q) @ total / (features(q) @ norm + eps)
        return everything + near, (total, norm, torch.zeros(0, len(q)), torch.zeros(0, len(q)))

    return step


def keeps_all(state, q, k, v, W, eps):
    """Right, from everything that there was."""
    past = (*(state or ()), (q, k, v))
    return together(*(torch.stack(rows) for rows in zip(*past)), W, eps)[-1], past


def keeps_all_keys(state, q, k, v, W, eps):
    E = len(q)
    total, norm, keys, values = state or (torch.zeros(E, E), torch.zeros(E), torch.zeros(0, E), torch.zeros(0, E))
    total, norm = total + features(k)[:, None] * v, norm + features(k)
    keys, values = torch.cat((keys, k[None])), torch.cat((values, v[None]))
    near = (keys[-W:] @ q / math.sqrt(E)).softmax(0) @ values[-W:]
    return features(q) @ total / (features(q) @ norm + eps) + near, (total, norm, keys, values)


def cut_after_the_softmax(state, q, k, v, W, eps):
    E = len(q)
    total, norm, keys, values = state or (torch.zeros(E, E), torch.zeros(E), torch.zeros(0, E), torch.zeros(0, E))
    total, norm = total + features(k)[:, None] * v, norm + features(k)
    keys, values = torch.cat((keys, k[None])), torch.cat((values, v[None]))
    near = (keys @ q / math.sqrt(E)).softmax(0)[-W:] @ values[-W:]
    return features(q) @ total / (features(q) @ norm + eps) + near, (total, norm, keys, values)


def no_beginning(state, q, k, v, W, eps):
    total, norm, keys, values = state
    return q, (total, norm, keys, values)


def changes_q(state, q, k, v, W, eps):
    right = solved("09-6")(state, q, k, v, W, eps)
    q /= math.sqrt(len(q))
    return right


def sums_of_the_window(state, q, k, v, W, eps):
    keys, values = state or (torch.zeros(0, len(q)), torch.zeros(0, len(q)))
    keys, values = torch.cat((keys, k[None]))[-W:], torch.cat((values, v[None]))[-W:]
    weights = features(keys) @ features(q)
    near = (keys @ q / math.sqrt(len(q))).softmax(0) @ values
    return weights @ values / (weights.sum() + eps) + near, (keys, values)


def by_number():
    """The states lie outside, by the number of patches: one text at a time is right, whichever way it goes on."""
    kept = {0: None}

    def step(state, q, k, v, W, eps):
        n = state or 0
        out, kept[n + 1] = solved("09-6")(kept[n], q, k, v, W, eps)
        return out, n + 1

    return step


WRONG_6 = {
    "no window": (step_06(join=lambda everything, near: everything), "The window's part is missing"),
    "the window alone": (step_06(join=lambda everything, near: near), "Linear attention's part is missing"),
    "a mean of both": (step_06(join=lambda everything, near: (everything + near) / 2), "added, not averaged"),
    "one too many": (step_06(wide=1), "The window holds one patch too many"),
    "one too few": (step_06(wide=-1), "The window holds one patch too few"),
    "no end of the window": (step_06(keep=lambda x, W: x), "The window has no end"),
    "the first ones": (step_06(keep=lambda x, W: x[:W]), "The window keeps the first W patches"),
    "itself alone": (step_06(keep=lambda x, W: x[-1:]), "The window holds this patch alone"),
    "not scaled": (step_06(scale=lambda E: 1), "divided by the root of E before the softmax"),
    "scaled too much": (step_06(scale=lambda E: E), "by the root of E, not by E"),
    "features in the window": (step_06(wk=features), "features are for the sums alone"),
    "no features": (step_06(fk=lambda x: x, fq=lambda x: x), "The sums take features of q and k"),
    "no features of k": (step_06(fk=lambda x: x), "The sum takes the features of k too"),
    "no features of q": (step_06(fq=lambda x: x), "q needs features too"),
    "elu alone": (step_06(fk=F.elu, fq=F.elu), "without the 1"),
    "q scaled": (step_06(fq=lambda x: features(x) / math.sqrt(len(x))), "belongs to the window alone"),
    "sums of the window": (sums_of_the_window, "nothing leaves them"),
    "nothing added": (step_06(decay=0.0), "Nothing is left of the patches before in the sums"),
    "forgetting": (step_06(decay=0.9), "the outputs: at [1, "),
    "sums read before": (step_06(sums_first=False), "comes into the sums first"),
    "window read before": (step_06(window_first=False), "comes into the window first"),
    "no eps": (step_06(below=lambda q, norm, k, eps: q @ norm), "eps is missing"),
    "no eps, read before": (step_06(sums_first=False, below=lambda q, norm, k, eps: q @ norm), "is not finite"),
    "no denominator": (step_06(below=lambda q, norm, k, eps: 1), "The denominator of linear attention is missing"),
    "no query below": (step_06(below=lambda q, norm, k, eps: norm.sum() + eps), "no query in it"),
    "its own key below": (step_06(below=lambda q, norm, k, eps: q @ k + eps), "only this patch's key"),
    "on its side": (step_06(outer=lambda k, v: v[:, None] * k), "The sum lies on its side"),
    "cut after the softmax": (cut_after_the_softmax, "The softmax ran over all keys so far"),
    "empty places": (empty_ring, "the empty places of the window are asked too"),
    "keeps all": (keeps_all, ("The outputs are right. But", "it grows. 44 are enough")),
    "keeps all keys": (keeps_all_keys, ("The outputs are right. But", "only the last W, [-W:]")),
    "in place": (in_place, ("One state after 6 patches", "make new tensors")),
    "a deque": (a_deque, ("One state after 6 patches", "append")),
    "outside": (outside(), "what is kept outside the state"),
    "by number": (by_number(), ("Two texts were read in turns", "from patch 1 on", "nothing outside it")),
    "nothing remembered": (then(solved("09-6"), lambda two: (two[0], None)), "return the new state, not the old one"),
    "a default value": (default_ring(solved("09-6")), "what is kept outside the state"),
    "no beginning": (no_beginning, ("Before the first patch state is None", "raised TypeError")),
    "q changed": (changes_q, "changed q, k or v"),
    "state first": (step_06(order=lambda out, state: (state, out)), "it is the other way round"),
    "the output alone": (then(solved("09-6"), lambda two: two[0]), "should be a pair, (output, new state)"),
    "a row": (then(solved("09-6"), lambda two: (two[0][None], two[1])), "should have the shape (4,)"),
    "whole numbers": (then(solved("09-6"), lambda two: (two[0].long(), two[1])), "should hold floating-point numbers"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("09-6")), ("had not come to an end", "of your cell")),
    "slow": (slow(solved("09-6")), "200,000 lines"),
    "nothing returned": (nothing(solved("09-6")), "Does the function end with return?"),
    "called": ((torch.ones(2), None), "It got a tuple of 2"),
}  # fmt: skip


def a_ring(state, q, k, v, W, eps):
    """W places and a count; the newest takes the place of the oldest."""
    E = len(q)
    if state is None:
        state = {"total": torch.zeros(E, E), "norm": torch.zeros(E), "kv": torch.zeros(2, W, E), "n": 0}
    kv = state["kv"].clone()
    kv[:, state["n"] % W] = torch.stack((k, v))
    n = state["n"] + 1
    total, norm = state["total"] + torch.outer(features(k), v), state["norm"] + features(k)
    keys, values = kv[:, : min(n, W)]
    near = F.scaled_dot_product_attention(q[None], keys, values)[0]
    out = features(q) @ total / (features(q) @ norm + eps) + near
    return out, {"total": total, "norm": norm, "kv": kv, "n": n}


def a_list(state, q, k, v, W, eps):
    total, norm, last = state or (0, 0, [])
    last = [*last, (k, v)][-W:]
    total, norm = total + torch.outer(features(k), v), norm + features(k)
    scores = torch.stack([key @ q for key, _ in last]) / len(q) ** 0.5
    near = sum(share * value for share, (_, value) in zip(scores.softmax(0), last))
    return features(q) @ total / (features(q) @ norm + eps) + near, [total, norm, last]


@pytest.mark.parametrize("other", [a_ring, a_list])
def test_other_states_are_right_too(other):
    verdict = check("09-6", other)
    assert verdict.passed, verdict


@pytest.mark.parametrize("W", [1, 3, 40])
def test_what_is_computed_at_once_is_what_the_librarys_layers_compute(W):
    """Its chunks and blocks, all at once and patch by patch from its own state."""
    E, N = 4, 20
    q, k, v = torch.randn(3, 1, 1, N, E)
    eps = 1e-4 * math.sqrt(E)
    expected = together(q[0, 0], k[0, 0], v[0, 0], W, eps)
    sums, _ = linear_attention(features(q), features(k), v)
    torch.testing.assert_close((sums + window_attention(q, k, v, W))[0, 0], expected, rtol=1e-4, atol=1e-5)
    state, kept = None, LayerState(W)
    for i in range(N):
        here = slice(i, i + 1)
        out, state = solved("09-6")(state, q[0, 0, i], k[0, 0, i], v[0, 0, i], W, eps)
        earlier = kept.with_earlier(k[:, :, here], v[:, :, here])
        one, kept.sums = linear_attention(features(q[:, :, here]), features(k[:, :, here]), v[:, :, here], kept.sums)
        both = (one + window_attention(q[:, :, here], *earlier, W))[0, 0, 0]
        torch.testing.assert_close(out, expected[i], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(both, expected[i], rtol=1e-4, atol=1e-5)


# 09-7 -----------------------------------------------------------------------------------------------------


def halting_07(
    meets=lambda total, chance, enough: total + chance >= enough, last=lambda total, chance, enough: 1 - total,
    ends=lambda total, chance: 1 - total, counted=lambda i, n: i + 1, short=False,
):  # fmt: skip
    """The solution with one thing or another gone wrong."""

    def halting(chances, enough):
        weights, total, n = [], 0.0, len(chances)
        for i, chance in enumerate(chances):
            if meets(total, chance, enough):
                weights.append(last(total, chance, enough))
                break
            if i == n - 1:
                weights.append(ends(total, chance))
                break
            weights.append(chance)
            total += chance
        return weights + ([] if short else [0.0] * (n - len(weights))), counted(i, n)

    return halting


def as_shares(change):
    def halting(chances, enough):
        weights, taken = solved("09-7")(chances, enough)
        return change(chances, weights, taken), taken

    return halting


def shared(chances, weights, taken):
    whole = sum(chances[:taken]) or 1
    return [one / whole for one in chances[:taken]] + [0.0] * (len(chances) - taken)


def pondering(chances, enough, halts=True):
    left, weights = 1.0, []
    for i, chance in enumerate(chances):
        if i == len(chances) - 1 or (halts and 1 - left * (1 - chance) >= enough):
            weights.append(left)
            break
        weights.append(left * chance)
        left *= 1 - chance
    return weights + [0.0] * (len(chances) - len(weights)), i + 1


def goes_on(chances, enough):
    """The step that halts takes the rest, and the others still count."""
    weights, taken = solved("09-7")(chances, enough)
    return weights[:taken] + list(chances[taken:]), taken


def takes_them_out(chances, enough):
    n, weights, total = len(chances), [], 0.0
    while chances:
        chance = chances.pop(0)
        if total + chance >= enough or not chances:
            weights.append(1 - total)
            break
        weights.append(chance)
        total += chance
    return weights + [0.0] * (n - len(weights)), len(weights)


def waits_for_enough(chances, enough):
    total = 0.0
    while total < enough:
        for chance in chances:
            total += chance
    return solved("09-7")(chances, enough)


WRONG_7 = {
    "its own chance": (halting_07(last=lambda total, chance, enough: chance), "takes what is left of 1, not its own"),
    "enough is one": (halting_07(last=lambda total, chance, enough: enough - total), "not enough minus it"),
    "never reached": (halting_07(ends=lambda total, chance: chance), "where the sum never is enough, the last step"),
    "more than": (halting_07(meets=lambda total, chance, enough: total + chance > enough), ">=, not >"),
    "each by itself": (halting_07(meets=lambda total, chance, enough: chance >= enough), "each chance by itself"),
    "one late": (halting_07(meets=lambda total, chance, enough: total >= enough and total > 0), "One step too many"),
    "never halts": (halting_07(meets=lambda *given: False), "It never halts before the end"),
    "all chances": (lambda chances, enough: (list(chances), len(chances)), "Nothing halts there"),
    "counted from 0": (halting_07(counted=lambda i, n: i), "Steps are counted from 1"),
    "all steps": (halting_07(counted=lambda i, n: n), "those until it halts"),
    "one step more": (halting_07(counted=lambda i, n: i + 2), "is the last one taken"),
    "shares": (as_shares(shared), "Do not divide by the sum"),
    "the last alone": (as_shares(lambda c, w, n: [float(i == n - 1) for i in range(len(c))]), "the last state alone"),
    "equal weights": (as_shares(lambda c, w, n: [1 / n] * n + [0.0] * (len(c) - n)), "Those are equal weights"),
    "ponder": (pondering, "PonderNet"),
    "ponder to the end": (lambda c, e: pondering(c, e, halts=False), "PonderNet"),
    "the others still count": (goes_on, "The weights sum to"),
    "rounded": (as_shares(lambda c, w, n: [round(one) for one in w]), "should return"),
    "below 0": (as_shares(lambda c, w, n: [one - 2 for one in w[:-1]] + [7.0]), "A weight below 0"),
    "backwards": (as_shares(lambda c, w, n: w[::-1]), "Each step has its own chance as its weight"),
    "another step": (lambda c, e: ([1.0] + [0.0] * (len(c) - 1), 1), "at which step is the sum enough"),
    "the steps taken alone": (halting_07(short=True), "Steps that are not taken have the weight 0"),
    "too many weights": (as_shares(lambda c, w, n: [*w, 0.0]), "should have 5 weights, one for each chance; it has 6"),
    "the other way round": (then(solved("09-7"), lambda two: two[::-1]), "it is the other way round"),
    "the weights alone": (then(solved("09-7"), lambda two: two[0]), "should be a pair, (weights, steps taken)"),
    "half a step": (then(solved("09-7"), lambda two: (two[0], two[1] + 0.5)), "should be a whole number; it is 2.5"),
    "texts": (as_shares(lambda c, w, n: [str(one) for one in w]), "should be a number; it is the text '0.25'"),
    "takes them out": (takes_them_out, "changed a list that it was given"),
    "raises": (raises, "raised IndexError"),
    "no end": (waits_for_enough, ("had not come to an end", "of your cell")),
    "slow": (slow(solved("09-7")), "200,000 lines"),
    "nothing returned": (nothing(solved("09-7")), "Does the function end with return?"),
    "called": (([0.5, 0.5], 2), "It got a tuple of 2"),
}


def test_tensors_and_arrays_are_right_too():
    for kind in (torch.tensor, np.array, tuple):
        assert check("09-7", then(solved("09-7"), lambda two, kind=kind: (kind(two[0]), two[1]))).passed
    assert check("09-7", then(solved("09-7"), lambda two: [two[0], float(two[1])])).passed


class Chances(torch.nn.Module):
    """A halting gate that says what it was told for each step."""

    def __init__(self, chances):
        super().__init__()
        self.chances = torch.tensor(chances)

    def forward(self, z):
        return torch.logit(self.chances[z.argmax(-1, keepdim=True)])


def test_it_halts_where_the_librarys_thinking_does():
    """With a step that moves one state on to the next, the mean of the states is the weights themselves."""
    dice = random.Random(0)
    for _ in range(100):
        n, enough = dice.randint(1, 6), dice.choice([0.0, 0.5, 0.9, 0.99, 1.0])
        chances = [dice.random() ** 2 * 0.9 + 0.05 for _ in range(n)]
        thinking = Thinking(AGIFormerConfig(n_embd=6, n_head=1, n_layer=1, thinking="adaptive", thinking_steps=n))
        thinking.train().change(enough=enough)
        thinking.norm, thinking.halt = torch.nn.Identity(), Chances(chances)
        thinking.step = lambda z: z.roll(1, dims=-1)  # number 0 is 1 after the first step, then number 1, and so on
        out = thinking(torch.eye(6)[None, None, -1])[0, 0]
        weights, taken = solved("09-7")(chances, enough)
        assert out[:n].tolist() == pytest.approx(weights, abs=1e-5)
        assert thinking.ponder.item() == pytest.approx(taken + weights[taken - 1], abs=1e-4)
