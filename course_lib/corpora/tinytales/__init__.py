"""TinyTales: small stories from a grammar that knows how likely each character is.

The default text of the course. It needs no download, and more is known of it than of any real text: what
the best possible reader would lose on it, and which of the sentences that a model writes are grammatical.
"""

import random
from functools import cache

from course_lib.corpora.grade import Grade
from course_lib.corpora.tinytales.judge import Judge
from course_lib.corpora.tinytales.story import TALES
from course_lib.corpora.tinytales.truth import (
    Floor,
    entropy_rate,
    floor,
    floor_of,
    lines,
    surprise_at,
    surprise_error_at,
    the_reader,
)

__all__ = [
    "Floor", "entropy_rate", "floor", "floor_of", "grade", "lines", "surprise_at", "surprise_error_at",
    "tinytales_text",
]  # fmt: skip


def tinytales_text(length: int = 1_000_000, seed: int = 0) -> str:
    """Whole stories, each followed by an empty line, until there are at least ``length`` characters."""
    generator = random.Random(seed)
    stories, written = [], 0
    while written < length:
        stories.append(TALES.story(generator))
        written += len(stories[-1])
    return "".join(stories)


@cache
def _judge() -> Judge:
    return Judge(the_reader())


def grade(text: str) -> Grade:
    """Which whole sentences and which whole stories of ``text`` the grammar could have written."""
    return _judge().grade(text)
