"""The parts of the model on single numbers: every vector is a list of Values.

Each part adds and multiplies in the order of the original microGPT (Karpathy, 2026), so that the losses
are its losses to the last bit.
"""

from collections.abc import Sequence

from course_lib.models.micro.value import Value, dot

Vector = list[Value]
Matrix = list[Vector]


def matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    """The same numbers as Values: rows of one matrix."""
    return [[Value(number) for number in row] for row in rows]


def numbers(x: Vector) -> list[float]:
    """The plain numbers of a vector."""
    return [value.data for value in x]


def number(x: Value) -> float:
    """The plain number of a result such as the loss."""
    return x.data


def gradients(x: Vector) -> list[float]:
    """The derivatives of the loss by each number of a vector."""
    return [value.grad for value in x]


def assign(x: Vector, data: Sequence[float]) -> None:
    """Give a vector new numbers, and gradients of 0."""
    for value, number in zip(x, data):
        value.data = number
        value.grad = 0.0


def add(x: Vector, y: Vector) -> Vector:
    """(C,) + (C,) -> (C,)."""
    return [a + b for a, b in zip(x, y)]


def linear(x: Vector, w: Matrix) -> Vector:
    """(in,) times a matrix of (out, in) -> (out,): one dot product for each row, no bias."""
    return [dot(row, x) for row in w]


def softmax(x: Vector) -> Vector:
    """(n,) -> (n,): numbers above 0 that sum to 1, exp(x_i) / sum of exp(x_j).

    The largest number is taken off first, so that exp does not overflow; the result is the same.
    """
    largest = max(value.data for value in x)
    exps = [(value - largest).exp() for value in x]
    total = sum(exps)
    # Each division makes its own total**-1: one shared node would add the gradients in another order.
    return [e / total for e in exps]


def rmsnorm(x: Vector) -> Vector:
    """(C,) -> (C,): x / sqrt(mean of x squared + 1e-5) (Zhang and Sennrich, 2019, without their gain)."""
    mean_square = dot(x, x) / len(x)
    scale = (mean_square + 1e-5) ** -0.5
    return [value * scale for value in x]


def relu_squared(x: Vector) -> Vector:
    """(n,) -> (n,): max(0, x)**2 (So et al., 2021)."""
    return [value.relu() ** 2 for value in x]


def attention(q: Vector, keys: list[Vector], values: list[Vector], n_head: int) -> Vector:
    """One position looks back at all positions so far (Vaswani et al., 2017, equation 1, for each head).

    Args:
        q: the query of this position, (C,).
        keys, values: one vector (C,) for each of the T positions so far, this one included.
        n_head: the heads; head h works on the numbers h * C / n_head and following.

    Returns:
        (C,): for each head the mean of its values, weighted by softmax(q . k / sqrt(head_dim)).
    """
    head_dim = len(q) // n_head
    out = []
    for start in range(0, len(q), head_dim):
        head = slice(start, start + head_dim)
        scores = [dot(q[head], k[head]) / head_dim**0.5 for k in keys]
        weights = softmax(scores)
        columns = zip(*(v[head] for v in values))  # head_dim columns of T numbers
        out += [dot(weights, column) for column in columns]
    return out


def cross_entropy(logits: Vector, target: int) -> Value:
    """(V,) logits -> the loss in nats: minus the log of the probability of the token that came."""
    return -softmax(logits)[target].log()


def mean(losses: list[Value]) -> Value:
    """The mean of the losses of a document's positions."""
    return (1 / len(losses)) * sum(losses)
