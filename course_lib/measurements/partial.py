"""What a long recording has so far, in a file: one that was cut off goes on where it was."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from course_lib.device import processor
from course_lib.paths import data_dir


class Partial:
    """Results by key, each written as soon as it is there: ``data/partial/<name>.jsonl``.

    A file that was made for something else (other settings, another processor, another torch, other threads) is begun
    anew; a last line that was cut off is dropped. `forget` removes it when the whole is kept.

    Args:
        name: of the recording.
        made_for: what all its results have in common besides machine and torch; JSON.
    """

    def __init__(self, name: str, made_for: dict[str, Any]) -> None:
        self.path = path_of(name)
        here = {"torch": torch.__version__, "on": processor(), "threads": torch.get_num_threads()}
        self._made_for = json.loads(json.dumps(here | made_for))  # tuples are lists in a file
        self._results = self._read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"key": key, "result": result} for key, result in self._results.items()]
        scratch = self.path.with_suffix(".new")
        scratch.write_text("".join(json.dumps(row) + "\n" for row in [self._made_for, *rows]), encoding="utf-8")
        os.replace(scratch, self.path)

    def _read(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {}
        rows = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        if not rows or rows[0] != self._made_for:
            return {}
        return {row["key"]: row["result"] for row in rows[1:]}

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """The result of ``key``: the one that is there, or what ``make`` returns, which is kept."""
        if key not in self._results:
            result = json.loads(json.dumps(make()))
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "result": result}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._results[key] = result
        return self._results[key]


def path_of(name: str) -> Path:
    """Where the parts of a recording lie."""
    return data_dir() / "partial" / f"{name}.jsonl"


def forget(name: str) -> None:
    """The whole of a recording is kept, and its parts are no longer needed: the next one is made afresh."""
    path_of(name).unlink(missing_ok=True)
