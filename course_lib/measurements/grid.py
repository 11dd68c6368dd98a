"""The lab, recorded: a small model trained at every point of a grid of three sliders, for pages without a kernel."""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from course_lib.data.datasets import find_corpus
from course_lib.measurements.names import Measured
from course_lib.measurements.partial import Partial
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate
from course_lib.training import Trainer
from course_lib.training.scoring import Diverged

Grid = Mapping[str, Sequence[float]]
GRID: Grid = {
    "block_size": (16, 32, 64, 128),
    "dropout": (0.0, 0.1, 0.2, 0.4),
    "max_lr": (0.002, 0.006, 0.02, 0.06, 0.2),
}
"""The sliders of the lab, and where each stands."""
SCORED_TOKENS = 2**15
"""So many tokens of the validation part are scored at once, the same number at every block_size."""
MOST_POINTS = 51
"""So many training losses are kept of a run."""
SAMPLED_AT = (0, 0.05, 0.15, 0.5, 1)
"""When a sample is written, as shares of the run: early, where most changes, more often."""
SAMPLE_LENGTH = 220


def measure_grid(recipe: Recipe, n_seeds: int, grid: Grid = GRID, name: str = "lab_grid") -> Measured:
    """The recipe at every point of ``grid`` from seed 1; the row of its own block_size and dropout from more seeds.

    It can be cut off: runs that are over lie in ``data/partial``, and are not made again; see `Partial`.

    Details: ``grid``, the values of each slider; ``steps``, at which training losses are kept; ``lines``, for each
    block_size the losses that no reader can beat, where the text's grammar tells them; ``knowing_nothing``, ln V;
    ``scored_tokens``; ``trials``, each a run as `_run` has it, with ``at``, its values in the order of ``grid``, and
    its ``seed``.
    """
    seeds, own = list(range(1, n_seeds + 1)), recipe.all_settings()
    points = list(itertools.product(*grid.values()))
    in_row = [point for point in points if point[:2] == (own["block_size"], own["dropout"])]
    wanted = [(point, 1) for point in points] + [(point, seed) for seed in seeds[1:] for point in in_row]
    every = max(1, math.ceil(recipe.train.max_steps / (MOST_POINTS - 1)))
    partial = Partial(name, {"settings": recipe.settings, "grid": dict(grid), "every": every})
    trials = []
    with progress_bar(total=len(wanted), unit="run") as bar:
        for point, seed in wanted:
            settings = dict(zip(grid, point, strict=True))
            bar.set_description(", ".join(f"{what} {value:g}" for what, value in settings.items()) + f", seed {seed}")
            chosen = recipe.replace(**settings, seed=seed)
            found = partial.get(f"{point} {seed}", lambda chosen=chosen: _run(chosen, every))  # type: ignore[misc]
            trials.append({"at": list(point), "seed": seed} | found)
            bar.update()
    corpus = find_corpus(recipe.data.dataset)
    lines = {f"{T:g}": corpus.lines(int(T)) for T in grid["block_size"]} if corpus.lines else {}
    details = {"recipe": recipe.name, "settings": recipe.settings, "seeds": seeds, "max_steps": recipe.train.max_steps}
    details |= {"grid": {what: list(values) for what, values in grid.items()}, "lines": lines}
    details |= {"steps": _kept_steps(recipe.train.max_steps, every), "scored_tokens": SCORED_TOKENS}
    details |= {"knowing_nothing": round(math.log(build_trainer(recipe).tokenizer.vocab_size), 4), "trials": trials}
    return [trial["seconds"] for trial in trials], details


def _kept_steps(max_steps: int, every: int) -> list[int]:
    return sorted({*range(0, max_steps, every), max_steps - 1})


def _run(recipe: Recipe, every: int) -> dict[str, Any]:
    """One run, shorter where its loss ceased to be finite.

    ``train``: the training loss at each of the kept steps. ``val``: pairs of completed steps and validation loss.
    ``samples``: after how many steps, the text, and how many of its whole sentences are grammatical (null without a
    judge). ``seconds``: with evaluations and samples; ``diverged``: whether it ended early.
    """
    config, start = recipe.train, time.perf_counter()
    block_size = recipe.model(256).block_size
    scored = max(1, SCORED_TOKENS // (config.batch_size * block_size))
    trainer = build_trainer(recipe.replace(eval_batches=scored))
    kept, sampled = set(_kept_steps(config.max_steps, every)), {round(config.max_steps * share) for share in SAMPLED_AT}
    found: dict[str, Any] = {"train": [], "val": [], "samples": [_sample(trainer, recipe)], "diverged": False}
    try:
        for record in trainer:
            if record.step in kept:
                loss = record.train_loss  # not every run reads it at each step
                found["train"].append(None if loss is None else round(loss, 3))
            if record.val_loss is not None:
                found["val"].append([record.step + 1, round(record.val_loss, 4)])
            if record.step + 1 in sampled:
                found["samples"].append(_sample(trainer, recipe))
    except Diverged:
        found["diverged"] = True
    return found | {"seconds": round(time.perf_counter() - start, 2)}


def _sample(trainer: Trainer, recipe: Recipe) -> dict[str, Any]:
    """What the model writes now; every sample draws the same random numbers, so only what was learned differs."""
    corpus, tokenizer = find_corpus(recipe.data.dataset), trainer.tokenizer
    assert tokenizer is not None
    prompt = torch.tensor([tokenizer.encode(corpus.start)])
    ids = generate(trainer.model, prompt, SAMPLE_LENGTH, seed=0)[0, prompt.shape[1] :]
    text, good, whole = tokenizer.decode(ids.tolist()), None, None
    if corpus.grade is not None:
        sentences = corpus.grade(text).sentences
        good, whole = sum(part.is_grammatical for part in sentences), len(sentences)
    return {"step": trainer.step, "text": text, "good": good, "sentences": whole}
