"""The one exception that the library raises on purpose."""


class CourseError(Exception):
    """Something the user can mend.

    The message says what was expected, what came instead, and what to do. The command line prints
    it without a traceback; a notebook shows it as any exception.
    """
