"""A learner's function: asked for as it should be, called with care, its failures told in words. No torch."""

import inspect
import re
import traceback
from collections.abc import Callable
from typing import Any

from course_lib.exercises.judge.exercise import Unattempted, Wrong

MOST_LETTERS = 200
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def described(value: Any) -> str:
    """A value in a few words, the same at every run: no address, no long number."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or value is ... or isinstance(value, bool):
        return {None: "None", ...: "..."}.get(value, str(value))
    if isinstance(value, (int, float)):
        return f"the number {number(value)}"
    if isinstance(value, str):
        return f"the text {_short(repr(value))}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', '?')}"
    if isinstance(value, (list, tuple, dict, set)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"an object of the kind {type(value).__name__}"


def _array(value: Any) -> str:
    kind = "a tensor" if type(value).__module__.startswith("torch") else "an array"
    if value.ndim == 0:
        item = value.item()
        return f"{kind} with the one number {number(item) if isinstance(item, (int, float)) else item}"
    return f"{kind} of shape {tuple(value.shape)}"


def number(value: float) -> str:
    """A number to be read: whole ones whole, others with four digits that count."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) or (value == int(value) if abs(value) < 1e6 else False):
        return f"{int(value):,}"
    return f"{value:.4g}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."


def first_line(error: BaseException) -> str:
    """What an error says, in one line, without addresses."""
    lines = str(error).strip().splitlines()
    return _short(ADDRESS.sub("", lines[0])) if lines else "(it says no more)"


def need_function(attempt: Any, signature: str) -> Callable[..., Any]:
    """``attempt``, if it is a function that can be called as ``signature`` says.

    Args:
        signature: such as ``"train_step(model, optimizer, x, y, max_norm)"``; the learner's names may differ.
    """
    name, _, rest = signature.partition("(")
    parameters = [word.strip() for word in rest.rstrip(")").split(",") if word.strip()]
    if isinstance(attempt, type) or not callable(attempt):
        raise Wrong(
            f"Expected is your function {name} itself: its name, without parentheses after it. "
            f"It got {described(attempt)}."
        )
    try:
        inspect.signature(attempt).bind(*parameters)
    except TypeError:
        theirs = ", ".join(inspect.signature(attempt).parameters)
        raise Wrong(
            f"Expected is a function that can be called as {signature}; yours takes ({theirs}). "
            f"Look at its first line, the one with def."
        ) from None
    except ValueError:  # written in C: it does not say what it takes
        pass
    return attempt


def call(function: Callable[..., Any], *args: Any, shown: str, **kwargs: Any) -> Any:
    """What ``function`` returns; where it raises, `Wrong` says what, in which call and in which of its lines.

    Args:
        shown: the call as the learner should read it, such as ``"train_step(model, optimizer, x, y, 0.1)"``.
    """
    try:
        return function(*args, **kwargs)
    except (Wrong, Unattempted):
        raise
    except NotImplementedError as error:
        raise Unattempted from error
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise Wrong(f"{shown} raised {said}{_own_line(error, function)}") from error


def _own_line(error: Exception, function: Callable[..., Any]) -> str:
    """The last line that the learner wrote on the way to the error, if it can be found."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    if not frames:
        return ""
    last = frames[-1]
    return f"\nThe error came in line {last.lineno} of your cell" + (f":\n    {last.line}" if last.line else ".")
