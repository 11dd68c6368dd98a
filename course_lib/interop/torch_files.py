"""Files that ``torch.save`` has written, read without running what a pickle may hold."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from course_lib.errors import CourseError, in_short
from course_lib.paths import quoted


def read_torch_file(path: Path, what: str) -> Any:
    """What such a file holds: tensors, numbers, texts and plain containers, on the CPU.

    Args:
        what: what it should be, for the error: "a file of weights by torch.save(...)".

    Raises:
        CourseError: where it cannot be read, or its pickle asks for anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # torch has something to say of pickles that are not its own
            return torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        why, remedy = _why(error)
        raise CourseError(
            f"{quoted(path)} should be {what}; it cannot be read: {why}. Nothing that it may hold was run. {remedy}"
        ) from error


def _why(error: Exception) -> tuple[str, str]:
    """What is wrong, and what to do; torch itself advises to run the pickle after all."""
    if asked := re.search(r"\bGLOBAL:? ([\w.]+)", str(error)):
        return f"it asks for {asked[1].rstrip('.')}, which is a part of a program", (
            "Where you trust it, open it with the program that made it, and save its tensors, numbers and texts alone."
        )
    if isinstance(error, KeyError | IndexError):  # of a file that is no pickle torch says no more than a number
        return "torch.save has not written it", "Copy or save the file anew, or name another."
    return in_short(error).split(". ")[0].rstrip("."), "Copy or save the file anew, or name another."
