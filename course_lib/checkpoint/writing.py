"""Writing a run directory so that a kill at any instant leaves a whole save."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from course_lib.checkpoint.explaining import explained, has_save
from course_lib.checkpoint.locking import RunLock, locked
from course_lib.checkpoint.optimizers import pack_optimizer
from course_lib.checkpoint.tensors import model_tensors
from course_lib.config import Config, OwnModel, RunConfig, kind_of
from course_lib.errors import CourseError
from course_lib.optim import AnyOptimizer
from course_lib.paths import quoted, replace_file, sync
from course_lib.tokenizers import Tokenizer

OWN = "own:"
"""What the kind of a model begins with whose class no registry knows."""


def read_pointer(run_dir: Path, which: str) -> str | None:
    try:
        return (run_dir / which).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def settings_of(model: nn.Module) -> Config | OwnModel:
    """What a run folder keeps of a model, so that it can be built again.

    Of a model whose ``config`` is of no kind that `course_lib.config.MODEL_KINDS` knows it is the class's name: whoever
    goes on with the run, or loads it, gives the model.
    """
    config = getattr(model, "config", None)
    return config if kind_of(config) else OwnModel(OWN + type(model).__name__)


def create_run(
    run_dir: str | Path, config: RunConfig, tokenizer: Tokenizer | None, lock: RunLock | None = None
) -> Path:
    """Make a run directory and keep the settings and the tokenizer in it.

    Args:
        lock: the folder's lock; it is taken and kept, so that nobody comes between this and the first row.

    Raises:
        CourseError: where the folder already holds a run, another process trains it, or it cannot be written.
    """
    run_dir = Path(run_dir)
    _refuse_a_run(run_dir)  # before the folder is touched, and once more when nobody else can write into it
    with explained(run_dir, run_dir):
        (run_dir / "saves").mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback((lock or RunLock(run_dir)).acquire().release)
        _refuse_a_run(run_dir)
        try:
            with explained(run_dir, run_dir):
                if tokenizer is not None:
                    replace_file(run_dir / "tokenizer.json", json.dumps(tokenizer.to_dict(), indent=1) + "\n")
                replace_file(run_dir / "config.json", config.to_json())  # last: a folder with it is a run
        except CourseError:
            discard_run(run_dir)
            raise
        if lock is not None:
            stack.pop_all()  # its owner goes on with it
    return run_dir


def discard_run(run_dir: Path) -> None:
    """Remove a run in which nothing has happened yet; whoever calls it has the lock, and lets go of it next.

    What others have put into the folder stays, and the folder with it.
    """
    with contextlib.suppress(OSError):
        for name in ("config.json", "tokenizer.json", "metrics.jsonl", "holder.json", "lock"):
            (run_dir / name).unlink(missing_ok=True)
        for board in (run_dir / "tensorboard").glob("events.out.tfevents.*"):
            board.unlink()
        for folder in (run_dir / "tensorboard", run_dir / "saves", run_dir):
            if folder.is_dir():
                folder.rmdir()


def record_data(run_dir: Path, config: RunConfig) -> None:
    """Note in ``config.json`` where the text of a run is now; all other settings are as they were."""
    with locked(run_dir), explained(run_dir / "config.json", run_dir):
        replace_file(run_dir / "config.json", config.to_json())


def _refuse_a_run(run_dir: Path) -> None:
    """CourseError where there is a run already; where another process trains it, one that names that process."""
    if not (run_dir / "config.json").exists():
        return
    with locked(run_dir) if (run_dir / "lock").exists() else contextlib.nullcontext():
        remedy = f"Go on with it (course train --resume {quoted(run_dir)})"
        if not has_save(run_dir):
            remedy = "It has no save to go on from: delete the folder"
        raise CourseError(f"{quoted(run_dir)} already holds a run. {remedy}, or choose another --out-dir.")


def save(
    run_dir: str | Path,
    step: int,
    model: nn.Module,
    optimizer: AnyOptimizer | None = None,
    state: dict[str, Any] | None = None,
    best: bool = False,
    keep: int = 1,
) -> Path:
    """Keep the state after ``step`` completed steps; it becomes ``last``, and on request ``best``.

    Args:
        state: further values for ``state.json``; they must be JSON.
        keep: how many of the newest saves stay, this one counted in, besides the best; older ones are removed.

    Raises:
        CourseError: where it cannot be written (permissions, a full disk), or another process trains this run;
            earlier saves stay whole.
    """
    run_dir = Path(run_dir)
    saves = run_dir / "saves"
    with explained(saves, run_dir):
        saves.mkdir(parents=True, exist_ok=True)
    with locked(run_dir), explained(saves, run_dir):
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=saves))
        try:
            _fill(scratch, model, optimizer, {**(state or {}), "step": step})
            folder = _free_name(saves, step)
            os.rename(scratch, folder)
            sync(saves)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if best:  # before last: a run resumed from this save would take itself for scored and never name it best
            replace_file(run_dir / "best", folder.name + "\n")
        replace_file(run_dir / "last", folder.name + "\n")
        _prune(run_dir, keep)
    return folder


def _fill(scratch: Path, model: nn.Module, optimizer: AnyOptimizer | None, state: dict[str, Any]) -> None:
    """The files of a save, down to the disk."""
    scratch.chmod(0o755)
    save_file(model_tensors(model), scratch / "model.safetensors")
    if optimizer is not None:
        tensors, about = pack_optimizer(model, optimizer)
        is_own = state.get("own_optimizer")  # the library's follows from the run's settings
        save_file(tensors, scratch / "optimizer.safetensors", **({"metadata": about} if is_own else {}))
    (scratch / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    for path in scratch.iterdir():
        path.chmod(0o644)  # safetensors lets the owner alone read
        sync(path)
    sync(scratch)


def rewind(run_dir: Path, save: Path, keep: int = 1) -> None:
    """Make ``save`` the run's last one again, before the run goes on from it, perhaps in another way.

    What came after it is given up: later saves, and a best one among them. Rows of the log are cut off only
    after this: rows that go beyond the last save are dropped whenever a run goes on, rows that are missing
    before it could not be made up for. So may a best save that lies beyond it, if we are killed in between.
    Of the saves that came before, ``keep`` stay as in `save`.
    """
    with locked(run_dir), explained(run_dir, run_dir):
        if read_pointer(run_dir, "last") != save.name:
            replace_file(run_dir / "last", save.name + "\n")
        best = read_pointer(run_dir, "best")
        if best is not None and _step_of(best) > _step_of(save.name):
            (run_dir / "best").unlink()
        _prune(run_dir, keep)


def _step_of(name: str) -> int:
    """How many steps a save's name stands for: 30 for ``30`` and for ``30.1``."""
    digits = name.split(".")[0]
    return int(digits) if digits.isdecimal() else 0


def _turn_of(name: str) -> tuple[int, int]:
    """Where a save stands in a run's history: after how many steps, and at which of the times they were reached."""
    turn = name.partition(".")[2]
    return _step_of(name), int(turn) if turn.isdecimal() else 0


def _free_name(saves: Path, step: int) -> Path:
    """``saves/<step>``; where that is taken (the step was reached a second time), ``saves/<step>.1`` and so on.

    A folder cannot be renamed onto another, and removing the old one first would, for a moment, leave none.
    """
    folder, turn = saves / str(step), 0
    while folder.exists():
        turn += 1
        folder = saves / f"{step}.{turn}"
    return folder


def _prune(run_dir: Path, keep: int) -> None:
    """Remove all saves but the best and the ``keep`` newest up to the last, and what a killed process left.

    It comes after the new save is whole: where the disk is full before, all are still there. What lies beyond the last
    save belongs to a history that was given up.
    """
    last = read_pointer(run_dir, "last")
    kept = {last, read_pointer(run_dir, "best")}
    if last is not None and keep > 1:
        names = [p.name for p in (run_dir / "saves").glob("[0-9]*") if _turn_of(p.name) <= _turn_of(last)]
        kept |= set(sorted(names, key=_turn_of)[-keep:])
    for folder in (run_dir / "saves").iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
