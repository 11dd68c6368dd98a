"""From a recipe to a trainer that is ready to go: data, batches, model."""

import contextlib
import time
from pathlib import Path
from typing import Any

import torch

from course_lib import checkpoint
from course_lib.config import DataConfig, TrainConfig
from course_lib.data import Batcher, Prepared, load_prepared, prepare
from course_lib.device import World, current_world, find
from course_lib.errors import CourseError
from course_lib.models import build_model
from course_lib.paths import runs_dir
from course_lib.recipes import Recipe
from course_lib.tokenizers import Tokenizer
from course_lib.training import Trainer

SCORING_TOKENS = 2**11
"""Tokens scored at once where the whole split is scored. The score does not depend on it; the speed of a CPU does,
as larger batches outgrow its cache."""


def build_trainer(recipe: Recipe, run_dir: str | Path | None = None) -> Trainer:
    """Prepare the data, initialize the model from the recipe's seed, and put a trainer around them.

    Raises:
        CourseError: for data that cannot be had or is too short, a device that is not there, a run_dir
            that holds a run.
    """
    data, config = recipe.data, recipe.train
    prepared = _prepare_once(data)
    model_config = recipe.model(prepared.tokenizer.vocab_size)
    batches, val_batches = build_batchers(prepared, config, model_config.block_size)
    with torch.random.fork_rng(devices=[]):  # the caller's draws go on as if there had been none here
        torch.default_generator.manual_seed(config.seed)
        model = build_model(model_config)
    return Trainer(
        model, batches, config, val_batches=val_batches, tokenizer=prepared.tokenizer, run_dir=run_dir,
        recipe=recipe.name, data=data.replace(sha256=prepared.manifest["sha256"]),
    )  # fmt: skip


def resume_trainer(run: str | Path, which: str | int = "last", **changes: Any) -> Trainer:
    """Go on with a run on the text that it was trained on; ``changes`` are settings of TrainConfig.

    Raises:
        CourseError: where the folder is no run, another process trains it, or the text now gives another vocabulary.
    """
    run_dir = checkpoint.find_run(run)
    with checkpoint.locked(run_dir) if current_world().is_main else contextlib.nullcontext():
        return _resumed(run_dir, which, changes)


def _resumed(run_dir: Path, which: str | int, changes: dict[str, Any]) -> Trainer:
    about, tokenizer = checkpoint.read_config(run_dir)
    prepared = _prepare_once(about.data, tokenizer)
    if about.data.sha256 not in (None, prepared.manifest["sha256"]):
        raise CourseError(
            f"{about.data.dataset} is not the text that {run_dir} was trained on: its sha256 is "
            f"{prepared.manifest['sha256']}, and was {about.data.sha256}. Put the old text back, or start a new run."
        )
    state = checkpoint.read_state(checkpoint.find_save(run_dir, which))
    config = TrainConfig.from_dict(state.get("train", about.train.to_dict())).replace(**changes)
    batches, val_batches = build_batchers(prepared, config, about.model.block_size)
    return Trainer.resume(run_dir, batches, val_batches, which=which, **changes)


def _prepare_once(data: DataConfig, tokenizer: Tokenizer | None = None) -> Prepared:
    """The main process writes the files; the others wait, and then find them."""
    world = current_world()
    if world.is_main:
        folder = prepare(data.dataset, tokenizer or data.tokenizer, data.val_fraction)
    world.barrier()
    if not world.is_main:
        folder = prepare(data.dataset, tokenizer or data.tokenizer, data.val_fraction)
    return load_prepared(folder)


def val_bytes_per_token(data: DataConfig, tokenizer: Tokenizer) -> float:
    """How many bytes of text a validation token stands for: what turns nats per token into bits per byte."""
    return _prepare_once(data, tokenizer).bytes_per_token("val")


def build_batchers(prepared: Prepared, config: TrainConfig, block_size: int) -> tuple[Batcher, Batcher]:
    """Batches of the two splits, on the device and for the process that will use them."""
    world: World = current_world()
    device = find(config.device).device if world.backend != "nccl" else f"cuda:{world.local_rank}"
    share = {"device": device, "rank": world.rank, "world_size": world.size}
    whole = max(1, SCORING_TOKENS // block_size)
    val_batch_size = whole if config.eval_batches is None else config.batch_size
    splits = []
    for split, batch_size, grad_accum in (
        ("train", config.batch_size, config.grad_accum),
        ("val", val_batch_size, world.size),
    ):
        try:
            path = prepared.path(split)
            splits.append(Batcher(path, batch_size, block_size, config.seed, grad_accum=grad_accum, **share))
        except CourseError as error:
            raise CourseError(f"The {split} split of {prepared.manifest['corpus']}: {error}") from error
    return splits[0], splits[1]


def new_run_dir(recipe_name: str) -> Path:
    """``runs/<recipe>-<date>-<time>``, with a number where that is taken."""
    stem = f"{recipe_name}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = [runs_dir() / stem, *(runs_dir() / f"{stem}-{i}" for i in range(2, 100))]
    return next(path for path in candidates if not path.exists())
