"""From a recipe to a trainer that is ready to go: data, batches, model."""

import contextlib
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch

from course_lib import checkpoint
from course_lib.config import DataConfig, RunConfig, TrainConfig
from course_lib.data import Batcher, Prepared, load_prepared, prepared_for
from course_lib.data.datasets import find_corpus, full_name
from course_lib.device import World, current_world, find
from course_lib.errors import CourseError
from course_lib.models import build_model
from course_lib.paths import quoted, runs_dir
from course_lib.recipes import Recipe
from course_lib.recipes.again import refuse_made_in_python, text_of_run
from course_lib.recipes.starting import Start, find_start, fitted, need_kind
from course_lib.training import Trainer
from course_lib.training.resuming import Save, refuse_without_optimizer

SCRATCH = "scratch"
"""The ``init_from`` of a model whose weights are drawn."""
SHORTEST = 8
"""Nobody is advised to take a block_size below this: the model would see hardly more than a letter."""
SCORING_TOKENS = 2**11
"""Tokens scored at once where a CPU scores the whole split. The score does not depend on it; the speed does, as larger
batches outgrow its cache."""
SCORING_LOGITS = 2**29
"""How many scores (tokens x V) a card holds at once, 2 GiB of them as fp32. Small batches would leave it idle."""


def build_trainer(
    recipe: Recipe, run_dir: str | Path | None = None, asked: frozenset[str] = frozenset()
) -> Trainer:  # fmt: skip
    """Prepare the data, make the model, and put a trainer around them.

    The model is initialized from the recipe's seed, or has the weights that ``init_from`` names: the optimizer and the
    schedule are new in any case.

    Args:
        asked: settings that somebody chose by name: where weights decide them, another value is refused.

    Raises:
        CourseError: for data that cannot be had or is too short, weights that are not there or of another shape, a
            device that is not there, a run_dir that holds a run.
    """
    data, config = recipe.data, recipe.train
    start = None if config.init_from == SCRATCH else find_start(config.init_from, dataset=data.dataset)
    if start is not None:
        need_kind(start, recipe)
        if config.init_from == checkpoint.LATEST:  # which soon is another run, this one itself
            config = config.replace(init_from=start.name)
    prepared = prepared_for(data, start and start.tokenizer)
    model = _model_for(recipe, prepared, start, asked)
    batches, val_batches = build_batchers(prepared, config, model.config.block_size)
    return Trainer(
        model, batches, config, val_batches=val_batches, tokenizer=prepared.tokenizer, run_dir=run_dir,
        recipe=recipe.name, data=_as_found(data, prepared),
    )  # fmt: skip


def _model_for(recipe: Recipe, prepared: Prepared, start: Start | None, asked: frozenset[str]) -> Any:
    if start is not None:
        return fitted(start, recipe, prepared.tokenizer, asked)
    with torch.random.fork_rng(devices=[]):  # the caller's draws go on as if there had been none here
        torch.default_generator.manual_seed(recipe.train.seed)
        return build_model(recipe.model(prepared.tokenizer.vocab_size))


def _as_found(data: DataConfig, prepared: Prepared) -> DataConfig:
    """What a run keeps of its data, so that it finds its text again and recognizes it."""
    found = {"sha256": prepared.manifest["sha256"], "start": find_corpus(data.dataset).start}
    return data.replace(dataset=full_name(data.dataset), **found)


def resume_trainer(run: str | Path, which: str | int = "last", dataset: str | None = None, **changes: Any) -> Trainer:
    """Go on with a run on the text that it was trained on; ``changes`` are settings of TrainConfig.

    Args:
        dataset: where that text is now, if it has moved; the run's ``config.json`` says so from then on.

    Raises:
        CourseError: where the folder is no run, another process trains it, the text is not there or not the same,
            or the run was trained on batches, or with a loss, of which only its program knows.
    """
    run_dir, world = checkpoint.find_run(run), current_world()
    with checkpoint.locked(run_dir) if world.is_main else contextlib.nullcontext():
        world.barrier()  # from here on nobody writes what is read now
        save = Save.read(run_dir, which)
        about = save.about
        _refuse_what_is_unknown(run_dir, about, save.state)
        command = f"course train --resume {quoted(run_dir)}"
        data, prepared = text_of_run(run_dir, about, save.tokenizer, dataset, command)
        config = TrainConfig.from_dict(save.state["train"]).replace(**changes)
        batches, val_batches = build_batchers(prepared, config, about.model.block_size)
        trainer = Trainer.resume(save, batches, val_batches, **changes)
        if data != about.data and world.is_main:
            checkpoint.record_data(run_dir, dataclasses.replace(about, data=data))
        world.barrier()  # nobody reads the old place any more
        return trainer


def _refuse_what_is_unknown(run_dir: Path, about: RunConfig, state: dict[str, Any]) -> None:
    """CourseError for a run that only the program it comes from can go on with."""
    call = f"Trainer.resume({str(run_dir)!r}, batches, val_batches"
    refuse_made_in_python(run_dir, about, "Go on with it", f"{call})", f"{call}, model=your_model)")
    refuse_without_optimizer(run_dir, state)
    if state.get("own_loss"):
        raise CourseError(
            f"{quoted(run_dir)} is trained with a loss of its own, which only its program knows. Go on with it in "
            f"Python: "
            f"{call}, loss)"
        )


def val_bytes_per_token(trainer: Trainer) -> float:
    """How many bytes of text a validation token stands for: what turns nats per token into bits per byte.

    The manifest beside the ids knows it; the text itself is not read again.
    """
    folder = Path(trainer.val_batches.tokens.filename).parent  # `build_batchers` maps a file
    return load_prepared(folder).bytes_per_token("val")


def build_batchers(prepared: Prepared, config: TrainConfig, block_size: int) -> tuple[Batcher, Batcher]:
    """Batches of the two splits that training needs, on the device and for the process that will use them.

    Raises:
        CourseError: where a split is too short, that for testing too: nobody wants to hear so after the training.
    """
    world: World = current_world()
    device = find(config.device).device if world.backend != "nccl" else f"cuda:{world.local_rank}"
    share = {"seed": config.seed, "device": device, "rank": world.rank, "world_size": world.size}
    val_batch_size = config.batch_size
    if config.eval_batches is None:
        val_batch_size = scoring_batch_size(prepared, "val", device, block_size)
    train = open_split(prepared, "train", config.batch_size, block_size, grad_accum=config.grad_accum, **share)
    val = open_split(prepared, "val", val_batch_size, block_size, grad_accum=world.size, **share)
    counts = prepared.manifest["counts"]
    if counts.get("test", block_size + 1) <= block_size:
        raise too_short("test", prepared.manifest["corpus"], counts, block_size)
    return train, val


def scoring_batch_size(prepared: Prepared, split: str, device: str, block_size: int) -> int:
    """How many windows of a split are best scored at once where all of it is scored."""
    at_once = SCORING_TOKENS if device == "cpu" else SCORING_LOGITS // prepared.tokenizer.vocab_size
    return max(1, min(at_once, prepared.manifest["counts"][split]) // block_size)


def open_split(prepared: Prepared, split: str, batch_size: int, block_size: int, **share: Any) -> Batcher:
    """Batches of one split; ``share`` are further arguments of `Batcher`. CourseError where it is too short."""
    try:
        return Batcher(prepared.path(split), batch_size, block_size, **share)
    except CourseError as error:
        counts = prepared.manifest["counts"]
        if counts[split] > block_size:
            raise
        raise too_short(split, prepared.manifest["corpus"], counts, block_size) from error


def too_short(split: str, corpus: str, counts: dict[str, int], block_size: int) -> CourseError:
    """The error of a split that holds no window of block_size tokens and the target after it; with what helps."""
    need, total = block_size + 1, sum(counts.values())
    share, kept = ("test", counts["val"]) if split == "test" else ("val", counts.get("test", 0))
    enough = math.ceil(100 * need / max(1, total)) / 100
    fitting = [s for s in (0.1, enough) if need <= int(total * (1 - s)) - kept <= total - need - kept]
    smaller = min(counts.values()) - 1
    remedies = [f"--{share}-fraction {fitting[0]:g}" if fitting else "a longer text"]
    if corpus.startswith("bins:"):  # somebody else has split it
        remedies = [f"a folder with a longer {split}.bin"]
    remedies += [f"a --block-size of at most {smaller}"] if smaller >= SHORTEST else []
    return CourseError(
        f"The {split} split of {corpus} is too short: it has {counts[split]} tokens, and with block_size {block_size} "
        f"it needs at least {need} (the targets are the text shifted by one). Use {', or '.join(remedies)}."
    )


def new_run_dir(recipe_name: str) -> Path:
    """``runs/<recipe>-<date>-<time>``, with a number where that is taken."""
    stem = f"{recipe_name}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = [runs_dir() / stem, *(runs_dir() / f"{stem}-{i}" for i in range(2, 100))]
    return next(path for path in candidates if not path.exists())
