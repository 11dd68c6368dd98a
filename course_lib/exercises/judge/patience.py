"""An attempt that never comes to an end is stopped, and told where it went round. No torch."""

import contextlib
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from course_lib.exercises.judge.exercise import Wrong

MOST_LINES = 200_000
"""So many lines of Python are run before an attempt counts as endless: a tenth of a second, and a hundred times what
the small cases of a judge need."""


class _Enough(BaseException):
    """Not an Exception: an attempt may catch all of these, and would go on."""


@contextlib.contextmanager
def patience(function: Callable[..., Any], shown: str, most: int = MOST_LINES) -> Iterator[None]:
    """`Wrong` where more than ``most`` lines of Python run within the block: a loop that has no end.

    Seen are lines of Python; an endless call into C, such as ``sum(itertools.count())``, is not.

    Args:
        function: the learner's, whose cell is told from other code.
        shown: the call as the learner should read it.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = code.co_filename if code else None
    left, place = most, None

    def count(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        nonlocal left, place
        if event == "line":
            left -= 1
            if left < 0:
                place = _line(frame, file)
                raise _Enough
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    except _Enough:
        sys.settrace(before)
        raise Wrong(
            f"{shown} had not come to an end after {most:,} lines of Python: a loop in it goes round and round.{place}"
        ) from None
    finally:
        sys.settrace(before)


def _line(frame: FrameType | None, file: str | None) -> str:
    """Where a learner's code is just now, if it is there."""
    while frame and frame.f_code.co_filename != file:
        frame = frame.f_back
    if not frame or not file:
        return ""
    line = linecache.getline(file, frame.f_lineno).strip()
    return f"\nWhen it was stopped, it was in line {frame.f_lineno} of your cell" + (f":\n    {line}" if line else ".")
