"""Recorded results: what takes longer than a chapter may, measured once by ``course record`` and drawn by chapters.

The records that chapters draw are package data, ``course_lib/reference/NAME.json``, so that a notebook finds them
where there is nothing but itself and the installed library. A record of your own, in ``data/reference/`` of your
project, comes before the one of that name here.
"""

import errno
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError, nearest
from course_lib.paths import data_dir, replace_file

BUNDLED = Path(__file__).parent
LINE_WIDTH = 110


@dataclass(frozen=True, repr=False)
class Reference:
    """One recorded result: ``content`` is the whole file, see `course_lib.bench.report` for its form.

    ``content["details"]`` holds lists of one length for what was measured several times, once for each seed.
    """

    name: str
    content: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.name}: {self.where}"

    @property
    def where(self) -> str:
        """How, on what and when it was measured."""
        machine, versions = self.content["machine"], self.content["versions"]
        return (
            f"{self.content['command']}, {self.content['date']}, {machine['processor']}, {machine['cores']} cores, "
            f"device {machine['device']}, torch {versions['torch']}"
        )

    @property
    def rows(self) -> list[list[dict[str, Any]]]:
        """The rows of each seed's run, with step, train_loss and val_loss: `plots.loss_curve` draws them."""
        return self.values("rows")

    def values(self, what: str) -> list[Any]:
        """``what`` of each seed, such as ``"val_loss"``; CourseError names what there is."""
        details = self.content["details"]
        known = [name for name, value in details.items() if isinstance(value, list)]
        if what not in known:
            raise CourseError(f"{self.name} holds no {what!r} for each seed: {nearest(what, known)}")
        return details[what]

    def band(self, what: str) -> tuple[float, float]:
        """The lowest and the highest ``what`` of all seeds."""
        values = self.values(what)
        if not values or not all(isinstance(value, (int, float)) for value in values):
            raise CourseError(f"{self.name}: a band needs one number for each seed; {what} holds {values!r:.80}.")
        return min(values), max(values)

    def compare(self, yours: float, what: str, form: str = ".2f") -> str:
        """A sentence such as ``yours 0.36, expected 0.35 to 0.37 over 5 seeds``; ``form`` as in an f-string."""
        low, high = self.band(what)
        return f"yours {yours:{form}}, expected {low:{form}} to {high:{form}} over {len(self.values(what))} seeds"


def folders() -> list[Path]:
    """Where records are looked for: in the project, then in the library."""
    return [data_dir() / "reference", BUNDLED]


def names() -> list[str]:
    """The records that can be read here."""
    return sorted({path.stem for folder in folders() for path in folder.glob("*.json")})


def recorded(name: str) -> Reference:
    """The record of a name; CourseError where there is none, or its file is damaged."""
    for folder in folders():
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = Reference(name, content)
            _ = found.where, content["details"].keys()
            return found
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CourseError(f"{path} is not a whole record. Make it anew with: course record") from error
    raise CourseError(
        f"There is no record {name!r}: {nearest(name, names())} (course record lists those that can be made.)"
    )


def home() -> Path:
    """Where a new record is kept: in a checkout of the course with the library, else in the project's data."""
    is_checkout = (BUNDLED.parents[1] / "_toc.yml").is_file()
    return BUNDLED if is_checkout else data_dir() / "reference"


def make_room(path: Path) -> None:
    """See that a record can be written to ``path``, before anything is measured for it; else CourseError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise CourseError(f"Cannot write {path}: {error.strerror}. Give another file with --out PATH.") from error


def keep(content: dict[str, Any], path: Path) -> None:
    """Write a record; the one that was there stays whole until the new one takes its place."""
    make_room(path)
    replace_file(path, to_text(content))


def to_text(content: dict[str, Any]) -> str:
    """JSON for people too: what is innermost and short stands on one line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    short = re.compile(r"([\[{])\n\s+([^\[\]{}]*?)\n\s+([\]}])")

    def joined(match: re.Match[str]) -> str:
        line = match[1] + re.sub(r",\n\s+", ", ", match[2]) + match[3]
        return line if len(line) <= LINE_WIDTH else match[0]

    return short.sub(joined, text) + "\n"


def kept_rows(rows: Sequence[dict[str, Any]], every: int = 10) -> list[dict[str, Any]]:
    """The rows to keep of a run: every tenth training loss, the last one, and every validation loss."""
    kept = []
    for i, row in enumerate(rows):
        wanted = row["step"] % every == 0 or i == len(rows) - 1
        if wanted or row["val_loss"] is not None:
            train_loss = None if row["train_loss"] is None or not wanted else round(row["train_loss"], 4)
            val_loss = None if row["val_loss"] is None else round(row["val_loss"], 4)
            kept.append({"step": row["step"], "train_loss": train_loss, "val_loss": val_loss})
    return kept
