"""A run as a folder that transformers opens: the model, and its tokenizer where transformers has one like it."""

import dataclasses
import re
from pathlib import Path

from course_lib import checkpoint
from course_lib.config import RunConfig, TrainConfig, kind_of
from course_lib.errors import CourseError
from course_lib.interop.hf import save_hf_gpt2
from course_lib.interop.hf_config import hf_config
from course_lib.interop.hf_files import CONFIG, WEIGHTS
from course_lib.interop.hf_tokenizer import ABOUT, MERGES, OWN_FILE, VOCAB, tokenizer_files
from course_lib.models import GPT
from course_lib.paths import quoted, replace_file, user_path

SETTINGS = "course_config.json"
"""The run's own settings; an export is known by it."""
WRITTEN = {SETTINGS, CONFIG, WEIGHTS, OWN_FILE, VOCAB, MERGES, ABOUT}


def export_hf(run: str | Path, folder: str | Path | None = None, which: str | int = "auto") -> Path:
    """Write one save of a run as a folder that ``GPT2LMHeadModel.from_pretrained`` opens, and return it.

    Where the run's tokenizer is GPT-2's, or was learned by bpe with GPT-2's pattern, ``AutoTokenizer`` opens the folder
    too. Of any other (char, byte) it holds the course's own file, `OWN_FILE`: ``load_tokenizer`` reads that.

    Args:
        run: a run directory, or the name of one under ``runs/``.
        folder: by default ``<run>-hf`` in the working folder.
        which: the save: best, last, a number of steps, or auto: the best, else the last.

    Raises:
        CourseError: where the run is damaged or lacks the save; where its model is no GPT of GPT-2's form; where the
            folder holds something else (an earlier export is brought up to date), or cannot be written.
    """
    run_dir = checkpoint.find_run(run)
    loaded = checkpoint.load(run_dir, which)
    folder = user_path(folder) if folder is not None else Path(f"{run_dir.resolve().name}-hf")
    if not isinstance(loaded.model, GPT):
        raise CourseError(
            f"transformers has no class for a model of the kind {kind_of(loaded.config.model)}, which "
            f"{quoted(run_dir)} holds. What works instead: --to pth (a state_dict), or course upload, which sends the "
            "model's source along."
        )
    check_folder(folder, WRITTEN)
    write_hf_folder(loaded, folder)
    return folder


def write_hf_folder(loaded: checkpoint.Run, folder: Path) -> None:
    """`export_hf`'s files; CourseError where transformers cannot compute the model, or they cannot be written."""
    assert isinstance(loaded.model, GPT)
    hf_config(loaded.model.config)  # refuses, before anything is written
    files = {SETTINGS: shared_settings(loaded.config)}
    files |= tokenizer_files(loaded.tokenizer, loaded.model.config.block_size)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in WRITTEN - {CONFIG, WEIGHTS, *files}:  # of an earlier export, with another tokenizer
            (folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            replace_file(folder / name, content)  # the settings first: a folder with them is an export, whole or not
        save_hf_gpt2(loaded.model, folder)
    except OSError as error:
        raise CourseError(
            f"Cannot write {error.filename or folder}: {error.strerror or error}. Check the folder's permissions and "
            "free space, or name another with --out."
        ) from error


def as_shared(config: RunConfig) -> RunConfig:
    """A run's settings as they leave this machine: of paths only the last part, and no names of Weights & Biases."""
    defaults = TrainConfig()
    private = {"wandb_project": defaults.wandb_project, "wandb_run_name": defaults.wandb_run_name}
    train = config.train.replace(init_from=_last_part(config.train.init_from), **private)
    data = config.data
    if data is not None:
        data = data.replace(dataset=_last_part(data.dataset))
    return dataclasses.replace(config, data=data, train=train)


def _last_part(name: str) -> str:
    """``gpt2:PATH``, ``text:PATH`` or a path alone without its folders; any other name as it is."""
    kind = re.match(r"[a-z0-9]{2,}:", name)  # one letter and a colon are a disk of Windows
    prefix = kind[0] if kind else ""
    path = name.removeprefix(prefix)
    return prefix + (re.split(r"[/\\]", path.rstrip("/\\"))[-1] or path)


def shared_settings(config: RunConfig) -> str:
    """``config.json`` of a run as it leaves this machine."""
    return as_shared(config).to_json()


def check_folder(folder: Path, written: set[str]) -> None:
    """CourseError for a folder that is neither new, nor empty, nor an earlier export with the files ``written``."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CourseError(f"{quoted(folder)} is a file; the export needs a folder. Name another with --out.")
    there = {path.name for path in folder.iterdir()} - {f".{name}.new" for name in written}  # these a kill has left
    if there and (SETTINGS not in there or there - written):
        raise CourseError(f"{quoted(folder)} holds other files already. Empty it, or name another with --out.")
