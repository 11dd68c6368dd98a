"""Given names from many languages, bundled with the course: the documents of the microGPT chapter."""

from pathlib import Path


def given_names() -> list[str]:
    """Some 4,000 names of 2 to 13 letters each, a to z in lower case, in alphabetical order.

    The README beside the list says where they come from.

    >>> "maria" in given_names()
    True
    """
    text = Path(__file__).with_name("names.txt").read_text(encoding="utf-8")
    return text.split()
