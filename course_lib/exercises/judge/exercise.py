"""What an exercise is, what is said of an attempt, and what is folded away."""

import html
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from course_lib.errors import CourseError

DIFFICULTIES = ("easy", "medium", "hard")
LINE_WIDTH = 100
"""Where the text of a verdict breaks: a notebook shows it as it stands."""


class Wrong(Exception):
    """The first thing that is wrong with an attempt: what was expected, what came, and where to look."""


class Unattempted(Exception):
    """Nothing has been tried yet; the message, if there is one, says what is still missing."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a chapter; its solution is the file ``<id>.py`` beside it.

    Args:
        id: chapter and number, such as ``05-3``.
        title: a few words, the same that the chapter's heading has.
        difficulty: easy, medium or hard.
        minutes: how long a learner who has read the chapter should need.
        attempt: the name of what is handed in, in the chapter and in the solution, such as ``train_step``.
        expects: what that is, in words, for someone who handed in something else.
        hints: from light to strong, in Markdown.
        judge: takes the attempt; returns why it is right, or raises `Wrong` or `Unattempted`.
    """

    id: str
    title: str
    difficulty: str
    minutes: int
    attempt: str
    expects: str
    hints: tuple[str, ...]
    judge: Callable[[Any], str]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d-[1-9]\d?", self.id):
            raise CourseError(f"An exercise's id should be chapter and number, such as 05-3; it is {self.id!r}.")
        if self.difficulty not in DIFFICULTIES:
            raise CourseError(f"{self.id}: difficulty should be {', '.join(DIFFICULTIES)}; it is {self.difficulty!r}.")
        if self.minutes < 1 or not self.hints:
            raise CourseError(f"{self.id}: an exercise should have minutes and at least one hint.")

    @property
    def solution(self) -> str:
        """The source of the solution."""
        return (files(f"course_lib.exercises.chapter_{self.id[:2]}") / f"{self.id}.py").read_text(encoding="utf-8")


COLORS = {True: "#009E73", False: "#D55E00", None: "#808080"}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `check` says. ``passed`` is None where nothing has been attempted yet."""

    passed: bool | None
    text: str

    def __repr__(self) -> str:
        paragraphs = self.text.split("\n")
        wrap = textwrap.TextWrapper(LINE_WIDTH, break_long_words=False, break_on_hyphens=False)
        return "\n".join(line if line.startswith("    ") else wrap.fill(line) for line in paragraphs)

    def _repr_html_(self) -> str:
        """The words with a bar in the color of the verdict; lines that are set in are the learner's code."""
        escaped = html.escape(self.text, quote=False).split("\n")
        lines = [f"<code>{line.strip()}</code>" if line.startswith("    ") else line for line in escaped]
        style = f"border-left: 4px solid {COLORS[self.passed]}; padding-left: 0.8em; margin: 0.3em 0"
        return f'<div style="{style}">{"<br>".join(lines)}</div>'


class Folded:
    """Parts that a notebook shows folded, each inside the one before it.

    The plain text of it gives nothing away: it stands in a notebook's file, for everyone to read. ``str``
    and ``print`` show it all, for a place where nothing unfolds.
    """

    def __init__(self, title: str, parts: list[tuple[str, str]], how: str) -> None:
        self.title, self.parts, self.how = title, parts, how

    def __repr__(self) -> str:
        return f"{self.title}: click to unfold. Where nothing unfolds: {self.how}"

    def __str__(self) -> str:
        return "\n\n".join(f"{title}\n\n{part.strip()}" for title, part in self.parts)

    def _repr_markdown_(self) -> str:
        opened = "\n\n".join(f"<details>\n<summary>{title}</summary>\n\n{part.strip()}" for title, part in self.parts)
        return opened + "\n\n</details>" * len(self.parts)
