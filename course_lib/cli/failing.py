"""How a command that fails says why: once, and last."""

import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course_lib.errors import CourseWarning

PATIENCE = 5.0
"""Seconds for which the other processes of a torchrun let the main one speak: mostly all fail for the same reason.
torchrun ends them as soon as the main one has failed; after that time they say what only they know."""


@contextlib.contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Within it a CourseWarning is a line, without the place in the library where it comes from."""
    with warnings.catch_warnings():
        as_usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, CourseWarning):
                print(f"note: {message}", file=sys.stderr)
            else:
                as_usual(message, category, *rest, **named)

        warnings.showwarning = show
        yield


def complain(words: str) -> None:
    """Print why a command fails, on stderr.

    torchrun prints a long report of its own last. It puts these words into that: it reads them from the file that it
    names to each process (torch.distributed.elastic, "Error Propagation").
    """
    report = _report()
    if report is None:
        print(f"course: {words}", file=sys.stderr)
        return
    if os.environ.get("RANK", "0") != "0":
        time.sleep(PATIENCE)
    said = {"py_callstack": f"course: {words}", "timestamp": str(int(time.time()))}
    Path(report).write_text(json.dumps({"message": {"message": words, "extraInfo": said}}), encoding="utf-8")


def give_way() -> None:
    """Under torchrun, wait before a traceback: where another process has failed, this one only says that the other does
    not answer any more, and the other has the better reason."""
    if _report() is not None:
        time.sleep(2 * PATIENCE)


def _report() -> str | None:
    """The file in which torchrun looks for why this process failed; None where none has started it."""
    return os.environ.get("TORCHELASTIC_ERROR_FILE")
