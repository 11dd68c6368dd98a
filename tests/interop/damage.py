"""A run's files taken apart and put together again otherwise, to see what the C++ program says."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from small_runs import Small

Change = Callable[[Any], Any]


def weights_of(run: Small) -> Path:
    return run.path / "saves" / "7" / "model.safetensors"


def taken_apart(content: bytes) -> tuple[dict, bytes]:
    """(header, numbers) of a safetensors file."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def put_together(header: bytes | dict, numbers: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


def refused(done: Any) -> str:
    assert done.returncode == 2, done
    assert done.stdout in ("", b"")
    return done.stderr


def model_with(**changes: Any) -> Change:
    def change(content: bytes) -> bytes:
        settings = json.loads(content)
        settings["model"] |= changes
        settings["model"] = {k: v for k, v in settings["model"].items() if v is not None}
        return json.dumps(settings).encode()

    return change
