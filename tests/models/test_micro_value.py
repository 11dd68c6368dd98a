"""microGPT's scalars: their gradients against numeric differences, and against torch."""

import math
import random
from collections.abc import Callable

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.models.micro import Value, dot

OPERATIONS: dict[str, Callable] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y,
    "3 + x": lambda x, y: 3 + x,
    "3 - x": lambda x, y: 3 - x,
    "3 * x": lambda x, y: 3 * x,
    "3 / x": lambda x, y: 3 / x,
    "x + 3": lambda x, y: x + 3,
    "x - 3": lambda x, y: x - 3,
    "x * 3": lambda x, y: x * 3,
    "x / 3": lambda x, y: x / 3,
    "-x": lambda x, y: -x,
    "x * x": lambda x, y: x * x,
    "x**3": lambda x, y: x**3,
    "x**-0.5": lambda x, y: x**-0.5,
    "exp": lambda x, y: x.exp(),
    "log": lambda x, y: x.log(),
    "relu above 0": lambda x, y: x.relu(),
    "relu below 0": lambda x, y: (-x).relu() + y,
    "a node used twice": lambda x, y: (x * y) * (x * y) + (x * y).exp(),
    "a long way and a short one": lambda x, y: ((x + y) * y).log() * x + x,
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_gradients_are_the_numeric_differences(operation: Callable) -> None:
    generator = random.Random(0)
    for _ in range(5):
        at = [generator.uniform(0.5, 2.0), generator.uniform(0.5, 2.0)]
        x, y = Value(at[0]), Value(at[1])
        operation(x, y).backward()
        step = 1e-6
        for index, leaf in enumerate([x, y]):
            above, below = at[:], at[:]
            above[index] += step
            below[index] -= step
            rise = operation(*map(Value, above)).data - operation(*map(Value, below)).data
            assert leaf.grad == pytest.approx(rise / (2 * step), rel=1e-6, abs=1e-8)


def random_expression(leaves: list, generator: random.Random, exp: Callable, relu: Callable) -> object:
    """Forty operations on randomly chosen earlier results: much is used several times."""
    nodes = list(leaves)
    for _ in range(40):
        a, b = generator.choice(nodes), generator.choice(nodes)
        kind = generator.randrange(6)
        nodes.append([a + b, a - b, a * b * 0.3, exp(a * 0.1), relu(a) + b, a / (relu(b) + 1.5)][kind])
    return sum(nodes[-5:], start=nodes[0])


@pytest.mark.parametrize("seed", range(20))
def test_whole_computations_have_torchs_gradients(seed: int) -> None:
    start = [random.Random(seed).uniform(-1, 1) for _ in range(4)]
    mine = [Value(number) for number in start]
    theirs = [torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in start]
    result = random_expression(mine, random.Random(seed), Value.exp, Value.relu)
    reference = random_expression(theirs, random.Random(seed), torch.exp, torch.relu)
    result.backward()
    reference.backward()
    assert result.data == pytest.approx(reference.item(), rel=1e-12)
    for value, tensor in zip(mine, theirs):
        expected = 0.0 if tensor.grad is None else tensor.grad.item()
        assert value.grad == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_a_dot_product_is_its_products_and_sums_to_the_last_bit() -> None:
    """One node stands for many, so that the same bits come out: forward, and in every gradient."""
    generator = random.Random(1)
    for size in (1, 2, 16, 64):
        numbers = [[generator.gauss(0, 1) for _ in range(size)] for _ in range(2)]
        fused = [[Value(number) for number in row] for row in numbers]
        plain = [[Value(number) for number in row] for row in numbers]
        once = dot(*fused) * dot(fused[0], fused[0])
        many = sum(x * y for x, y in zip(*plain)) * sum(x * x for x in plain[0])
        once.backward()
        many.backward()
        assert once.data == many.data
        assert [v.grad for row in fused for v in row] == [v.grad for row in plain for v in row]


def test_a_dot_product_adds_from_left_to_right() -> None:
    """A compensated sum would find the 1 that plain addition loses."""
    assert dot([Value(1e16), Value(1.0), Value(-1e16)], [Value(1.0)] * 3).data == 0.0


def test_leaves_gather_and_inner_nodes_start_afresh() -> None:
    x = Value(3.0)
    inner = x * x
    result = inner * 2
    result.backward()
    assert (x.grad, inner.grad, result.grad) == (12.0, 2.0, 1.0)
    result.backward()
    assert (x.grad, inner.grad, result.grad) == (24.0, 2.0, 1.0)


def test_a_long_computation_needs_no_deep_recursion() -> None:
    x = Value(1.0)
    total = x
    for _ in range(20_000):
        total = total + x
    total.backward()
    assert x.grad == 20_001


def test_a_leaf_alone_has_the_gradient_1() -> None:
    x = Value(2.0)
    x.backward()
    assert x.grad == 1.0
    assert repr(x) == "Value(2.0, grad=1.0)"


@pytest.mark.parametrize("number", [0.0, -1.0, -math.inf])
def test_a_logarithm_of_nothing_is_refused(number: float) -> None:
    with pytest.raises(CourseError, match="needs a number above 0"):
        Value(number).log()


def test_an_exponent_is_a_plain_number() -> None:
    with pytest.raises(CourseError, match=r"plain number.*Take its \.data"):
        Value(2.0) ** Value(3.0)


def test_lists_of_two_lengths_have_no_dot_product() -> None:
    with pytest.raises(CourseError, match="they have 2 and 1 numbers"):
        dot([Value(1.0), Value(2.0)], [Value(1.0)])
