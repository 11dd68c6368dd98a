"""Chapter 00's exercises: each planted mistake is told what is wrong with it, in the words that help."""

import itertools
import math

import pytest
import torch

from course_lib.exercises import check, find, solution
from course_lib.exercises.chapter_00 import checking, repair
from course_lib.models.micro import Value

from .planted import assert_told

# 00-1 -----------------------------------------------------------------------------------------------------

LN_2 = math.log(2)
WRONG_1 = {
    "the sum": (6 * LN_2, "sum of the three surprises"),
    "no minus": (-2 * LN_2, "The sign is missing"),
    "a sum without minus": (-6 * LN_2, "sum of the logarithms"),
    "bits": (2, "in bits"),
    "base ten": (2 * math.log10(2), "base 10"),
    "the mean first": (-math.log((1 / 2 + 1 / 4 + 1 / 8) / 3), "the mean of the probabilities first"),
    "no logarithm": ((1 / 2 + 1 / 4 + 1 / 8) / 3, "That is the mean of the probabilities"),
    "the first alone": (LN_2, "the first surprise alone"),
    "something else": (5.0, "the mean of three surprises; it is not 5"),
    "a text": ("1.386", "It got the text '1.386'"),
    "three numbers": ([0.69, 1.39, 2.08], "Expected is one number, the loss in nats. It got a list of 3"),
    "a tensor": (torch.tensor(1.386), "It got a tensor with the one number 1.386"),
    "infinite": (math.inf, "It got the number inf"),
}


def test_two_digits_are_enough():
    assert check("00-1", 1.39).passed
    assert check("00-1", 1.386).passed
    assert not check("00-1", 1.4).passed


# 00-2 -----------------------------------------------------------------------------------------------------


def asked(start=0, end=1, seen=lambda name, i: name[:i], comes=lambda name, i: name[i : i + 1], cut=lambda p, n: p[:n]):
    """A predictions() with one thing or another gone wrong."""
    return lambda name, block_size: cut(
        [(seen(name, i), comes(name, i)) for i in range(start, len(name) + end)], block_size
    )


WRONG_2 = {
    "no end": (asked(end=0), "The last question is missing"),
    "no beginning": (asked(start=1), "The first question is missing"),
    "neither": (asked(start=1, end=0), "The first and the last question are missing"),
    "not cut": (asked(cut=lambda pairs, n: pairs), "The model sees 8 places at most"),
    "cut in front": (asked(cut=lambda pairs, n: pairs[-n:]), "It should be cut at its end"),
    "the last letter only": (asked(seen=lambda name, i: name[:i][-1:]), "all letters so far, not the last"),
    "turned round": (lambda n, b: [(c, s) for s, c in asked()(n, b)], "first what is seen"),
    "given away": (asked(seen=lambda name, i: name[: i + 1]), "the answer is given away"),
    "the whole name": (asked(comes=lambda name, i: name), "not the whole name"),
    "the rest": (asked(comes=lambda name, i: name[i:]), "not all that is left"),
    "cut too soon": (asked(cut=lambda pairs, n: pairs[: n - 1]), "should have 8 pairs; it has 7"),
    "a sign for the end": (asked(comes=lambda n, i: n[i : i + 1] or "."), "Pair 4 (counted from 0)"),
    "ids": (asked(comes=lambda name, i: i), "Entry 0 of predictions('anna', 8) should be a pair of two texts"),
    "letters": (lambda name, block_size: list(name), "should be a pair of two texts; it is the text 'a'"),
    "nothing returned": (lambda name, block_size: print(end=""), "Does the function end with return?"),
    "an index past the end": (asked(comes=lambda name, i: name[i]), "raised IndexError"),
    "called": ([("", "a")], "It got a list of 1"),
}


def test_lists_for_pairs_are_right_too():
    assert check("00-2", lambda name, n: [[name[:i], name[i : i + 1]] for i in range(len(name) + 1)][:n]).passed


# 00-3 -----------------------------------------------------------------------------------------------------

WRONG_3 = {
    "one way forgotten": (dict(w=4, x=6, b=2), "w: expected is another number than 4: one way is missing"),
    "the other way forgotten": (dict(w=1, x=6, b=2), "that is the way of the last + alone"),
    "factors swapped": (dict(w=7, x=6, b=2), "2d * x, not 2d * w"),
    "the other's factor": (dict(w=5, x=4, b=2), "x: expected is another number than 4: the other factor"),
    "the square's two": (dict(w=3, x=3, b=1), "b: expected is another number than 1: the slope of d² is 2d"),
    "no square": (dict(w=5, x=3, b=2), "Two factors lie on the way"),
    "a sign": (dict(w=5, x=6, b=-2), "b: the sign is wrong"),
    "nonsense": (dict(w=11, x=6, b=2), "multiply the local derivatives along the way"),
    "one missing": (dict(w=5, x=..., b=2), "Expected is a number for x; it is still missing"),
    "a text": (dict(w=5, x="6", b=2), "x: expected is a number. It got the text '6'"),
    "other names": (dict(w=5, x=6), "with the names ['w', 'x']"),
    "a list": ([5, 6, 2], "It got a list of 3"),
}


def test_the_gradients_by_hand_are_those_of_backward():
    w, x, b = Value(3.0), Value(2.0), Value(-5.0)
    e = w * x + b
    loss = e**2 + w
    loss.backward()
    assert loss.data == 4
    assert {"w": w.grad, "x": x.grad, "b": b.grad} == {"w": 5, "x": 6, "b": 2}


# 00-4 -----------------------------------------------------------------------------------------------------


def slopes(h=1e-5, over=lambda h: 2 * h, back=True, down=True, every=False):
    """A numeric_gradients with one thing or another gone wrong."""

    def numeric_gradients(f, xs):
        work, found = list(xs), []
        for i in range(len(xs)):
            places = range(len(xs)) if every else [i]
            up, low = list(work), list(work)
            for j in places:
                up[j] += h
                low[j] -= h if down else 0
            found.append((f(up) - f(low)) / over(h))
            if not back:
                work[i] += 0.5
        return found

    return numeric_gradients


def in_place(f, xs):
    found = []
    for i in range(len(xs)):
        xs[i] += 1e-5
        up = f(xs)
        xs[i] -= 2e-5
        found.append((up - f(xs)) / 2e-5)
    return found


WRONG_4 = {
    "half the way": (slopes(over=lambda h: h), "twice too large"),
    "twice the way": (slopes(down=False, over=lambda h: 2 * h), "half too small"),
    "backwards": (slopes(h=-1e-5, over=lambda h: -2 * h), "wrong sign"),
    "no step": (slopes(h=0.0, over=lambda h: 1.0), "at the given place only"),
    "too small a step": (slopes(h=1e-15), "rounding swallows it"),
    "too large a step": (slopes(h=1.0, down=False, over=lambda h: h), "so large that the slope changes"),
    "all at once": (slopes(every=True), "All numbers are moved at once"),
    "not put back": (slopes(back=False), "so large that the slope changes along the way"),
    "not divided": (slopes(over=lambda h: 1), "not divided by the step"),
    "in the list itself": (in_place, "changed the list that it was given"),
    "by formula": (lambda f, xs: checking.exact(), "never called f"),
    "one slope": (lambda f, xs: [f(xs)], "should have 3 numbers; it has 1"),
    "nothing returned": (lambda f, xs: print(end=""), "Does the function end with return?"),
    "one missing": (lambda f, xs: [f(xs), None, 1.0], "Number 1 of numeric_gradients"),
    "one is wrong": (lambda f, xs: [*slopes()(f, xs)[:2], 9.0], "Slope 2 (counted from 0)"),
    "called": ([1.0], "It got a list of 1"),
}


def test_a_difference_to_one_side_is_right_too():
    assert check("00-4", slopes(h=1e-6, down=False, over=lambda h: h)).passed


# 00-5 -----------------------------------------------------------------------------------------------------


def rule(local=lambda x, t: 1 - t * t, data=math.tanh, children=lambda x: (x,)):
    """A tanh with one thing or another gone wrong."""

    def tanh(x):
        t = math.tanh(x.data)
        kids = children(x)
        return Value(data(x.data), kids, tuple(local(x.data, t) for _ in kids))

    return tanh


def by_itself(x):
    t = math.tanh(x.data)
    x.grad += 1 - t * t
    return Value(t)


def changed(x):
    x.data = math.tanh(x.data)
    return x


WRONG_5 = {
    "of x": (rule(lambda x, t: 1 - x * x), "where t is the result, not x"),
    "no square": (rule(lambda x, t: 1 - t), "the square is missing"),
    "the result": (rule(lambda x, t: t), "the result itself in place of its derivative"),
    "one": (rule(lambda x, t: 1.0), "The local derivative is 1 here"),
    "a sign": (rule(lambda x, t: t * t - 1), "The sign is wrong"),
    "no children": (rule(children=lambda x: ()), "backward() does not reach x"),
    "the child twice": (rule(children=lambda x: (x, x)), "It counts twice"),
    "set by hand": (by_itself, "The 3 is lost on the way"),
    "no Value": (lambda x: math.tanh(x.data), "should be a Value; it is the number 0.4621"),
    "another function": (rule(data=math.sin), "The value of tanh(Value(0.5)) should be 0.4621; it is 0.4794"),
    "in place": (changed, "changed x itself"),
    "of the Value": (lambda x: Value(math.tanh(x)), "raised TypeError"),
    "nothing returned": (lambda x: print(end=""), "Does the function end with return?"),
    "something else": (rule(lambda x, t: 0.1), "should be 0.7864; it is 0.1"),
    "called": (Value(0.5), "It got an object of the kind Value"),
}


def test_tanh_out_of_exp_is_right_too():
    def tanh(x):
        e = (2 * x).exp()
        return (e - 1) / (e + 1)

    assert check("00-5", tanh).passed


# 00-6 -----------------------------------------------------------------------------------------------------


def loop(faults=(), mean=True, losses=True):
    """The loop of the exercise, with the faults that are named."""

    def fit(data, steps, lr):
        w, b = Value(0.0), Value(0.0)
        kept = []
        for _ in range(steps):
            loss = Value(0.0)
            for x, y in data:
                error = (w * x + b - y) ** 2
                loss = error if "last" in faults else loss + error
            loss = loss / (len(data) if mean else 1)
            loss.backward()
            for p in (w, b):
                p.data = p.data + (lr if "uphill" in faults else -lr) * p.grad
                if "kept" not in faults:
                    p.grad = 0.0
            kept.append(loss.data)
        return (w.data, b.data, kept if losses else kept[::-1])

    return fit


WRONG_6 = {
    "uphill": (loop(["uphill"]), "2 of 3 faults are mended. What is left: The weights go uphill"),
    "kept": (loop(["kept"]), "2 of 3 faults are mended. What is left: The gradients are never set back"),
    "last": (loop(["last"]), "2 of 3 faults are mended. What is left: The loss is that of the last pair"),
    "two": (loop(["kept", "last"]), "1 of 3 faults is mended. What is left: The gradients are never set"),
    "another two": (loop(["uphill", "last"]), "1 of 3 faults is mended. What is left: The weights go uphill"),
    "a sum": (loop(mean=False), "the loss is a sum now"),
    "losses in another order": (loop(losses=False), "The weights are right"),
    "only w and b": (lambda d, s, r: loop()(d, s, r)[:2], "should return w, b and the list of losses"),
    "no losses": (lambda d, s, r: (*loop()(d, s, r)[:2], []), "should be 3 losses; it is a list of 0"),
    "Values": (lambda d, s, r: (Value(1.0), *loop()(d, s, r)[1:]), "w of fit"),
    "too far": (lambda d, s, r: loop()(d, s, 2 * r), "After 3 steps w and b should be"),
    "called": ((1.0, 2.0, [3.0]), "It got a tuple of 3"),
}


def test_every_set_of_faults_leads_elsewhere_and_the_judge_foresees_it():
    sets = [frozenset(c) for n in range(4) for c in itertools.combinations(repair.FAULTS, n)]
    ends = []
    for faults in sets:
        w, b, losses = loop(faults)(repair.DATA, repair.STEPS, repair.LR)
        assert [w, b, *losses] == pytest.approx(repair.path(faults))
        ends.append((round(w, 6), round(b, 6)))
    assert len(set(ends)) == len(sets)
    assert repr(check("00-6", loop(repair.FAULTS))) == "Not attempted yet. All three faults are still in the loop."


# 00-7 -----------------------------------------------------------------------------------------------------


def pushes(change=lambda i, p, target: p - (i == target), take_off=True):
    """A loss_gradients with one thing or another gone wrong."""

    def loss_gradients(logits, target):
        exps = [math.exp(x - (max(logits) if take_off else 0)) for x in logits]
        return [change(i, e / sum(exps), target) for i, e in enumerate(exps)]

    return loss_gradients


WRONG_7 = {
    "softmax": (pushes(lambda i, p, t: p), "Those are the probabilities"),
    "turned round": (pushes(lambda i, p, t: (i == t) - p), "The sign is turned round"),
    "the target alone": (pushes(lambda i, p, t: (p - 1) * (i == t)), "Only the target has a gradient here"),
    "everywhere": (pushes(lambda i, p, t: p - 1), "The 1 is taken off everywhere"),
    "no softmax": (lambda xs, t: [x - (i == t) for i, x in enumerate(xs)], "The scores are not probabilities yet"),
    "a mean": (pushes(lambda i, p, t: (p - (i == t)) / 4), "divided by the number of letters"),
    "of the probability": (pushes(lambda i, p, t: p * (1 - p)), "slope of each probability by its own score"),
    "too large for exp": (pushes(take_off=False), "raised OverflowError"),
    "another": (pushes(lambda i, p, t: p - 0.5 * (i == t)), "Number 2 of loss_gradients"),
    "one number": (lambda xs, t: 0.5, "should be a list of 4 numbers; it is the number 0.5"),
    "in place": (lambda xs, t: [xs.__setitem__(0, 1.0), *pushes()(xs, t)][1:], "changed the list that it was given"),
    "nothing returned": (lambda xs, t: print(end=""), "Does the function end with return?"),
    "called": ([0.5], "It got a list of 1"),
}


def test_the_solutions_of_4_and_7_agree_with_backward():
    spaces = {name: {} for name in ("00-4", "00-7")}
    for name, space in spaces.items():
        exec(find(name).solution, space)
    logits, target = [0.3, -1.2, 2.0], 1
    values = [Value(x) for x in logits]
    exps = [value.exp() for value in values]
    loss = -(exps[target] / sum(exps)).log()
    loss.backward()
    exact = [value.grad for value in values]
    assert spaces["00-7"]["loss_gradients"](logits, target) == pytest.approx(exact)

    def loss_of(xs):
        return -math.log(checking.softmax(xs)[target])

    assert spaces["00-4"]["numeric_gradients"](loss_of, logits) == pytest.approx(exact, abs=1e-8)
    assert "1e-5" in str(solution("00-4"))


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "00-1": WRONG_1,
    "00-2": WRONG_2,
    "00-3": WRONG_3,
    "00-4": WRONG_4,
    "00-5": WRONG_5,
    "00-6": WRONG_6,
    "00-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    assert_told(exercise, *PLANTED[exercise][name])
