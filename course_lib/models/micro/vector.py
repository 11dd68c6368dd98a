"""The same parts on whole vectors: one node for each operation, with its backward pass written by hand.

A node for each number spends its time on bookkeeping. Here a position of the model takes some 15 nodes
instead of several hundred, and their inner loops run inside Python's own C code, as ``sum(map(mul, row, x))`` does.
The losses differ from the scalar parts' by rounding alone.

In each function below, ``pull`` takes ``g``, the derivatives of the loss by the result, and adds to the
``grad`` of the inputs: the chain rule for that operation. The formulas are those of any textbook on
backpropagation (Goodfellow et al., 2016, section 6.5).
"""

import math
import sys
from collections.abc import Callable, Sequence
from operator import add as plus
from operator import mul

from course_lib.errors import CourseError
from course_lib.models.micro.graph import inputs_first


def no_pull(g: list[float]) -> None:
    """A leaf has no inputs to hand anything to."""


class Vector:
    """A list of numbers that remembers how it was computed: `Value`, for many numbers at once.

    ``data`` and ``grad`` are lists of one length n. ``pull`` hands the gradient down to the ``children``.
    """

    __slots__ = ("children", "data", "grad", "pull")

    def __init__(
        self,
        data: list[float],
        children: Sequence["Vector"] = (),
        pull: Callable[[list[float]], None] = no_pull,
    ) -> None:
        self.data = data
        self.grad = [0.0] * len(data)
        self.children = children
        self.pull = pull

    def __repr__(self) -> str:
        return f"Vector({self.data!r})"

    def receive(self, share: Sequence[float]) -> None:
        """Add one user's share to the gradient."""
        self.grad = list(map(plus, self.grad, share))

    def backward(self) -> None:
        """Add to the ``grad`` of every leaf the derivatives of this Vector's only number by it.

        Raises:
            CourseError: if it has more numbers than one.
        """
        if len(self.data) != 1:
            raise CourseError(f"backward() starts from one number, the loss; this Vector has {len(self.data)}.")
        order = inputs_first(self)
        for node in order:
            node.grad = [0.0] * len(node.data)
        self.grad = [1.0]
        for node in reversed(order):
            node.pull(node.grad)


Matrix = list[Vector]


def matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    """The same numbers as Vectors: the rows of one matrix."""
    return [Vector(list(row)) for row in rows]


def numbers(x: Vector) -> list[float]:
    """The plain numbers of a vector."""
    return x.data


def number(x: Vector) -> float:
    """The plain number of a result such as the loss."""
    return x.data[0]


def gradients(x: Vector) -> list[float]:
    """The derivatives of the loss by each number of a vector."""
    return x.grad


def assign(x: Vector, data: Sequence[float]) -> None:
    """Give a vector new numbers, and gradients of 0."""
    x.data = list(data)
    x.grad = [0.0] * len(x.data)


if sys.version_info >= (3, 12):
    inner = math.sumprod  # in C as a whole
else:

    def inner(x: Sequence[float], y: Sequence[float]) -> float:
        """The dot product of two lists of one length."""
        return sum(map(mul, x, y))


def add(x: Vector, y: Vector) -> Vector:
    """(C,) + (C,) -> (C,)."""

    def pull(g: list[float]) -> None:
        x.receive(g)
        y.receive(g)

    return Vector(list(map(plus, x.data, y.data)), (x, y), pull)


def linear(x: Vector, w: Matrix) -> Vector:
    """(in,) times a matrix of (out, in) -> (out,): y_j = w_j . x, no bias.

    Raises:
        CourseError: if the rows are longer or shorter than x.
    """
    data = x.data
    if len(data) != len(w[0].data):
        raise CourseError(f"A matrix with rows of {len(w[0].data)} numbers cannot take a vector of {len(data)}.")

    def pull(g: list[float]) -> None:
        columns = zip(*[row.data for row in w])
        x.receive([inner(column, g) for column in columns])  # dx_i = sum over j of g_j * w_ji
        for row, g_j in zip(w, g):
            if g_j:  # a unit that relu switched off hands nothing down
                row.grad = [old + g_j * x_i for old, x_i in zip(row.grad, data)]

    return Vector([inner(row.data, data) for row in w], (x, *w), pull)


def softmax(x: Sequence[float]) -> list[float]:
    """(n,) plain numbers -> (n,): numbers above 0 that sum to 1."""
    largest = max(x)
    exps = [math.exp(number - largest) for number in x]
    total = sum(exps)
    return [e / total for e in exps]


def rmsnorm(x: Vector) -> Vector:
    """(C,) -> (C,): y = x * s, where s = (mean of x squared + 1e-5)**-0.5."""
    data = x.data
    size = len(data)
    scale = (inner(data, data) / size + 1e-5) ** -0.5

    def pull(g: list[float]) -> None:
        # ds/dx_i = -s**3 * x_i / C, and every y_j holds s
        shared = scale**3 * inner(g, data) / size
        x.receive([scale * g_i - shared * x_i for g_i, x_i in zip(g, data)])

    return Vector([scale * number for number in data], (x,), pull)


def relu_squared(x: Vector) -> Vector:
    """(n,) -> (n,): max(0, x)**2, whose derivative is 2 * max(0, x)."""
    positive = [number if number > 0 else 0.0 for number in x.data]

    def pull(g: list[float]) -> None:
        x.receive([2 * g_i * p_i for g_i, p_i in zip(g, positive)])

    return Vector([p * p for p in positive], (x,), pull)


def attention(q: Vector, keys: list[Vector], values: list[Vector], n_head: int) -> Vector:
    """One position looks back at all positions so far (Vaswani et al., 2017, equation 1, for each head).

    Args:
        q: the query of this position, (C,).
        keys, values: one vector (C,) for each of the T positions so far, this one included.
        n_head: the heads; head h works on the numbers h * C / n_head and following.

    Returns:
        (C,): for each head the mean of its values, weighted by softmax(q . k / sqrt(head_dim)).
    """
    keys = keys[:]  # the cache goes on growing
    values = values[:]
    head_dim = len(q.data) // n_head
    heads = [slice(start, start + head_dim) for start in range(0, len(q.data), head_dim)]
    scale = head_dim**-0.5
    weights = []  # one list of T for each head
    out: list[float] = []
    for head in heads:
        query = q.data[head]
        of_head = softmax([scale * inner(query, k.data[head]) for k in keys])
        weights.append(of_head)
        out += [inner(of_head, column) for column in zip(*[v.data[head] for v in values])]

    def pull(g: list[float]) -> None:
        for head, of_head in zip(heads, weights):
            pull_head(q, keys, values, head, of_head, g[head])

    return Vector(out, (q, *keys, *values), pull)


def pull_head(
    q: Vector, keys: list[Vector], values: list[Vector], head: slice, weights: list[float], g: list[float]
) -> None:
    """The backward pass of one head: ``weights`` (T,) as they were, ``g`` (head_dim,) of its output."""
    scale = len(g) ** -0.5
    # d out / d a_t = v_t; then softmax: d score_t = a_t * (d a_t - sum over s of a_s * d a_s)
    d_weights = [inner(g, v.data[head]) for v in values]
    common = inner(weights, d_weights)
    d_scores = [scale * a * (d - common) for a, d in zip(weights, d_weights)]
    query = q.data[head]
    columns = zip(*[k.data[head] for k in keys])
    d_query = [inner(d_scores, column) for column in columns]
    q.grad[head] = map(plus, q.grad[head], d_query)
    for k, v, d_score, a in zip(keys, values, d_scores, weights):
        k.grad[head] = [old + d_score * q_i for old, q_i in zip(k.grad[head], query)]
        v.grad[head] = [old + a * g_i for old, g_i in zip(v.grad[head], g)]


def cross_entropy(logits: Vector, target: int) -> Vector:
    """(V,) logits -> (1,), the loss in nats: minus the log of the probability of the token that came.

    Its derivative by the logits is softmax(logits), less 1 at the target.
    """
    largest = max(logits.data)
    exps = [math.exp(number - largest) for number in logits.data]
    total = sum(exps)

    def pull(g: list[float]) -> None:
        share = [g[0] * e / total for e in exps]
        share[target] -= g[0]
        logits.receive(share)

    # log(total) + largest - logit, and not the log of a probability, which may have been rounded to 0
    return Vector([math.log(total) + largest - logits.data[target]], (logits,), pull)


def mean(losses: list[Vector]) -> Vector:
    """The mean of the losses of a document's positions, (1,)."""
    count = len(losses)

    def pull(g: list[float]) -> None:
        for loss in losses:
            loss.receive([g[0] / count])

    return Vector([sum(loss.data[0] for loss in losses) / count], tuple(losses), pull)
