"""How the lab tells of what it refuses: in one line of a cell, or, where a button was pressed, in the status alone."""

import contextlib
from collections.abc import Callable

from course_lib.errors import CourseError


def in_one_line(error: CourseError) -> CourseError:
    """``error``, which a notebook then shows without a traceback: nothing in the library is at fault."""
    error._render_traceback_ = lambda: [f"{type(error).__name__}: {error}"]  # type: ignore[attr-defined]
    return error


def heeding(press: Callable[[], None]) -> Callable[[], None]:
    """``press`` for a button: there is no cell that could show an error, so the status says what is refused."""

    def pressed() -> None:
        with contextlib.suppress(CourseError):
            press()

    return pressed
