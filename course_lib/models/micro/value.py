"""A number that remembers how it was computed, and so can say what moves it.

Reverse-mode differentiation on scalars: the chain rule, applied from the result back to the inputs
(Linnainmaa, 1970; the form with one object per number is micrograd's, Karpathy, 2020).
"""

import math
from collections.abc import Sequence

from course_lib.errors import CourseError
from course_lib.models.micro.graph import inputs_first


class Value:
    """One number of a computation: its value, and in ``grad`` the derivative of the result by it.

    ``children`` are the Values that it was computed from, ``local_grads`` its derivatives by each of them.
    A Value without children is a leaf: a parameter, or a constant.

    >>> x = Value(3.0)
    >>> y = x * x + 2 * x
    >>> y.backward()
    >>> x.grad
    8.0
    """

    __slots__ = ("children", "data", "grad", "local_grads")

    def __init__(self, data: float, children: Sequence["Value"] = (), local_grads: Sequence[float] = ()) -> None:
        self.data = data
        self.grad = 0.0
        self.children = children
        self.local_grads = local_grads

    def __repr__(self) -> str:
        return f"Value({self.data!r}, grad={self.grad!r})"

    def __add__(self, other: "Value | float") -> "Value":
        if isinstance(other, Value):
            return Value(self.data + other.data, (self, other), (1.0, 1.0))
        return Value(self.data + other, (self,), (1.0,))

    def __mul__(self, other: "Value | float") -> "Value":
        if isinstance(other, Value):
            return Value(self.data * other.data, (self, other), (other.data, self.data))
        return Value(self.data * other, (self,), (other,))

    def __pow__(self, exponent: float) -> "Value":
        """A fixed power: d(x**n)/dx = n * x**(n - 1).

        Raises:
            CourseError: if the exponent is itself a Value.
        """
        if isinstance(exponent, Value):
            raise CourseError("The exponent of a Value should be a plain number; it is a Value. Take its .data.")
        return Value(self.data**exponent, (self,), (exponent * self.data ** (exponent - 1),))

    def __neg__(self) -> "Value":
        return self * -1

    def __sub__(self, other: "Value | float") -> "Value":
        return self + (-other)

    def __truediv__(self, other: "Value | float") -> "Value":
        return self * other**-1

    def __radd__(self, other: float) -> "Value":
        return self + other

    def __rmul__(self, other: float) -> "Value":
        return self * other

    def __rsub__(self, other: float) -> "Value":
        return (-self) + other

    def __rtruediv__(self, other: float) -> "Value":
        return self**-1 * other

    def exp(self) -> "Value":
        result = math.exp(self.data)
        return Value(result, (self,), (result,))

    def log(self) -> "Value":
        """The natural logarithm.

        Raises:
            CourseError: for a number that has none, 0 or below.
        """
        if self.data <= 0:
            raise CourseError(f"A logarithm needs a number above 0; it got {self.data}.")
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def relu(self) -> "Value":
        """The number itself above 0, else 0."""
        return Value(max(0.0, self.data), (self,), (float(self.data > 0),))

    def backward(self) -> None:
        """Add to the ``grad`` of every leaf the derivative of this Value by it.

        Leaves keep what they had, as in PyTorch: set their ``grad`` to 0 between two steps of training.
        """
        order = inputs_first(self)
        for node in order:
            node.grad = 0.0
        self.grad = 1.0
        # A node's grad is whole once every node that used it has handed its share down.
        for node in reversed(order):
            grad = node.grad
            for child, local_grad in zip(node.children, node.local_grads):
                child.grad += local_grad * grad


def dot(xs: Sequence[Value], ys: Sequence[Value]) -> Value:
    """The sum of ``xs[i] * ys[i]`` as one node instead of two for each term.

    The loop adds from left to right: ``sum()`` of floats corrects its rounding from Python 3.12 on, and
    the last bits would differ between versions.

    Raises:
        CourseError: if one list is longer than the other.
    """
    if len(xs) != len(ys):
        raise CourseError(f"A dot product needs two lists of one length; they have {len(xs)} and {len(ys)} numbers.")
    total = 0.0
    children: list[Value] = []
    local_grads: list[float] = []
    for x, y in zip(xs, ys):
        total += x.data * y.data
        children += (x, y)
        local_grads += (y.data, x.data)
    return Value(total, children, local_grads)
