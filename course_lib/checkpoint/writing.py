"""Writing a run directory so that a kill at any instant leaves a whole save."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from course_lib.checkpoint.tensors import model_tensors, optimizer_tensors
from course_lib.config import MODEL_CONFIGS, Config, RunConfig
from course_lib.errors import CourseError
from course_lib.optim import AnyOptimizer
from course_lib.paths import replace_file, sync
from course_lib.tokenizers import Tokenizer


def read_pointer(run_dir: Path, which: str) -> str | None:
    try:
        return (run_dir / which).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's errors while writing into ones that name the remedy."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CourseError(
            f"Cannot write {path}: {getattr(error, 'strerror', None) or error}. What was saved before is whole. Free "
            "some disk space or check the folder's permissions, then go on with: course train --resume RUN"
        ) from error


def settings_of(model: nn.Module) -> Config:
    """What a run directory keeps, so that the model can be built again; CourseError for a model without it."""
    config = getattr(model, "config", None)
    if type(config) not in MODEL_CONFIGS.values():
        raise CourseError(
            f"A run directory keeps the settings a model is built from ({', '.join(MODEL_CONFIGS)}); this "
            f"{type(model).__name__} has none. Train it with run_dir=None, and keep its state_dict() yourself."
        )
    return config


def create_run(run_dir: str | Path, config: RunConfig, tokenizer: Tokenizer | None) -> Path:
    """Make a run directory and keep the settings and the tokenizer in it.

    Raises:
        CourseError: where the folder already holds a run or cannot be written.
    """
    run_dir = Path(run_dir)
    if (run_dir / "config.json").exists():
        raise CourseError(
            f"{run_dir} already holds a run. Go on with it (course train --resume {run_dir}), or choose "
            "another --out-dir."
        )
    with explained(run_dir):
        (run_dir / "saves").mkdir(parents=True, exist_ok=True)
        if tokenizer is not None:
            replace_file(run_dir / "tokenizer.json", json.dumps(tokenizer.to_dict(), indent=1) + "\n")
        replace_file(run_dir / "config.json", config.to_json())  # last: a folder with it is a run
    return run_dir


def save(
    run_dir: str | Path,
    step: int,
    model: nn.Module,
    optimizer: AnyOptimizer | None = None,
    state: dict[str, Any] | None = None,
    best: bool = False,
) -> Path:
    """Keep the state after ``step`` completed steps; it becomes ``last``, and on request ``best``.

    Args:
        state: further values for ``state.json``; they must be JSON.

    Raises:
        CourseError: where it cannot be written (permissions, a full disk); earlier saves stay whole.
    """
    run_dir = Path(run_dir)
    saves = run_dir / "saves"
    with explained(saves):
        saves.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=saves))
        try:
            scratch.chmod(0o755)
            save_file(model_tensors(model), scratch / "model.safetensors")
            if optimizer is not None:
                save_file(optimizer_tensors(model, optimizer), scratch / "optimizer.safetensors")
            (scratch / "state.json").write_text(json.dumps({**(state or {}), "step": step}, indent=1), encoding="utf-8")
            for path in scratch.iterdir():
                path.chmod(0o644)  # safetensors lets the owner alone read
                sync(path)
            sync(scratch)
            folder = _free_name(saves, step)
            os.rename(scratch, folder)
            sync(saves)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if best:  # before last: a run resumed from this save would take itself for scored and never name it best
            replace_file(run_dir / "best", folder.name + "\n")
        replace_file(run_dir / "last", folder.name + "\n")
    _prune(run_dir)
    return folder


def _free_name(saves: Path, step: int) -> Path:
    """``saves/<step>``; where that is taken (the step was reached a second time), ``saves/<step>.1`` and so on.

    A folder cannot be renamed onto another, and removing the old one first would, for a moment, leave none.
    """
    folder, turn = saves / str(step), 0
    while folder.exists():
        turn += 1
        folder = saves / f"{step}.{turn}"
    return folder


def _prune(run_dir: Path) -> None:
    """Remove the saves that neither ``last`` nor ``best`` names, and what a killed process left."""
    kept = {read_pointer(run_dir, which) for which in ("last", "best")}
    for folder in (run_dir / "saves").iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
