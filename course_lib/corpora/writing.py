"""What a model wrote, in numbers: how much of it is right, how much varies, how much the training text has already."""

from collections.abc import Callable, Sequence
from typing import Any

from course_lib.corpora.grade import Grade
from course_lib.errors import CourseError

VARIETY_OF = 300
"""Variety is counted among this many sentences: among more, a smaller share would differ."""


def longest_copy(text: str, source: str) -> str:
    """The longest run of characters of ``text`` that stands in ``source`` as well; of equals, the first."""
    longest = ""
    for start in range(len(text)):
        while start + len(longest) < len(text) and text[start : start + len(longest) + 1] in source:
            longest = text[start : start + len(longest) + 1]
    return longest


def survey(texts: Sequence[str], source: str, grade: Callable[[str], Grade]) -> dict[str, Any]:
    """What was written in several ``texts``, against the text that the writer learned from.

    It counts whole sentences (lines) and whole stories (up to an empty line), as ``grade`` finds them:

    - ``sentences``, ``stories``: how many there are.
    - ``grammatical``, ``grammatical_stories``: the share that the grammar could have written.
    - ``new``, ``new_stories``: the share that does not stand in ``source``.
    - ``grammatical_and_new``: the share of sentences that are both.
    - ``distinct``: the share of different ones among the first `VARIETY_OF` sentences; None where there are fewer.
    - ``longest_copy``: how many characters of the first text stand in ``source`` in one run.

    Raises:
        CourseError: for texts without a whole sentence: there is nothing to count.
    """
    known, known_stories = set(source.split("\n")), set(source.split("\n\n"))
    grades = [grade(text) for text in texts]
    sentences = [(g.text[p.start : p.end].strip("\n"), p.is_grammatical) for g in grades for p in g.sentences]
    stories = [(g.text[p.start : p.end].strip("\n"), p.is_grammatical) for g in grades for p in g.stories]
    if not sentences:
        raise CourseError(f"None of the {len(texts)} texts has a whole sentence: write longer ones.")
    first = [sentence for sentence, _ in sentences[:VARIETY_OF]]
    return {
        "sentences": len(sentences),
        "stories": len(stories),
        "grammatical": _share(right for _, right in sentences),
        "grammatical_stories": _share(right for _, right in stories),
        "new": _share(sentence not in known for sentence, _ in sentences),
        "new_stories": _share(story not in known_stories for story, _ in stories),
        "grammatical_and_new": _share(right and sentence not in known for sentence, right in sentences),
        "distinct": round(len(set(first)) / len(first), 4) if len(first) == VARIETY_OF else None,
        "longest_copy": len(longest_copy(texts[0], source)),
    }


def _share(verdicts: Any) -> float | None:
    counted = list(verdicts)
    return round(sum(counted) / len(counted), 4) if counted else None
