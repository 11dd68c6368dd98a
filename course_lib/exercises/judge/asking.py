"""A call that comes to an end and changes no tensor, and tensors that are compared with known mistakes."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from course_lib.exercises.judge.calling import call
from course_lib.exercises.judge.exercise import Wrong
from course_lib.exercises.judge.patience import patience
from course_lib.exercises.judge.tensors import alike

Known = list[tuple[Tensor, str]]


def ask(function: Callable[..., Any], *args: Any, shown: str) -> Any:
    """What ``function`` returns; `Wrong` where it raises, has no end, or changes a tensor or list it was given."""
    given = [arg.clone() if isinstance(arg, Tensor) else list(arg) if isinstance(arg, list) else arg for arg in args]
    with patience(function, shown):
        returned = call(function, *given, shown=shown)
    for mine, theirs in zip(args, given):
        changed = not mine.equal(theirs) if isinstance(mine, Tensor) else mine != theirs
        if changed:
            kind = "tensor" if isinstance(mine, Tensor) else type(mine).__name__
            raise Wrong(f"{shown} changed a {kind} that it was given. Leave it as it is and make one of your own.")
    return returned


def telling(mistakes: Iterable[tuple[Tensor, str]], right: Tensor) -> Known:
    """Those of ``mistakes`` that show: on some inputs a mistake leads to what is right."""
    return [(wrong, words) for wrong, words in mistakes if not alike(wrong, right)]
