"""Files that ``torch.save`` has written, read without running what a pickle may hold."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from course_lib.errors import CourseError
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
        raise CourseError(
            f"{quoted(path)} should be {what}; it cannot be read: {_first(error)} Nothing that it may hold was run."
        ) from error


def _first(error: Exception) -> str:
    """The first sentence of an error whose others advise to run the pickle after all."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line.split(". ")[0].rstrip(".") + "."
