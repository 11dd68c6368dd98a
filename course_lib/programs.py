"""Runs another program to its end, and returns what it said."""

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import CourseError


@dataclass(frozen=True)
class Ran:
    """What a program printed, and the seconds from its start to its exit."""

    out: str
    err: str
    seconds: float


def run_program(
    command: Sequence[str | Path], folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Ran:
    """Run ``command`` to its end, in ``folder``, with ``environment`` besides the variables of this process.

    Raises:
        CourseError: where it cannot be started, or fails; with the last lines that it printed as errors.
    """
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | dict(environment or {}), capture_output=True, text=True,
            errors="replace", stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise CourseError(f"Cannot start {command[0]}: {error}.") from error
    seconds = time.perf_counter() - start
    if done.returncode:
        raise CourseError(f"{shlex.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return Ran(done.stdout, done.stderr, seconds)
