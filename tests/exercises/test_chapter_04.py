"""Chapter 04's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import itertools
import math

import pytest
import torch
from torch import nn

from course_lib.exercises import check
from course_lib.exercises.chapter_04 import lion, repair, schedule
from course_lib.optim import decay_groups, lr_at

from .planted import assert_told

pytestmark = pytest.mark.usefixtures("one_thread")


# 04-1 -----------------------------------------------------------------------------------------------------

SEEN = {"A": (0.1, 1.0, 0.7), "B": (0.02, 5.0, -2.5), "C": (0.5, -4.0, -3.9)}


def by(function) -> dict:
    return {name: function(*seen) for name, seen in SEEN.items()}


def curvature(lr, before, after):
    return (1 - after / before) / lr


WRONG_1 = {
    "the curvature": (by(curvature), "That is the curvature a"),
    "one over it": (by(lambda *seen: 1 / curvature(*seen)), "one step lands exactly at the bottom"),
    "half of it": (by(lambda *seen: curvature(*seen) / 2), "stands on its head"),
    "slope for curvature": (by(lambda lr, w, v: 2 * lr / abs(w - v)), "divide by w too"),
    "twice the rate": (by(lambda lr, w, v: 2 * lr), "Twice the rate"),
    "by the factor": (by(lambda lr, w, v: lr / (v / w)), "1 - factor does"),
    "a guess": (by(lambda *seen: 3.3), "One step multiplied A by 0.7"),
    "the last one wrong": ({"A": 0.667, "B": 0.0267, "C": 4.0}, "For weight C"),
    "two digits": ({"A": 0.667, "B": 0.027, "C": 40}, ("For weight B", "Close, but give three digits")),
    "one digit is not close": ({"A": 0.667, "B": 0.03, "C": 40}, "One step multiplied B by -0.5"),
    "one missing": ({"A": 0.667, "B": 0.0267}, "there is no entry 'C'"),
    "one blank": ({"A": 0.667, "B": ..., "C": 40}, "'B' is still missing"),
    "a text": ({"A": "2/3", "B": 0.0267, "C": 40}, "should be a number; it is the text"),
    "not finite": ({"A": math.nan, "B": 0.0267, "C": 40}, "finite"),
    "a number": (0.667, "a dict with three numbers"),
}


def test_the_edges_may_be_rounded_and_the_library_swings_there():
    assert check("04-1", {"A": 0.667, "B": 0.0267, "C": 40}).passed
    for lr, before, after in SEEN.values():
        weight = torch.tensor([before], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=2 / curvature(lr, before, after))
        for _ in range(2):
            optimizer.zero_grad()
            (0.5 * curvature(lr, before, after) * weight**2).sum().backward()
            optimizer.step()
        assert weight.item() == pytest.approx(before), "two steps lead back"


# 04-2 -----------------------------------------------------------------------------------------------------


def adams_moves(**changes) -> dict:
    """What torch's own Adam does with gradients 4 and 0."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight], **dict(lr=0.1, betas=(0.8, 0.99), eps=1e-12) | changes)
    moves = {}
    for name, gradient in (("first", 4.0), ("second", 0.0)):
        before = weight.item()
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        moves[name] = weight.item() - before
    return moves


RIGHT_2 = adams_moves()
WRONG_2 = {
    "the wrong sign": ({name: -move for name, move in RIGHT_2.items()}, "the sign is wrong"),
    "no correction": ({"first": -0.2, "second": -0.161}, "without the bias correction"),
    "one digit": (RIGHT_2 | {"second": -0.06}, ("The second move", "Close, but give three digits")),
    "no correction in the second": (RIGHT_2 | {"second": -0.1608}, "The second move"),
    "t stays 1": (RIGHT_2 | {"second": -0.0804}, "t = 2"),
    "no root": ({"first": -0.025, "second": -0.0223}, "its root is missing"),
    "no lr": ({"first": -1.0, "second": -0.63}, "lr is left out"),
    "nothing in the second": (RIGHT_2 | {"second": 0.0}, "m still remembers"),
    "the place": (RIGHT_2 | {"second": sum(RIGHT_2.values())}, "Asked for is the move of each"),
    "SGD": ({"first": -0.4, "second": 0.0}, "SGD's step"),
    "a guess": ({"first": -0.5, "second": 0.0}, "Write down m, v"),
    "one missing": ({"first": -0.1}, "there is no entry 'second'"),
    "a tensor": ({"first": torch.tensor(-0.1), "second": -0.063}, ".item()"),
    "a list": ([-0.1, -0.063], "a dict with two numbers"),
}


def test_torchs_adam_moves_as_the_check_says():
    assert check("04-2", RIGHT_2).passed
    assert check("04-2", {"first": -0.1, "second": -0.063}).passed


# 04-3 -----------------------------------------------------------------------------------------------------


def sorted_03(frozen=False, tables=True, tied_once=True, decay=lambda d: d, biases=False, form=None):
    """A sort_weights with one thing or another gone wrong."""

    def sort_weights(model, weight_decay):
        ids = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)} if tables else set()
        groups = [[], []]
        for _, w in model.named_parameters(remove_duplicate=tied_once):
            if w.requires_grad or frozen:
                decays = (w.ndim >= 2 or biases) and id(w) not in ids
                groups[0 if decays else 1].append(w)
        found = [dict(params=groups[0], weight_decay=decay(weight_decay)), dict(params=groups[1], weight_decay=0.0)]
        return form(found, model) if form else found

    return sort_weights


def by_in(model, weight_decay):
    tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    return [dict(params=[w for w in model.parameters() if w not in tables], weight_decay=weight_decay)]


def by_equality(model, weight_decay):
    head = model.head.weight
    return [dict(params=[w for w in model.parameters() if w.ndim != 2 or w == head], weight_decay=weight_decay)]


def of_other_shapes(model, weight_decay):
    return [dict(params=[model.mix.weight @ model.head.weight], weight_decay=weight_decay)]


WRONG_3 = {
    "in a list": (by_in, ("raised RuntimeError", "compare tensors number by number", "id(w)")),
    "equality": (by_equality, ("raised RuntimeError", "compare tensors number by number", "a set")),
    "another error of torch": (of_other_shapes, "raised RuntimeError: mat1 and mat2"),
    "by shape alone": (lambda m, d: decay_groups(m.named_parameters(), d), ("tokens.weight", "an embedding")),
    "frozen too": (sorted_03(frozen=True), "frozen.weight in a group"),
    "tied twice": (sorted_03(tied_once=False), "tokens.weight twice"),
    "vectors decay": (sorted_03(biases=True), "should not decay"),
    "nothing decays": (sorted_03(decay=lambda d: 0.0), "weight_decay 0. It is a matrix of a linear layer"),
    "the usual number": (sorted_03(decay=lambda d: 0.1), "weight_decay 0.1. It is a matrix"),
    "one group only": (sorted_03(form=lambda found, m: found[:1]), "in no group: it would never be moved"),
    "names": (sorted_03(form=lambda f, m: [dict(params=[n for n, _ in m.named_parameters()], weight_decay=0.0)]),
              ("the text 'tokens.weight'", "the second is the weight")),
    "pairs": (sorted_03(form=lambda f, m: [dict(params=list(m.named_parameters()), weight_decay=0.0)]), "pairs"),
    "no decay named": (sorted_03(form=lambda f, m: [dict(params=f[0]["params"])]), "one entry is a dict of 1"),
    "two lists": (sorted_03(form=lambda f, m: [f[0]["params"], f[1]["params"]]), "one entry is a list of"),
    "a tensor for a list": (sorted_03(form=lambda f, m: [dict(params=f[0]["params"][0], weight_decay=0.1)]),
                            "should be a list of weights"),
    "nothing": (sorted_03(form=lambda f, m: None), "Does the function end with return?"),
    "one argument": (lambda model: [], "yours takes (model)"),
    "called": ([{"params": [], "weight_decay": 0.1}], "its name, without parentheses"),
}  # fmt: skip


def test_groups_may_come_in_any_number_and_torch_takes_them():
    assert check("04-3", sorted_03()).passed
    alone = sorted_03(form=lambda found, m: [dict(g, params=[w]) for g in found for w in g["params"]])
    assert check("04-3", alone).passed
    model = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 4))
    assert len(torch.optim.AdamW(sorted_03()(model, 0.1)).param_groups) == 2


# 04-4 -----------------------------------------------------------------------------------------------------


def trapezoid_04(up=lambda s, w: (s + 1) / (w + 1), down=lambda s, w, c, e: (e - s) / c, low=0.0, high=1.0):
    def trapezoid(step, max_lr, warmup_steps, cooldown_steps, max_steps):
        rising = up(step, warmup_steps) if step < warmup_steps else 1.0
        return max_lr * max(low, min(high, rising, down(step, warmup_steps, cooldown_steps, max_steps)))

    return trapezoid


def cosine(step, max_lr, warmup_steps, cooldown_steps, max_steps):
    return lr_at(step, max_lr=max_lr, warmup_steps=warmup_steps, decay_steps=max_steps)


WRONG_4 = {
    "step 0 stands": (trapezoid_04(up=lambda s, w: s / w), "(step + 1)"),
    "the top too soon": (trapezoid_04(up=lambda s, w: (s + 1) / w), "one step too soon"),
    "no warm-up": (trapezoid_04(up=lambda s, w: 1.0), "The warm-up is missing"),
    "no way down": (trapezoid_04(down=lambda s, w, c, e: 1.0 if s < e else 0.0), "go down in a line"),
    "zero too soon": (trapezoid_04(down=lambda s, w, c, e: (e - 1 - s) / c), "The zero comes one step too soon"),
    "a stair too many": (trapezoid_04(down=lambda s, w, c, e: (e - s) / (c + 1)), "stairs, not one more"),
    "no plateau": (trapezoid_04(down=lambda s, w, c, e: (e - s) / (e - w)), "stays at max_lr"),
    "down from the first step": (trapezoid_04(down=lambda s, w, c, e: (e - s) / e), "Look at the warm-up"),
    "below zero": (trapezoid_04(low=-9.0), "never below"),
    "never zero": (trapezoid_04(low=0.1), "At max_steps the way down has ended"),
    "a cosine": (cosine, "stays at max_lr"),
    "max_lr left out": (lambda s, m, w, c, e: trapezoid_04()(s, 1.0, w, c, e), "should return 0.1"),
    "nothing": (lambda *args: print(end=""), "Does the function end with return?"),
    "NaN": (lambda *args: math.nan, "finite"),
    "too few": (lambda step, max_lr: max_lr, "yours takes (step, max_lr)"),
}


def test_the_expected_course_is_the_librarys_and_others_ways_are_right():
    def library(step, max_lr, warmup_steps, cooldown_steps, max_steps):
        return lr_at(
            step, max_lr=max_lr, warmup_steps=warmup_steps, decay_steps=max_steps, kind="trapezoid",
            cooldown_steps=cooldown_steps,
        )  # fmt: skip

    assert check("04-4", library).passed
    assert check("04-4", trapezoid_04()).passed
    assert schedule.expected_lr(0, 0.6, 5, 4, 20) == pytest.approx(0.1)


# 04-5 -----------------------------------------------------------------------------------------------------


def there(model):
    return [w.grad for w in model.parameters() if w.grad is not None]


def clip_05(norm=None, shorten=None, throw=True, returned=lambda before, after: before):
    """A clip_all with one thing or another gone wrong."""

    def clip_all(model, max_norm):
        grads = there(model)
        length = norm(grads) if norm else math.sqrt(sum((g**2).sum().item() for g in grads))
        if throw and not math.isfinite(length):
            for w in model.parameters():
                w.grad = None
        elif shorten:
            shorten(grads, max_norm)
        elif length > max_norm:
            for g in grads:
                g *= max_norm / length
        return returned(length, min(length, max_norm))

    return clip_all


def each_alone(grads, max_norm):
    for g in grads:
        g *= min(1.0, max_norm / g.norm().item())


def always(grads, max_norm):
    norm = math.sqrt(sum((g**2).sum().item() for g in grads))
    for g in grads:
        g *= max_norm / norm


def cut(grads, max_norm):
    for g in grads:
        g.clamp_(-max_norm, max_norm)


def one_only(grads, max_norm):
    if max_norm < 13:
        grads[1] *= max_norm / 13


def spoils_weights(model, max_norm):
    with torch.no_grad():
        for w in model.parameters():
            w *= 0.5
    return clip_05()(model, max_norm)


def fills_in(model, max_norm):
    for w in model.parameters():
        if w.grad is None:
            w.grad = torch.zeros_like(w)
    return clip_05()(model, max_norm)


WRONG_5 = {
    "each by itself": (clip_05(shorten=each_alone), "each tensor was clipped by itself"),
    "sum of norms": (clip_05(norm=lambda gs: sum(g.norm().item() for g in gs)), "sum of the tensors' norms"),
    "no root": (clip_05(norm=lambda gs: sum((g**2).sum().item() for g in gs)), "without a root"),
    "always": (clip_05(shorten=always), "short enough, and yet"),
    "entries cut": (clip_05(shorten=cut), "cut one by one"),
    "nothing shortened": (clip_05(shorten=lambda gs, m: None), "nothing was shortened"),
    "one only": (clip_05(shorten=one_only), "not all multiplied by one factor"),
    "the norm after": (clip_05(returned=lambda before, after: after), "the norm after clipping"),
    "not thrown away": (clip_05(throw=False), "should throw all gradients away"),
    "None not skipped": (lambda model, m: sum(w.grad.norm() for w in model.parameters()), "raised AttributeError"),
    "None filled": (fills_in, "a weight without a gradient got one"),
    "weights changed": (spoils_weights, "changed the weights themselves"),
    "thrown away always": (clip_05(norm=lambda gs: math.inf), "Its norm is finite"),
    "nothing returned": (clip_05(returned=lambda before, after: None), "Does the function end with return?"),
    "a tensor": (clip_05(returned=lambda before, after: torch.tensor(before)), ".item()"),
    "called": (13.0, "its name, without parentheses"),
}


def test_torchs_own_clipping_agrees():
    def clip_all(model, max_norm):
        norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()
        if not math.isfinite(norm):
            model.zero_grad()
        return norm

    assert check("04-5", clip_all).passed


# 04-6 -----------------------------------------------------------------------------------------------------


def adamw_06(count="steps", decay="right", eps="outside", correct=True, returned=lambda moved: moved):
    """The step of the exercise, with the faults that are wanted."""

    def adamw_step(weights, gradients, state, lr, share):
        state.setdefault("t", 0)
        state["t"] += count == "steps"
        moved = []
        for i, (w, g) in enumerate(zip(weights, gradients)):
            state["t"] += count == "tensors"
            t = state["t"]
            g = g + share * w if decay == "l2" else g
            m = state["m", i] = 0.9 * state.get(("m", i), 0) + 0.1 * g
            v = state["v", i] = 0.95 * state.get(("v", i), 0) + 0.05 * g**2
            m, v = (m / (1 - 0.9**t), v / (1 - 0.95**t)) if correct else (m, v)
            step = lr * m / ((v + 1e-8).sqrt() if eps == "inside" else v.sqrt() + 1e-8)
            kept = {"right": 1 - lr * share, "no lr": 1 - share, "growing": 1 + lr * share}.get(decay, 1.0)
            moved.append((w - step) * (1 - lr * share) if decay == "after" else w * kept - step)
        return returned(moved)

    return adamw_step


WRONG_6 = {
    "the count is left": (adamw_06(count="tensors"), ("2 of 3", "t counts tensors")),
    "L2 is left": (adamw_06(decay="l2"), ("2 of 3", "goes into the gradient")),
    "eps is left": (adamw_06(eps="inside"), ("2 of 3", "eps stands inside the root")),
    "count and L2": (adamw_06(count="tensors", decay="l2"), ("1 of 3 faults is", "t counts tensors")),
    "count and eps": (adamw_06(count="tensors", eps="inside"), ("1 of 3 faults is", "t counts tensors")),
    "L2 and eps": (adamw_06(decay="l2", eps="inside"), ("1 of 3 faults is", "goes into the gradient")),
    "decay after": (adamw_06(decay="after"), "AdamW shrinks the weight first"),
    "decay without lr": (adamw_06(decay="no lr"), "It should be lr * decay"),
    "decay thrown out": (adamw_06(decay="none"), "nothing decays any more"),
    "growing": (adamw_06(decay="growing"), "makes the weights grow"),
    "correction thrown out": (adamw_06(correct=False), "the bias correction is gone"),
    "never counted": (adamw_06(count="never"), "got nan"),
    "uphill": (adamw_06(returned=lambda moved: [-w for w in moved]), "In step 0 tensor 0 goes elsewhere"),
    "one weight only": (adamw_06(returned=lambda moved: moved[0]), "a list of the 3 new weights"),
    "nothing": (adamw_06(returned=lambda moved: None), "Does the function end with return?"),
    "other shapes": (adamw_06(returned=lambda moved: [w.flatten()[:1] for w in moved]), "should have the shape (2, 3)"),
}


def test_the_step_as_it_is_given_counts_as_not_attempted():
    verdict = check("04-6", adamw_06(count="tensors", decay="l2", eps="inside"))
    assert verdict.passed is None
    assert "All three faults" in repr(verdict)


def test_the_right_path_is_torchs():
    weights, gradients = repair.weights_and_gradients()
    weights = [w.requires_grad_() for w in weights]
    optimizer = torch.optim.AdamW(weights, lr=repair.LR, betas=(0.9, 0.95), eps=1e-8, weight_decay=repair.DECAY)
    for step, expected in enumerate(repair.path()):
        for w, g in zip(weights, gradients[step], strict=True):
            w.grad = g
        optimizer.step()
        for w, e in zip(weights, expected, strict=True):
            torch.testing.assert_close(w.detach(), e, rtol=1e-5, atol=1e-6)


# 04-7 -----------------------------------------------------------------------------------------------------


def lion_07(mix=lambda m, g: 0.9 * m + 0.1 * g, keep=lambda m, g: m.lerp(g, 0.01), move=None, first=False, kept=True):
    """Lion with one thing or another gone wrong."""

    def step(w, g, state, lr, decay):
        m = state.get("m", torch.zeros_like(g))
        if first:
            m = keep(m, g)
        c = mix(m, g)
        new = move(w, c, lr, decay) if move else w - lr * (torch.sign(c) + decay * w)
        if kept:
            state["m"] = m if first else keep(m, g)
        return new

    return step


WRONG_7 = {
    "the sign of m": (lion_07(mix=lambda m, g: m), "the sign of m alone"),
    "the sign of g": (lion_07(mix=lambda m, g: g), "the new gradient alone"),
    "no sign": (lion_07(move=lambda w, c, lr, d: w - lr * (c + d * w)), "The sign is missing"),
    "one beta": (lion_07(keep=lambda m, g: 0.9 * m + 0.1 * g), "The memory is kept with beta1"),
    "swapped": (
        lion_07(mix=lambda m, g: 0.99 * m + 0.01 * g, keep=lambda m, g: 0.9 * m + 0.1 * g), "are swapped",
    ),
    "memory first": (lion_07(first=True), "First the direction, then the memory"),
    "the mixture kept": (lion_07(keep=lambda m, g: 0.99 * m + 0.01 * (0.9 * m + 0.1 * g)), "keeps the mixture"),
    "forgets": (lion_07(kept=False), "does state keep it"),
    "no decay": (lion_07(move=lambda w, c, lr, d: w - lr * c.sign()), "The decay is missing"),
    "decay without lr": (lion_07(move=lambda w, c, lr, d: w - lr * c.sign() - d * w), "it should be lr * decay"),
    "decay in the sign": (lion_07(move=lambda w, c, lr, d: w - lr * (c + d * w).sign()), "inside the sign"),
    "uphill": (lion_07(move=lambda w, c, lr, d: w + lr * c.sign() - lr * d * w), "against it"),
    "another beta": (lion_07(keep=lambda m, g: 0.95 * m + 0.05 * g), "look at the memory"),
    "nothing": (lion_07(move=lambda w, c, lr, d: None), "Does the function end with return?"),
    "another shape": (lion_07(move=lambda w, c, lr, d: w.flatten()), "should have the shape (2, 3)"),
    "called": (torch.zeros(2, 3), "It got a tensor of shape (2, 3)"),
}  # fmt: skip


def test_in_place_is_right_too_and_every_mistake_leads_elsewhere():
    def in_place(w, g, state, lr, decay):
        m = state.setdefault("m", torch.zeros_like(g))
        direction = m.lerp(g, 0.1).sign_()
        w.mul_(1 - lr * decay).sub_(lr * direction)
        m.lerp_(g, 0.01)
        return w

    assert check("04-7", in_place).passed
    ways = {fault: torch.stack(lion.path(fault)) for fault in ("", *lion.MISTAKES)}
    for one, other in itertools.combinations(ways, 2):
        assert not torch.allclose(ways[one], ways[other]), (one, other)


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "04-1": WRONG_1,
    "04-2": WRONG_2,
    "04-3": WRONG_3,
    "04-4": WRONG_4,
    "04-5": WRONG_5,
    "04-6": WRONG_6,
    "04-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words, one or several, that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    assert_told(exercise, *PLANTED[exercise][name])
