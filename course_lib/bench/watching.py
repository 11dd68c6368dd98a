"""A program watched from outside: what it prints, when, and an end to it once enough was heard."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from course_lib.errors import CourseError

KILL_AFTER = 10.0
"""Seconds that a program has to end by itself, once it was asked to."""


def watch(
    command: list[str], folder: Path, more: dict[str, str], heard: Callable[[float, str], bool], limit: float
) -> str:
    """Run ``command`` in ``folder`` and hand each line to ``heard(seconds since the start, line)``.

    Returns:
        "stopped" where ``heard`` returned True, "timed out" after ``limit`` seconds, else "ended".

    Raises:
        CourseError: where the program failed; with its last lines.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | more | {"PYTHONUNBUFFERED": "1"}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    late = threading.Event()

    def too_late() -> None:
        late.set()
        _signal(process, signal.SIGTERM)

    timer = threading.Timer(max(limit, 0.0), too_late)
    timer.daemon = True
    timer.start()
    last: deque[str] = deque(maxlen=30)
    stopped = False
    try:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line)
            if heard(time.perf_counter() - start, line):
                stopped = True
                break
        if not stopped:
            process.wait()
    finally:
        timer.cancel()
        end(process)
    if stopped:
        return "stopped"
    if late.is_set():
        return "timed out"
    if process.returncode:
        raise CourseError(f"{' '.join(command)} failed:\n{''.join(last)[-2000:]}")
    return "ended"


def end(process: subprocess.Popen[str]) -> None:
    """Make sure that the process, and what it started, is gone: a card has to be free for the next measurement."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(KILL_AFTER)
    except subprocess.TimeoutExpired:
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _signal(process: subprocess.Popen[str], what: signal.Signals) -> None:
    if process.poll() is not None and os.name == "nt":
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, what)  # it leads a group of its own
        else:
            process.send_signal(what)
