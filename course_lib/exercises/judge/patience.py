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
    left, last = most, 0

    def count(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        nonlocal left, last
        if event == "line":
            left -= 1
            if frame.f_code.co_filename == file:
                last = frame.f_lineno
            if left < 0:
                raise _Enough
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    except _Enough:
        raise Wrong(
            f"{shown} had not come to an end after {most:,} lines of Python: a loop in it goes round and round."
            f"{_line(file, last)}"
        ) from None
    finally:
        sys.settrace(before)


def _line(file: str | None, number: int) -> str:
    """Where a learner's code was last, if it was seen."""
    if not file or not number:
        return ""
    line = linecache.getline(file, number).strip()
    return f"\nWhen it was stopped, it was in line {number} of your cell" + (f":\n    {line}" if line else ".")
