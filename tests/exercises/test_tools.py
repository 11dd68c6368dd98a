"""What judges are made of: values and tensors compared with words, functions called with care, models watched."""

import collections
import functools
import math
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib.exercises import Unattempted, Wrong
from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.judging import is_blank
from course_lib.exercises.judge.measuring import Meter, held
from course_lib.exercises.judge.patience import patience
from course_lib.exercises.judge.tensors import difference, need_tensor, same_tensor
from course_lib.exercises.judge.values import near, need_number, same_number, same_row
from course_lib.exercises.judge.watching import Bigram, gradient_at, loss_at, watched


def wrong(function, *args) -> str:
    with pytest.raises(Wrong) as caught:
        function(*args)
    return str(caught.value)


# Words for values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (..., "..."),
        (True, "True"),
        (3, "the number 3"),
        (2 / 3, "the number 0.6667"),
        (1e-9, "the number 1e-09"),
        (float("nan"), "the number nan"),
        (50257, "the number 50,257"),
        ("ab", "the text 'ab'"),
        ([1, 2], "a list of 2"),
        (torch.tensor(1.5), "a tensor with the one number 1.5"),
        (torch.tensor(True), "a tensor with the one number True"),
        (torch.ones(2, 3), "a tensor of shape (2, 3)"),
        (np.ones(4), "an array of shape (4,)"),
        (math.log, "the function log"),
        (Bigram, "the class Bigram"),
        (Bigram(), "an object of the kind Bigram"),
    ],
)
def test_a_value_in_words(value, words):
    assert described(value) == words


def test_a_long_text_is_cut():
    assert len(described("x" * 1000)) < 220
    assert number(1234567.0) == "1.235e+06"
    assert number(-0.25) == "-0.25"


def test_numbers_that_are_none():
    assert need_number(np.float32(1.5), "It") == 1.5
    assert need_number(np.int64(2), "It") == 2
    assert "it is None. Does the function end with return?" in wrong(need_number, None, "It")
    assert "take the mean first" in wrong(need_number, torch.ones(3), "It")
    assert ".item() takes the number out" in wrong(need_number, torch.tensor(3.0), "It")
    assert "finite number; it is inf" in wrong(need_number, math.inf, "It")
    assert "should be a number; it is True" in wrong(need_number, True, "It")
    assert "array of shape (2,)" in wrong(need_number, np.ones(2), "It")


def test_a_number_that_is_off_gets_the_words_of_a_known_mistake():
    same_number(0.30000001, 0.3, "It")
    mistakes = [(0.6, "Twice as much."), (0.15, "Half as much.")]
    assert wrong(same_number, 0.15, 0.3, "It", mistakes) == "It should be 0.3; it is 0.15. Half as much."
    assert wrong(same_number, 0.2, 0.3, "It", mistakes) == "It should be 0.3; it is 0.2."
    assert not near(1.0, 1.001)


def test_rows_are_compared_place_by_place():
    same_row([1, 2, 3], [1, 2, 3], "The ids")
    same_row((1, 2), [1, 2], "The ids")
    assert "at place 1 (counted from 0): expected 2, got 5" in wrong(same_row, [1, 5, 3], [1, 2, 3], "The ids")
    assert "should have 3 entries; it has 2. As far as both go" in wrong(same_row, [1, 2], [1, 2, 3], "The ids")
    assert "should be a text; it is a list of 1" in wrong(same_row, ["a"], "a", "The text")
    assert "should be a list; it is the text 'a'" in wrong(same_row, "a", ["a"], "The ids")
    assert "expected 'b', got 'x'" in wrong(same_row, "axc", "abc", "The text")


# Tensors --------------------------------------------------------------------------------------------------


def test_tensors_are_told_apart_by_kind_shape_type_and_place():
    expected = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    same_tensor(expected + 1e-7, expected, "It")
    same_tensor(expected.double(), expected, "It")
    assert "It should be a tensor; it is a list of 2" in wrong(same_tensor, [[1, 2], [3, 4]], expected, "It")
    assert "Does the function end with return?" in wrong(same_tensor, None, expected, "It")
    assert "the shape (2, 2); it has (4,)" in wrong(same_tensor, expected.flatten(), expected, "It")
    assert "floating-point numbers; it holds int64" in wrong(same_tensor, expected.long(), expected, "It")
    other = expected.clone()
    other[1, 0], other[1, 1] = 30.0, math.nan
    assert wrong(same_tensor, other, expected, "It") == "It: at [1, 0] expected 3, got 30 (2 of 4 entries differ)."
    mistakes = [(expected.T, "Transposed.")]
    assert wrong(same_tensor, expected.T, expected, "It", mistakes).endswith("(2 of 4 entries differ). Transposed.")
    assert difference(expected, expected) == ""
    assert difference(torch.tensor(1.0), torch.tensor(2.0)) == "expected 2, got 1"
    assert "(T,): a loss each" in wrong(need_tensor, torch.ones(2), "It", (3,), "(T,): a loss each")


# Functions ------------------------------------------------------------------------------------------------


def test_a_function_is_asked_for_by_what_it_takes():
    assert need_function(max, "f(a, b)") is max, "what says nothing about itself is believed"
    for fits in (lambda a, b: 0, lambda *args: 0, lambda a, b, c=1: 0, functools.partial(lambda a, b, c: 0, c=1)):
        assert need_function(fits, "f(a, b)") is fits
    said = wrong(need_function, lambda a: 0, "f(a, b)")
    assert "can be called as f(a, b); yours takes (a)" in said
    assert "yours takes (a, b, c)" in wrong(need_function, lambda a, b, c: 0, "f(a, b)")
    assert "It got None" in wrong(need_function, None, "f(a, b)")


def test_what_a_call_raises_is_told_with_the_learners_own_line():
    def outer(x):
        return inner(x)

    def inner(x):
        return F.softmax(x, dim=7)

    said = wrong(lambda: call(outer, torch.ones(2), shown="outer(x)"))
    assert said.startswith("outer(x) raised IndexError: Dimension out of range")
    assert said.endswith("    return F.softmax(x, dim=7)"), "the last line of the learner's, not one of torch's"
    with pytest.raises(Unattempted):
        call(lambda: (_ for _ in ()).throw(NotImplementedError), shown="f()")

    @torch.no_grad()
    def decorated():
        raise ValueError(f"long {'x' * 500} {object()!r}\nsecond line")

    said = wrong(lambda: call(decorated, shown="f()"))
    assert "raise ValueError" in said
    assert len(said.splitlines()[0]) < 250


def test_an_address_in_an_error_is_left_out():
    def f():
        raise ValueError(f"bad {object()!r}")

    assert wrong(lambda: call(f, shown="f()")).splitlines()[0] == "f() raised ValueError: bad <object object>"


def test_code_without_a_file_still_has_its_line_number():
    names: dict = {}
    exec("def f():\n    return {}['a']", names)
    assert wrong(lambda: call(names["f"], shown="f()")).endswith(
        "raised KeyError: 'a'\nThe error came in line 2 of your cell."
    )


def test_what_is_blank():
    def constant():
        return 3

    def generator():
        yield None

    def local():
        x = 1
        del x

    assert all(is_blank(blank) for blank in (None, ..., [None, ...], {1: ...}, (None,), lambda x: None))
    blanks = (0, "", False, [], {}, [None, 1], constant, generator, local, print, Bigram, Bigram(), lambda x: x)
    assert not [blank for blank in blanks if is_blank(blank)]


# The watched model ----------------------------------------------------------------------------------------

IDX = torch.tensor([[0, 1, 1], [4, 0, 2]])
TARGETS = torch.tensor([[1, 1, 3], [0, 2, 2]])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_and_loss_by_formula_are_those_of_autograd(reduction):
    model = Bigram()
    loss = F.cross_entropy(model(IDX).flatten(0, 1), TARGETS.flatten(), reduction=reduction)
    loss.backward()
    weight = model.table.weight.detach()
    torch.testing.assert_close(gradient_at(weight, IDX, TARGETS, reduction), model.table.weight.grad)
    if reduction == "mean":
        assert loss_at(weight, IDX, TARGETS) == pytest.approx(loss.item())


def test_everything_is_noted_in_order_and_the_hooks_are_gone_afterwards():
    model, other = Bigram(), Bigram()
    optimizers = [torch.optim.SGD(m.parameters(), lr=1.0) for m in (model, other)]
    with watched(model) as watch:
        for m, optimizer in zip((model, other), optimizers):
            model(IDX) if m is model else None
            m.eval()
            with torch.no_grad():
                m(IDX)
            F.cross_entropy(m(IDX).flatten(0, 1), TARGETS.flatten()).backward()
            optimizer.step()
    assert [event.kind for event in watch] == ["forward", "forward", "forward", "backward", "step"]
    first, scored, _, backward, step = watch
    assert (first.training, first.recorded) == (True, True)
    assert (scored.training, scored.recorded) == (False, False)
    assert first.idx is IDX
    assert first.gradient is None
    assert backward.gradient.equal(step.gradient)
    assert step.optimizer is optimizers[0], "the other model's step is not ours"
    torch.testing.assert_close(model.table.weight.detach(), step.weight - step.gradient)
    model(IDX).sum().backward()
    optimizers[0].step()
    assert len(watch) == 5


# Patience -------------------------------------------------------------------------------------------------


def waits(function, *args, most=1000):
    with patience(function, "f()", most):
        return function(*args)


def in_a_try():
    while True:
        try:
            sum([1, 2])
        except Exception:  # it should not catch what stops it
            continue


def in_a_helper():
    return in_a_try()


def one_line():
    return [i + 1 for i in iter(int, 1)]


@pytest.mark.parametrize(
    "function",
    [
        in_a_try,
        in_a_helper,
        one_line,
        lambda: sum(i for i in iter(int, 1)),
        lambda: sorted(range(10**6), key=lambda i: -i),
        functools.partial(in_a_try),
    ],
)
def test_what_goes_round_and_round_is_stopped(function):
    assert "f() had not come to an end after 1,000 lines of Python" in wrong(waits, function)


def test_where_it_went_round_is_shown():
    line = one_line.__code__.co_firstlineno + 1
    assert wrong(waits, one_line).endswith(f"in line {line} of your cell:\n    return [i + 1 for i in iter(int, 1)]")


def test_between_two_of_its_own_lines_the_last_one_is_shown():
    cell = {}
    exec(compile("def stream():\n  while True:\n    yield 0", "a cell", "exec"), cell)

    def judge():
        with patience(cell["stream"], "stream()", 1000):
            for i in cell["stream"]():
                assert sorted(range(100), key=lambda j: j + i)

    assert "of your cell" in wrong(judge)


def test_what_comes_to_an_end_goes_its_way_and_the_tracer_of_others_stays():
    seen = []

    def other(frame, event, _):
        seen.append(frame.f_code.co_name)

    before = sys.gettrace()
    sys.settrace(other)
    try:
        assert waits(lambda: sum(i for i in range(100))) == 4950
        after = sys.gettrace()
        wrong(waits, in_a_try)
        again = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is other
    assert again is other
    with pytest.raises(ZeroDivisionError):
        waits(lambda: 1 / 0)
    assert sys.gettrace() is before


def test_each_wait_has_its_own_patience():
    for _ in range(5):
        assert waits(lambda: max(i + 0 for i in range(400))) == 399
    with pytest.raises(KeyboardInterrupt):
        waits(lambda: (_ for _ in ()).throw(KeyboardInterrupt()))


# What tensors cost ----------------------------------------------------------------------------------------


def metered(function, *given):
    with Meter(given, 10_000, "too many") as meter:
        result = function(*given)
    return meter, result


def test_the_meter_counts_what_is_read_and_what_is_held_at_once():
    x = torch.ones(10, 20)
    meter, _ = metered(lambda x: x @ x.T, x)
    assert (meter.read, meter.peak, meter.largest) == (400, 100, (10, 10))
    meter, _ = metered(lambda x: [x[i][None].T for i in range(10)], x)
    assert (meter.read, meter.peak, meter.largest) == (0, 0, ()), "views"
    meter, _ = metered(lambda x: [x + i for i in range(5)], x)
    assert (meter.read, meter.peak) == (1000, 1000), "all of them are held"
    meter, _ = metered(lambda x: [(x + i).sum() for i in range(5)], x)
    assert meter.peak < 2 * 200 + 10, "one after another"
    meter, _ = metered(lambda x: x.add_(1), x)
    assert meter.peak == 0, "in place"
    meter, _ = metered(lambda x: [x[torch.tensor([3, 4])] for _ in range(5)], x)
    assert meter.read == 0, "a few of many"


def test_what_a_state_holds():
    class State:
        def __init__(self):
            self.keys, self.n = torch.ones(3, 4), 7

    x = torch.ones(100, 4)
    assert held(None) == held(3) == held(2.5) == 1
    assert held(x[-1:]) == held((x, x, x.T)) == 400, "a view keeps the whole, and the same tensor counts once"
    assert held([[1.0, 2.0], {"a": (3, 4)}]) == 4
    assert held(collections.deque([x[:0], 1])) == 401
    assert held(State()) == 12 + 1 + 1
    assert held(np.ones((2, 3))) == 6
    assert held("abc") == 3
    round_ = [1]
    round_.append(round_)
    assert held(round_) == 1


def test_the_meter_stops_what_takes_too_many_operations_and_known_tensors_are_nothing_new():
    assert wrong(metered, lambda x: [x + 1 for _ in range(10_001)], torch.ones(4)) == "too many"
    known = torch.ones(100)
    with Meter((known,), 10, "too many") as meter:
        known.mul_(2)
        known[:50] = 3
    assert meter.peak == 0
