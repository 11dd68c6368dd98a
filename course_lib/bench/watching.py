"""A program watched from outside: what it prints, when, and an end to it once enough was heard."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.training.signals import holding_signals

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
    last: deque[str] = deque(maxlen=30)
    late = threading.Event()
    stopped = False
    start = time.perf_counter()
    with _started(command, folder, os.environ | more | {"PYTHONUNBUFFERED": "1"}) as process:

        def too_late() -> None:
            late.set()
            _signal(process, signal.SIGTERM)

        timer = threading.Timer(max(limit, 0.0), too_late)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                last.append(line)
                if heard(time.perf_counter() - start, line):
                    stopped = True
                    break
            else:
                process.wait()
        finally:
            timer.cancel()
    if stopped:
        return "stopped"
    if late.is_set():
        return "timed out"
    if process.returncode:
        raise CourseError(f"{' '.join(command)} failed:\n{''.join(last)[-2000:]}")
    return "ended"


@contextlib.contextmanager
def _started(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The program, running; gone afterwards, whatever happens."""
    # A group of its own, to be ended as one, but no session of its own: it ends with this program's session.
    group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    process: subprocess.Popen[str] | None = None
    try:
        with holding_signals():  # a Ctrl-C between the start and the name it gets would leave it running
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", **group,
            )  # fmt: skip
        yield process
    finally:
        if process is not None:
            end(process)


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
