"""Whole programs, each on one page, to be read and run: ``python -m course_lib.pages.train_gpt``.

They use no more of the library than they say, and compute what it computes. Nothing else builds on them.
"""

from pathlib import Path

from course_lib.errors import CourseError, nearest

FOLDER = Path(__file__).parent


def read_page(name: str) -> str:
    """The source of a page, by its name (``train_gpt``), without running it.

    Raises:
        CourseError: where there is no page of that name; it names what there is.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    if name not in known:
        raise CourseError(f"There is no page {name!r}: {nearest(name, known)}")
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")
