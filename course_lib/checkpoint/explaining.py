"""What the operating system says while a run is written, in words that help."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from course_lib.errors import CourseError


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's errors while writing into ones that name the remedy."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CourseError(
            f"Cannot write {path}: {getattr(error, 'strerror', None) or error}. What was saved before is whole. Free "
            "some disk space or check the folder's permissions, then go on with: course train --resume RUN"
        ) from error
