"""A new operation for `Value`, with its backward rule (00-5)."""

import math
from typing import Any

from course_lib.exercises.judge.calling import call, described, need_function, number
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import near, need_number
from course_lib.models.micro import Value

PLACES = (0.5, -1.25, 0.0)


def _judge_tanh(attempt: Any) -> str:
    tanh = need_function(attempt, "tanh(x)")
    for place in PLACES:
        x = Value(place)
        shown = f"tanh(Value({place}))"
        out = call(tanh, x, shown=shown)
        _check_value(out, x, place, shown)
        for use, factor in (("", 1.0), ("3 * ", 3.0)):
            x = Value(place)
            result = factor * call(tanh, x, shown=shown)
            try:
                result.backward()
            except Exception as error:
                raise Wrong(f"({use}{shown}).backward() raised {type(error).__name__}: {error}") from error
            _check_gradient(x.grad, place, factor, use + shown)
    x = Value(0.5)
    (tanh(x) * x).backward()
    t = math.tanh(0.5)
    if not near(x.grad, t + 0.5 * (1 - t * t)):
        raise Wrong("In tanh(x) * x the gradient of x is not the sum of its two ways. Does tanh set x.grad by itself?")
    return (
        "The value, and one local derivative: that is all a rule is. backward() does the rest, in any formula that "
        "your tanh becomes part of. Where |x| is large the derivative is nearly 0, and nothing is learned through it."
    )


def _check_value(out: Any, x: Value, place: float, shown: str) -> None:
    if not isinstance(out, Value):
        hint = " Does the function end with return?" if out is None else ""
        raise Wrong(f"{shown} should be a Value; it is {described(out)}.{hint}")
    data = need_number(out.data, f"The data of {shown}")
    if not near(data, math.tanh(place)):
        raise Wrong(f"The value of {shown} should be {number(math.tanh(place))}; it is {number(data)}.")
    if out is x:
        raise Wrong(f"{shown} changed x itself. Make a new Value.")
    if x.data != place:
        raise Wrong(f"{shown} changed the data of x. Make a new Value, and leave x as it is.")


def _check_gradient(got: Any, place: float, factor: float, shown: str) -> None:
    got = need_number(got, f"The gradient of x after ({shown}).backward()")
    t = math.tanh(place)
    right = factor * (1 - t * t)
    if near(got, right):
        return
    known = (
        (0.0, "backward() does not reach x. A Value needs its children, (x,), and one local derivative for each."),
        (1 - t * t, "The 3 is lost on the way: let backward() multiply, and set no gradient by yourself."),
        (factor * (1 - place * place), "The rule is 1 - t * t, where t is the result, not x."),
        (factor * (1 - t), "The rule is 1 - t * t: the square is missing."),
        (factor * t, "That is the result itself in place of its derivative."),
        (factor, "The local derivative is 1 here. How fast does tanh move where x is?"),
        (-right, "The sign is wrong: tanh grows with x everywhere."),
        (2 * right, "It counts twice: is x among the children twice, or is its gradient set by hand too?"),
    )
    for value, words in known:
        if near(got, value):
            raise Wrong(f"After ({shown}).backward() the gradient of x should be {number(right)}. {words}")
    raise Wrong(f"After ({shown}).backward() the gradient of x should be {number(right)}; it is {number(got)}.")


TANH = Exercise(
    id="00-5",
    title="A rule of your own",
    difficulty="medium",
    minutes=8,
    attempt="tanh",
    expects="your function tanh(x) itself, without calling it",
    hints=(
        "Look at `Value.exp` above: a value, its children, and for each child a local derivative.",
        "With `t = math.tanh(x.data)`, how fast t moves with x is `1 - t * t`.",
        "`Value(t, (x,), (1 - t * t,))`: the commas make tuples of one.",
    ),
    judge=_judge_tanh,
)
