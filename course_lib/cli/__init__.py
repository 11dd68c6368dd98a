"""The command line: ``course COMMAND ...``. torch loads only in the commands that need it."""

import os
import sys
from collections.abc import Callable

from course_lib import __version__
from course_lib.cli.failing import complain, give_way, notes_on_stderr
from course_lib.errors import CourseError, nearest
from course_lib.waiting import spin_briefly

Command = Callable[[list[str]], int | None]
"""Takes the words after its name; returns the exit status, None for 0."""


def _commands() -> dict[str, Command]:
    from course_lib.cli import commands, evaluate, export, inspect, record, runs, sample, train, upload

    return {
        "prepare": commands.prepare,
        "train": train.train,
        "sample": sample.sample,
        "eval": evaluate.evaluate,
        "runs": runs.runs,
        "inspect": inspect.inspect,
        "export": export.export,
        "upload": upload.upload,
        "bench": commands.bench,
        "record": record.record,
        "doctor": commands.doctor,
    }


def _help(commands: dict[str, Command]) -> str:
    lines = [f"  {name:<9} {(function.__doc__ or '').splitlines()[0]}" for name, function in commands.items()]
    return "\n".join([
        f"course {__version__}: training language models from scratch",
        "",
        "usage: course COMMAND ...        (course COMMAND --help says more)",
        "       course --tyro-print-completion bash|zsh   (a script for your shell: Tab completes)",
        "",
        *lines,
    ])  # fmt: skip


def main(argv: list[str]) -> int:
    """Run one command; a CourseError is printed without a traceback. Returns the exit status."""
    if argv[:1] != ["bench"]:  # what is compared there must not be slowed down by a choice of ours
        spin_briefly()
    # Pieces of a card's memory can then grow, and batches of several sizes leave no gaps between them.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # signs that its encoding lacks become escapes, such as \u20ac
            stream.reconfigure(errors="backslashreplace")
    commands = _commands()
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help(commands))
        return 0
    if argv[0] == "--version":
        print(__version__)
        return 0
    try:
        if argv[0] == "--tyro-print-completion":
            from course_lib.cli.completing import script

            print(script(commands, argv[1:]), end="")
            return 0
        if argv[0] not in commands:
            raise CourseError(f"There is no command {argv[0]!r}: {nearest(argv[0], list(commands))}")
        with notes_on_stderr():
            return commands[argv[0]](argv[1:]) or 0
    except CourseError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        complain("stopped at once.")
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        give_way()
        raise
