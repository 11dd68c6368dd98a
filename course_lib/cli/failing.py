"""How a command that fails says why: once, and last."""

import json
import os
import sys
import time
from pathlib import Path

PATIENCE = 5.0
"""Seconds that the other processes of a torchrun leave to the main one: mostly all fail for the same reason, and it is
the one that should be heard. torchrun ends them as soon as it has failed; what only they know they say after that."""


def complain(words: str) -> None:
    """Print why a command fails, on stderr.

    Under torchrun its own report comes last, and it is long. So it gets the words to put into that: in the file that
    it names to each process (torch.distributed.elastic, "Error Propagation").
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
    """Wait before a traceback, under torchrun: where another process has failed, what is raised here is that it does
    not answer any more, and the other one has the better reason."""
    if _report() is not None:
        time.sleep(2 * PATIENCE)


def _report() -> str | None:
    """The file in which torchrun looks for why this process failed; None where none has started it."""
    return os.environ.get("TORCHELASTIC_ERROR_FILE")
