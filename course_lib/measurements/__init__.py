"""What takes longer than a chapter may: named measurements, made by ``course record`` and kept for the chapters.

Each measurement takes a recipe and a number of seeds, and returns the seconds of each run and the details that
its record keeps. To add one: a function of that form, and a name in `RECORDINGS`.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

from course_lib.corpora import tinytales
from course_lib.corpora.writing import survey
from course_lib.data.datasets import find_corpus
from course_lib.data.streams import Stream
from course_lib.errors import CourseError, nearest
from course_lib.measurements.differences import measure_differences, measure_original
from course_lib.measurements.ladder import measure_ladder
from course_lib.measurements.names import Measured, measure_names
from course_lib.measurements.vocabularies import measure_vocabularies
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe, load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.reference import kept_rows
from course_lib.sampling import generate
from course_lib.training import Trainer

SAMPLES, SAMPLE_LENGTH = 8, 1500
SAMPLE_KEPT = 300


def measure_seeds(recipe: Recipe, n_seeds: int) -> Measured:
    """Train the recipe from seeds 1 to ``n_seeds``: a learner compares a run with these."""
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "seeds": []}
    seconds = []
    max_steps = recipe.train.max_steps
    with progress_bar(total=n_seeds * max_steps, unit="step", smoothing=0.1) as bar:
        for seed in range(1, n_seeds + 1):
            bar.set_description(f"{recipe.name}, seed {seed} of {n_seeds}")
            trainer = build_trainer(recipe.replace(seed=seed))
            rows = []
            for record in trainer:
                rows.append(dataclasses.asdict(record))
                bar.update()
            details["seeds"].append(seed)
            seconds.append(rows[-1]["seconds"])
            for name, value in _outcome(trainer, rows, recipe.data.dataset, seed).items():
                details.setdefault(name, []).append(value)
    return seconds, details


def _outcome(trainer: Trainer, rows: list[dict[str, Any]], dataset: str, seed: int) -> dict[str, Any]:
    """What one run came to; the share of sentences where the text has a grammar that can judge them."""
    outcome = {"val_loss": round(rows[-1]["val_loss"], 4)}
    if find_corpus(dataset).grade is not None:
        outcome["sentence_share"] = round(sentence_share(trainer, dataset, seed), 4)
    return outcome | {"rows": kept_rows(rows)}


def sentence_share(trainer: Trainer, dataset: str, seed: int) -> float:
    """The share of grammatical sentences among those that the model writes at temperature 1, in several samples.

    It is 0 for a model that has not finished one sentence.
    """
    corpus = find_corpus(dataset)
    assert corpus.grade is not None
    grades = [corpus.grade(text) for text in write_samples(trainer, dataset, seed)]
    verdicts = [part.is_grammatical for grade in grades for part in grade.sentences]
    return sum(verdicts) / len(verdicts) if verdicts else 0.0


LRS = {
    "adamw": (0.001, 0.002, 0.004, 0.008, 0.016, 0.032),
    "muon": (0.005, 0.01, 0.02, 0.04, 0.08, 0.16),
    "adamw_own_rates": (0.001, 0.002, 0.004, 0.008),
}
"""The learning rates that each optimizer is tried with, before the best one counts."""


def measure_optimizers(recipe: Recipe, n_seeds: int) -> Measured:
    """Optimizers in one recipe: each at every rate of `LRS` from seed 0, then at its best from the seeds 1 on.

    ``adamw`` has one rate for all weights. ``adamw_own_rates`` is AdamW everywhere, but only the hidden matrices take
    the rate that is tried: embeddings, head and vectors keep the rates that they have with Muon at its best.

    Details: ``sweep`` has the losses of seed 0 by rate; ``best_lr`` the rates chosen by them; and, one entry for each
    seed, ``val_loss``, ``rows`` and ``step_seconds`` (the median) of the recipe's own optimizer, and the same of each
    other one as ``<name>_val_loss`` and so on. A loss that is not finite ends a run; it stands as None. Losses are the
    same at every run on one machine; seconds are not.
    """
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings}
    details |= {"sweep": {}, "best_lr": {}, "seeds": list(range(1, n_seeds + 1))}
    best_lr: dict[str, float] = details["best_lr"]
    seconds = []
    with progress_bar(total=sum(map(len, LRS.values())) + len(LRS) * n_seeds, unit="run") as bar:
        for name, lrs in LRS.items():
            bar.set_description(f"{name}: sweep")
            runs = {lr: _run(recipe, name, lr, best_lr, 0, bar) for lr in lrs}
            losses = {lr: rows[-1]["val_loss"] if rows else math.inf for lr, rows in runs.items()}
            best_lr[name] = min(losses, key=lambda lr: losses[lr])
            details["sweep"][name] = {
                str(lr): round(loss, 4) if math.isfinite(loss) else None for lr, loss in losses.items()
            }
        for seed in details["seeds"]:  # in turn, so that a machine that slows down slows all of them
            for name, best in best_lr.items():
                bar.set_description(f"{name}: seed {seed} of {n_seeds}")
                rows = _run(recipe, name, best, best_lr, seed, bar)
                prefix = f"{name}_"
                if name == recipe.train.optimizer:
                    prefix = ""
                    seconds.append(rows[-1]["seconds"])
                for what, value in _measured(rows).items():
                    details.setdefault(prefix + what, []).append(value)
    return seconds, details


def _run(recipe: Recipe, name: str, lr: float, best_lr: dict[str, float], seed: int, bar: Any) -> list[dict[str, Any]]:
    """The rows of a run; none where its loss stopped being finite."""
    try:
        if name != "adamw_own_rates":
            trainer = build_trainer(recipe.replace(optimizer=name, max_lr=lr, seed=seed))
        else:
            trainer = build_trainer(recipe.replace(optimizer="muon", max_lr=best_lr["muon"], seed=seed))
            trainer.optimizer = _adamw_for_matrices(trainer, lr)
        return [dataclasses.asdict(record) for record in trainer]
    except CourseError:
        return []
    finally:
        bar.update()


def _adamw_for_matrices(trainer: Trainer, lr: float) -> torch.optim.AdamW:
    """AdamW in place of a trainer's Muon, with ``lr`` for the hidden matrices; the other weights keep their rates."""
    config, groups = trainer.config, []
    for group in trainer.optimizer.param_groups:
        scale = group.get("lr_scale", lr / config.max_lr)  # Muon's own groups have none
        groups.append({"params": group["params"], "lr_scale": scale, "weight_decay": group["weight_decay"]})
    return torch.optim.AdamW(groups, lr=config.max_lr, betas=(config.beta1, config.beta2), fused=True)


def _measured(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The last validation loss, the curve, and the median time of a step that was not followed by an evaluation."""
    times = [row["seconds"] - before["seconds"] for before, row in pairwise(rows) if row["val_loss"] is None]
    return {
        "val_loss": round(rows[-1]["val_loss"], 4),
        "step_seconds": round(statistics.median(times), 4),
        "rows": kept_rows(rows),
    }


def write_samples(trainer: Trainer, dataset: str, seed: int, **settings: Any) -> list[str]:
    """Several texts of SAMPLE_LENGTH tokens; ``settings`` as `generate` takes them. The start is not part of them."""
    tokenizer = trainer.tokenizer
    assert tokenizer is not None
    prompt = torch.tensor([tokenizer.encode(find_corpus(dataset).start)] * SAMPLES)
    ids = generate(trainer.model, prompt, SAMPLE_LENGTH, seed=seed, **settings)[:, prompt.shape[1] :]
    return [tokenizer.decode(row) for row in ids.tolist()]


WRITING: dict[str, dict[str, Any]] = {
    **{f"temperature {t:g}": {"temperature": t} for t in (0.0, 0.5, 0.7, 1.0, 1.3)},
    **{f"top_k {k}": {"top_k": k} for k in (2, 5, 20)},
    **{f"top_p {p:g}": {"top_p": p} for p in (0.5, 0.8, 0.95)},
}
"""The ways of drawing that are compared; a setting that a way does not name is 1 or left out."""


def measure_writing(recipe: Recipe, n_seeds: int) -> Measured:
    """What a trained model writes with each setting of `WRITING`: how right, how varied, how new (see `survey`).

    Details: ``tried`` has the settings; ``writing`` what each came to, one entry for each seed; ``grammar`` the same of
    fresh stories by the grammar itself; ``samples`` how each setting's first text begins, of the first seed.
    """
    stream, shares = Stream(recipe.data.dataset), (recipe.data.val_fraction, recipe.data.test_fraction)
    source = "".join(stream.texts(*stream.parts(*shares)["train"]))  # what it was trained on
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "tried": WRITING}
    fresh = [tinytales.tinytales_text(SAMPLE_LENGTH, seed) for seed in range(1, SAMPLES + 1)]  # the source has seed 0
    details |= {"seeds": [], "val_loss": [], "writing": [], "samples": {}}
    details["grammar"] = survey(fresh, source, tinytales.grade)
    seconds = []
    with progress_bar(total=n_seeds * (recipe.train.max_steps + len(WRITING)), smoothing=0.1) as bar:
        for seed in range(1, n_seeds + 1):
            bar.set_description(f"seed {seed} of {n_seeds}")
            trainer = build_trainer(recipe.replace(seed=seed))
            rows = []
            for record in trainer:
                rows.append(record)
                bar.update()
            seconds.append(rows[-1].seconds)
            details["seeds"].append(seed)
            details["val_loss"].append(round(rows[-1].val_loss or math.nan, 4))
            found = {}
            for label, settings in WRITING.items():
                texts = write_samples(trainer, recipe.data.dataset, seed, **settings)
                found[label] = survey(texts, source, tinytales.grade)
                details["samples"].setdefault(label, texts[0][:SAMPLE_KEPT])
                bar.update()
            details["writing"].append(found)
    return seconds, details


@dataclass(frozen=True)
class Recording:
    """A measurement by name. ``recipe`` None asks for one; the record is then named after it."""

    about: str
    minutes: float
    """About how long it takes on two CPU cores."""
    measure: Callable[[Recipe, int], Measured] | Callable[[int], Measured]
    """Takes the recipe and the number of seeds, or where ``recipe`` is "" the number alone."""
    recipe: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings in which it differs from the recipe."""


RECORDINGS = {
    "chapter_00": Recording("microGPT on the bundled names, 500 and 5,000 steps", 4, measure_names, recipe=""),
    "chapter_03": Recording(
        "the ladder of chapter 03: what each part of a GPT is worth", 15, measure_ladder, "tinytales_cpu",
        {
            "block_size": 32, "n_embd": 64, "position": "learned", "norm": "layernorm", "qk_norm": False, "mlp": "gelu",
            "tie_weights": True, "zero_init": False, "head_lr_scale": 1.0, "momentum": 0.95, "max_steps": 400,
            "eval_every": 400,
        },
    ),
    "chapter_04": Recording(
        "AdamW against Muon, each at its best learning rate", 8, measure_optimizers, "tinytales_cpu",
        {"max_steps": 300, "eval_every": 50, "eval_batches": 16},
    ),
    "chapter_05": Recording(
        "the run of chapter 05, from several seeds",
        3,
        measure_seeds,
        "tinytales_cpu",
        {"max_steps": 300, "batch_size": 16, "eval_every": 150, "eval_batches": 24},
    ),
    "chapter_07": Recording(
        "what a longer run writes with each way of drawing, from several seeds",
        15,
        measure_writing,
        "tinytales_cpu",
        {"max_steps": 2200, "eval_every": 2200},
    ),
    "chapter_08": Recording(
        "characters, bytes and byte pairs at equal compute, on TinyTales and, where it can be had, Tiny Shakespeare",
        10,
        measure_vocabularies,
        "shakespeare_bpe_cpu",
        # A smaller model, so that it is recorded in minutes. TinyTales has no more than 1,131 tokens.
        {
            "dataset": "tinytales", "bpe_vocab_size": 1024, "n_layer": 2, "n_embd": 64, "max_steps": 264,
            "cooldown_steps": 238,
        },
    ),
    "agiformer_original": Recording(
        "AGIFORMER beside its original, on Wikipedia's bytes, from several seeds",
        150,
        measure_original,
        "agiformer_small",
        {"dataset": "wikitext", "max_steps": 1000},
    ),
    "agiformer_differences": Recording(
        "what each difference between AGIFORMER and its original is worth, on Wikipedia's bytes",
        40,
        measure_differences,
        "agiformer_small",
        {
            "dataset": "wikitext", "n_layer": 2, "n_embd": 128, "n_head": 4, "n_hidden": 128, "max_steps": 1000,
        },
    ),
    "tinytales_seeds": Recording("tinytales_cpu from several seeds", 6, measure_seeds, "tinytales_cpu"),
    "tinytales_2200": Recording(
        "tinytales_cpu with twice the steps, from several seeds",
        11,
        measure_seeds,
        "tinytales_cpu",
        {"max_steps": 2200},
    ),
    "seeds": Recording("the recipe that --recipe names, from several seeds", 5, measure_seeds),
}


def plan(name: str, recipe: str | None, n_seeds: int) -> tuple[str, Callable[[], Measured]]:
    """The name that the record will have, and what makes it; CourseError for what does not go together."""
    if name not in RECORDINGS:
        raise CourseError(f"There is no recording {name!r}: {nearest(name, list(RECORDINGS))}")
    if n_seeds < 1:
        raise CourseError(f"seeds should be at least 1; it is {n_seeds}.")
    recording = RECORDINGS[name]
    if recording.recipe is None and recipe is None:
        raise CourseError(f"course record {name} also needs --recipe: a recipe by name, or a .toml file.")
    if recording.recipe is not None and recipe is not None:
        made_with = recording.recipe or "microGPT, which has no recipe"
        raise CourseError(f"{name} is always made with {made_with}. For another: course record seeds --recipe R")
    if not recording.recipe and recipe is None:
        return name, lambda: recording.measure(n_seeds)  # type: ignore[call-arg, arg-type]
    chosen = load_recipe(recording.recipe or str(recipe)).replace(**recording.changes)
    title = name if recording.recipe else f"{chosen.name}_{name}"
    return title, lambda: recording.measure(chosen, n_seeds)  # type: ignore[call-arg, arg-type]
