"""Reading a run directory: everything is checked before it is believed."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from course_lib.checkpoint.explaining import instead_of
from course_lib.checkpoint.listing import LATEST, run_folders
from course_lib.checkpoint.tensors import load_weights
from course_lib.checkpoint.writing import OWN, read_pointer, settings_of
from course_lib.config import MODEL_KINDS, Config, OwnModel, RunConfig
from course_lib.errors import CourseError
from course_lib.models import build_blank_model
from course_lib.paths import quoted, runs_dir, user_path
from course_lib.tokenizers import Tokenizer, load_tokenizer

MOST_NAMED = 8
"""So many of the newest runs are named where one is not found."""


@dataclass
class Run:
    """A loaded save: the model in evaluation mode on the CPU, and all that belongs to it."""

    model: nn.Module
    tokenizer: Tokenizer | None
    config: RunConfig
    state: dict[str, Any]
    path: Path


def find_run(run: str | Path) -> Path:
    """The folder of a run, given as a path, by its name under ``runs/``, or as ``latest``, the one of those that was
    written to last; CourseError where it is none."""
    for folder in (user_path(run), runs_dir() / run):
        if (folder / "config.json").is_file():
            return folder
    found = run_folders()
    if str(run) == LATEST and found:
        return found[0]
    known = [folder.name for folder in reversed(found)]
    more = f" (and {len(known) - MOST_NAMED} older ones)" if len(known) > MOST_NAMED else ""
    there = (
        f"Runs here: {', '.join(map(quoted, reversed(known[-MOST_NAMED:])))}{more}."
        if known
        else f"There are no runs in {quoted(runs_dir())} yet; course train makes one."
    )
    no_run = f"{quoted(run)} is no run directory: it should hold a config.json. {there}"
    raise CourseError(_nanogpts(run) or _part_of_a_run(run) or no_run)


def _nanogpts(run: str | Path) -> str | None:
    """What to do with an out_dir of nanoGPT; None where it is not that."""
    for folder in (user_path(run), runs_dir() / run):
        if (folder / "ckpt.pt").is_file():
            name = quoted(folder)
            return (
                f"{name} is no run directory: it holds nanoGPT's ckpt.pt. A new run begins from its weights: "
                f"course train RECIPE --init-from {name}"
            )
    return None


def _part_of_a_run(path: str | Path) -> str | None:
    """What to give instead of something inside a run, such as one of its saves; None where it is not that."""
    path = Path(path)
    for place in (path, runs_dir() / path):
        for parent in path.parents:
            inside = path.relative_to(parent)
            if not (place.exists() and (place.parents[len(inside.parts) - 1] / "config.json").is_file()):
                continue
            if inside.parts[0] == "saves" and len(inside.parts) > 1:
                save = f"{quoted(parent)} --which {inside.parts[1]}"
                name = quoted(parent)
                return f"{quoted(path)} is a save of the run {name}. Name the run, and beside it the save: {save}"
            return f"{quoted(path)} is a part of the run {quoted(parent)}. Name the run: {quoted(parent)}"
    return None


def find_save(run_dir: Path, which: str | int = "last") -> Path:
    """The folder of a save: ``last``, ``best``, a number of steps, or ``auto``; CourseError where there is none.

    ``auto`` is what one wants of a finished run: the best save, or the last one where none was measured. A number
    may come as a text; where a step was reached twice it is the later save, and ``20.1`` names one of the two.
    """
    saves = run_dir / "saves"
    auto = which == "auto"
    number = re.fullmatch(r"0*([0-9]+(?:\.[0-9]+)?)", str(which))  # str.isdigit would let superscripts pass
    if auto:
        which = "best" if (run_dir / "best").exists() else "last"
    if which in ("last", "best"):
        name = read_pointer(run_dir, str(which))
        while name is not None:
            if (saves / name / "state.json").is_file():
                return saves / name
            before, name = name, read_pointer(run_dir, str(which))
            if name == before:  # else a newer save has taken its place between the two looks
                break
        if auto and which == "best" and name is None:  # just now the run has gone back to before its best save
            return find_save(run_dir, "last")
    elif number:
        turns = [p for p in saves.glob("*") if number[1] in (p.name, p.name.split(".")[0])]
        if turns:
            return max(turns, key=_age)
    whole = [p for p in saves.glob("[0-9]*") if (p / "state.json").is_file()]
    found = [p.name for p in sorted(whole, key=_age)]
    there = "it has none yet: delete the folder, and start the run again"
    if found:
        kept = "a run keeps its last save and its best, or more with --keep"
        there = f"it has {' and '.join(found)} ({kept}): --which {found[-1]}, last or best"
    raise CourseError(f"{quoted(run_dir)} has no save {number[1] if number else repr(which)}; {there}.")


def _age(save: Path) -> int:
    """When it was made; the beginning of time for one that has just been removed."""
    try:
        return save.stat().st_mtime_ns
    except OSError:
        return 0


def read_config(run_dir: str | Path) -> tuple[RunConfig, Tokenizer | None]:
    """A run's settings and tokenizer, held against each other."""
    run_dir = Path(run_dir)
    try:
        config = RunConfig.from_json((run_dir / "config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = _part_of_a_run(run_dir) or f"{quoted(run_dir)} is no run directory: it should hold a config.json."
        raise CourseError(what) from error
    except (OSError, UnicodeDecodeError, CourseError) as error:
        raise CourseError(f"Cannot read {quoted(run_dir / 'config.json')}: {error}") from error
    path = run_dir / "tokenizer.json"
    tokenizer = load_tokenizer(path) if path.exists() else None
    vocab_size = getattr(config.model, "vocab_size", None)
    if tokenizer is not None and vocab_size is not None and tokenizer.vocab_size != vocab_size:
        raise CourseError(
            f"{quoted(run_dir)}: the model has a vocabulary of {vocab_size}, its tokenizer.json one of "
            f"{tokenizer.vocab_size}. "
            "One of the two files is from another run."
        )
    return config, tokenizer


def blank_model(run_dir: Path, about: RunConfig, own: nn.Module | None, call: str) -> nn.Module:
    """The model that a save's weights go into: ``own`` where that is given, else one that the library builds.

    Args:
        call: how ``own`` is given, with {run} for the run, such as "checkpoint.load({run}, model=...)".

    Raises:
        CourseError: for a kind that the library cannot build, where ``own`` is None; for an ``own`` whose settings are
            others than those of the run.
    """
    if own is None and isinstance(about.model, OwnModel) and about.model.kind not in MODEL_KINDS:
        name = f"kind {about.model.kind!r}"
        registry = f"course_lib.config.MODEL_KINDS[{about.model.kind!r}] = ModelKind(its settings' class, its class)"
        or_named = "" if about.model.kind.startswith(OWN) else f"; or name its kind first: {registry}"
        raise CourseError(
            f"{quoted(run_dir)} holds a model of the {name}, which course_lib cannot build: it knows "
            f"{', '.join(MODEL_KINDS)}. "
            f"Build it in Python and give it: {call.format(run=repr(str(run_dir)))}{or_named}."
        )
    if own is None:
        return build_blank_model(about.model)
    if isinstance(about.model, Config) and settings_of(own) != about.model:
        raise CourseError(
            f"The model of {quoted(run_dir)} was built from {about.model}; the one that is given, a "
            f"{type(own).__name__}, from "
            f"{getattr(own, 'config', 'settings that nobody knows')}. Give one of the same settings, or none."
        )
    return own


def load(run_dir: str | Path, which: str | int = "last", model: nn.Module | None = None) -> Run:
    """A run's model, tokenizer, settings and state, as of the save ``last``, ``best``, a step or ``auto``.

    The run may be training meanwhile: a save that is replaced while it is read is given up for the newer one.

    Args:
        model: takes the weights, where the library cannot build the run's model: one of the same form.

    Raises:
        CourseError: where the folder is no run, has no such save, or a file is damaged; for a model of a kind that the
            library does not know, where none is given.
    """
    run_dir = Path(run_dir)
    config, tokenizer = read_config(run_dir)
    model = blank_model(run_dir, config, model, "checkpoint.load({run}, model=your_model)")
    while True:
        folder = find_save(run_dir, which)
        before = _identity(folder)
        try:
            load_weights(model, folder)
            state = read_state(folder)
        except CourseError:
            if before == _identity(find_save(run_dir, which)):  # nobody has replaced it: it is damaged
                raise
        else:
            if before == _identity(folder):
                return Run(model.eval(), tokenizer, config, state, folder)


def _identity(save: Path) -> tuple[Path, int, int] | None:
    """Which folder it is: names of saves come back. None where it is gone."""
    try:
        found = save.stat()
    except OSError:
        return None
    return save, found.st_ino, found.st_mtime_ns


def read_state(folder: Path, needed: Iterable[str] = ()) -> dict[str, Any]:
    """A save's ``state.json``; CourseError where it is damaged or lacks something that is ``needed``."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if not isinstance(state, dict) or not isinstance(state["step"], int) or state["step"] < 0:
            raise ValueError("step should be a whole number")
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(f"{quoted(folder / 'state.json')} is damaged ({error}). {instead_of(folder)}") from error
    if missing := sorted(set(needed) - state.keys()):
        raise CourseError(f"{quoted(folder / 'state.json')} lacks {', '.join(missing)}. {instead_of(folder)}")
    return state
