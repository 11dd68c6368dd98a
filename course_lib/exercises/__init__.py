"""The chapters' exercises: `check` an attempt, unfold a `hint`, unfold a `solution`.

Each chapter's exercises are a package of their own, `chapter_05` and so on, loaded when they are first asked
for; each exercise's solution is a file beside it, `chapter_05/05-3.py`. Importing this package loads no torch.

To add a chapter: a package ``chapter_NN`` with a tuple ``EXERCISES`` of `Exercise`, and one file per solution.
A judge takes the attempt, raises `Wrong` at the first thing that is wrong, and returns why a right one is right.
`judge` holds what judges need again and again: `calling`, `values`, `tensors`, `watching`, `patience`.
"""

import importlib
import pkgutil
from typing import Any

from course_lib.errors import CourseError, nearest
from course_lib.exercises.judge.exercise import Exercise, Folded, Unattempted, Verdict, Wrong
from course_lib.exercises.judge.judging import judged

__all__ = [
    "Exercise",
    "Folded",
    "Unattempted",
    "Verdict",
    "Wrong",
    "chapters",
    "check",
    "exercises_of",
    "find",
    "hint",
    "solution",
]


def check(exercise: str, attempt: Any = None) -> Verdict:
    """Say of ``attempt`` that it is not attempted yet, the first thing that is wrong, or why it is right.

    Nothing outside the attempt changes by it: random numbers go on as if it had not been checked.

    Args:
        exercise: which exercise, such as ``"05-3"``.
        attempt: what the exercise asks for: a function itself, without calling it, or a value.

    Raises:
        CourseError: for an exercise that there is not.
    """
    return judged(find(exercise), attempt)


def hint(exercise: str) -> Folded:
    """The hints, from light to strong, folded one inside the other; ``print`` shows them all."""
    found = find(exercise)
    titles = [f"Hint {i + 1} of {len(found.hints)}" for i in range(len(found.hints))]
    return Folded(f"Hints for {found.id}", list(zip(titles, found.hints)), f"print(hint({found.id!r}))")


def solution(exercise: str) -> Folded:
    """One solution of several, folded; ``print`` shows it. The tests run it and check it."""
    found = find(exercise)
    title = f"A solution of {found.id}"
    return Folded(title, [(title, f"```python\n{found.solution}```")], f"print(solution({found.id!r}))")


def find(exercise: str) -> Exercise:
    """The exercise of an id such as ``"05-3"``; CourseError names the nearest where there is none."""
    if not isinstance(exercise, str):
        kind = type(exercise).__name__
        raise CourseError(f'The first word is the exercise\'s id, such as "05-3", in quotation marks; it is a {kind}.')
    # Its own chapter first, and alone: the judges of others may need what is not installed, as torch in a browser.
    known = {found.id: found for found in exercises_of(exercise.partition("-")[0])}
    if exercise not in known:
        known = {found.id: found for chapter in chapters() for found in exercises_of(chapter)}
    if exercise not in known:
        raise CourseError(f"There is no exercise {exercise!r}: {nearest(exercise, list(known))}")
    return known[exercise]


def chapters() -> list[str]:
    """The chapters that have exercises, such as ``["05"]``."""
    rooms = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.removeprefix("chapter_") for name in rooms if name.startswith("chapter_"))


def exercises_of(chapter: str) -> tuple[Exercise, ...]:
    """The exercises of a chapter, such as ``"05"``, in their order; none where it has none."""
    if chapter not in chapters():
        return ()
    return importlib.import_module(f"{__name__}.chapter_{chapter}").EXERCISES
