"""Turns failures to read or write a run into words that say what to do."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from course_lib.errors import CourseError
from course_lib.paths import quoted


def has_save(run_dir: Path) -> bool:
    """Whether there is something to resume from."""
    return (run_dir / "last").is_file()


@contextlib.contextmanager
def explained(path: Path, run_dir: Path) -> Iterator[None]:
    """Turn the operating system's errors while writing into ones that name the remedy.

    Args:
        path: what is written.
        run_dir: the run it belongs to; whether that has a save decides how one goes on.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        what = f"Cannot write {quoted(path)}: {getattr(error, 'strerror', None) or error}."
        remedy = "ree some disk space or check the folder's permissions, then "
        if has_save(run_dir):
            then = f"What was saved before is whole. F{remedy}go on with: course train --resume {quoted(run_dir)}"
        elif (run_dir / "config.json").is_file():
            then = f"The run has no save yet. F{remedy}delete {quoted(run_dir)} and start the run again."
        else:
            then = f"F{remedy}start the run again, or choose another --out-dir."
        raise CourseError(f"{what} {then}") from error


def instead_of(save: Path) -> str:
    """What to do where ``save`` is damaged: a half sentence that names another one, where there is one."""
    others = [p for p in save.parent.glob("[0-9]*") if p.name != save.name and (p / "state.json").is_file()]
    if others:
        return f"Choose another save. There is: {', '.join(f'--which {p.name}' for p in sorted(others))}"
    return (
        "The run has no other save: put this one back from a copy, if there is one, or start the run again in another "
        "folder (--out-dir)."
    )
