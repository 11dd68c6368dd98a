"""What a model is given to begin with: the same rules for the command line, the lab and the widgets."""

from course_lib.data.reading import read_text, same_line_ends
from course_lib.errors import CourseError
from course_lib.tokenizers import Tokenizer

FROM_FILE = "FILE:"
"""A start that begins so is the path of a file that holds it, or ``-`` for standard input."""


def read_start(start: str) -> str:
    """The text of ``--start``: itself, or what a file holds.

    Raises:
        CourseError: for a file that cannot be read, is no text, or is empty.
    """
    if start.startswith(FROM_FILE):
        return read_text(start.removeprefix(FROM_FILE), start)
    return same_line_ends(start)


def encode_start(tokenizer: Tokenizer, start: str) -> list[int]:
    """The ids to go on from; where only new lines are given, and the vocabulary has none, its first token serves.

    Raises:
        CourseError: for what the tokenizer does not know.
    """
    try:
        ids = tokenizer.encode(start or "\n")
    except CourseError:
        if start.strip("\n"):
            raise
        ids = []
    if not ids and start.strip("\n"):
        raise CourseError(
            f"The start {start[:40]!r} has no character that this model knows, and its tokenizer skips such characters."
        )
    return ids or [0]
