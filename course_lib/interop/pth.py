"""A run's weights as a plain ``state_dict`` file, for programs that read nothing else."""

import os
import warnings
from pathlib import Path

import torch

from course_lib import checkpoint
from course_lib.errors import CourseError
from course_lib.paths import quoted, sync, user_path


def export_pth(run: str | Path, path: str | Path | None = None, which: str | int = "auto") -> Path:
    """Write one save's weights with ``torch.save``, and return the file.

    The file holds what ``GPT(config).load_state_dict(torch.load(path, weights_only=True))`` takes: a dict of names
    and fp32 tensors, tied weights under both of their names. Such a file is a pickle: to read one without
    ``weights_only=True`` is to run whatever program it holds. The course keeps its own weights as safetensors,
    which hold numbers and nothing else.

    Args:
        run: a run directory, or the name of one under ``runs/``.
        path: the file; by default ``<run>.pth`` in the working folder.
        which: the save: best, last, a number of steps, or auto: the best, else the last.

    Raises:
        CourseError: where the run is damaged or lacks the save, where ``path`` is another file (an export of
            the same model is replaced), or cannot be written.
    """
    run_dir = checkpoint.find_run(run)
    weights = checkpoint.load(run_dir, which).model.state_dict()
    path = user_path(path) if path is not None else Path(f"{run_dir.resolve().name}.pth")
    if os.path.lexists(path) and not _is_export(path, set(weights)):
        raise CourseError(
            f"{quoted(path)} is already there, and is no export of this model. Move it away, or name another file "
            f"with --out."
        )
    scratch = path.with_name(f".{path.name}.new")
    try:
        torch.save(weights, scratch)
        sync(scratch)
        os.replace(scratch, path)
    except (OSError, RuntimeError) as error:  # torch reports a folder that is missing as a RuntimeError
        scratch.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or (error if path.parent.is_dir() else "its folder is not there")
        raise CourseError(
            f"Cannot write {quoted(path)}: {reason}. Check the folder, its permissions and its space."
        ) from error
    return path


def _is_export(path: Path, names: set[str]) -> bool:
    """Whether the file holds weights of the same names."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch has something to say of pickles that are not its own
            there = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of a file that is no pickle torch raises errors of all kinds, IndexError among them
        return False
    return isinstance(there, dict) and set(there) == names
