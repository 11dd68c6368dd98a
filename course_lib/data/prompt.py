"""What a model is given to begin with: the same rules for the command line, the lab and the widgets."""

import unicodedata

from course_lib.data.reading import read_start_file, same_line_ends
from course_lib.errors import CourseError
from course_lib.tokenizers import CharTokenizer, Tokenizer

FROM_FILE = "FILE:"
"""A start that begins so is the path of a file that holds it, or ``-`` for standard input."""
MOST_SHOWN = 100

SAMPLE_TOKENS, SAMPLE_HEAT, SAMPLE_SEED = 500, 0.8, 1337
"""How a sample is written where nothing else is asked for: so many tokens, at this temperature, from this seed on."""


def read_start(start: str, flag: str = "--start") -> str:
    """The text of ``--start``: itself, or what a file holds.

    Args:
        flag: what messages call it; another flag that takes a text.

    Raises:
        CourseError: for a file that cannot be read or is no text, and for words that are not UTF-8.
    """
    if start.startswith(FROM_FILE):
        return read_start_file(start.removeprefix(FROM_FILE), start)
    try:
        start.encode()
    except UnicodeEncodeError as error:  # Python's way to pass on bytes of the command line that are no UTF-8
        raise CourseError(
            f"The {flag.lstrip('-')} is not valid UTF-8 at character {error.start}: your terminal writes in another "
            f"encoding. Put the text into a file that is saved as UTF-8, and give {flag} FILE:path."
        ) from error
    return same_line_ends(start)


def encode_start(tokenizer: Tokenizer, start: str, what: str = "The start") -> list[int]:
    """The ids to go on from.

    Where only new lines are given and the vocabulary has none, its first token serves. A letter that the tokenizer
    knows in the other Unicode form (one character, or a letter and its mark) is taken for what it is.

    Args:
        what: how messages call it.

    Raises:
        CourseError: for what the tokenizer does not know.
    """
    for form in (None, "NFC", "NFD"):
        try:
            ids = tokenizer.encode((unicodedata.normalize(form, start) if form else start) or "\n")
        except CourseError:
            continue
        if ids or not start.strip("\n"):
            return ids or [0]
    if not start.strip("\n"):
        return [0]
    raise _unknown(tokenizer, start, what)


def encode_stop(tokenizer: Tokenizer, stop: str) -> int:
    """The id of the one token that ends a text.

    Raises:
        CourseError: for a text that is several tokens, or none; and as `encode_start`.
    """
    hint = " A new line is typed in bash as --stop $'\\n'." if stop == "\\n" else ""
    try:
        ids = encode_start(tokenizer, read_start(stop, "--stop"), "--stop") if stop else []
    except CourseError as error:
        raise CourseError(f"{error}{hint}") from error
    if len(ids) != 1:
        raise CourseError(
            f"--stop should be one token of the model; {stop!r} is {len(ids) or 'none'}. A character or a byte always "
            f"is one: by characters give one, such as '.'.{hint}"
        )
    return ids[0]


def _unknown(tokenizer: Tokenizer, start: str, what: str) -> CourseError:
    known = tokenizer.characters if isinstance(tokenizer, CharTokenizer) else ""
    strange = "".join(dict.fromkeys(c for c in start if c not in known))
    shown = f"{known[:MOST_SHOWN]!r}" + (f" and {len(known) - MOST_SHOWN} more" if len(known) > MOST_SHOWN else "")
    return CourseError(
        f"{what} holds {strange[:MOST_SHOWN]!r}, which this model does not know: the text that it learned from had "
        f"no such characters. It knows {shown}."
    )
