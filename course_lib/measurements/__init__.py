"""What takes longer than a chapter may: named measurements, made by ``course record`` and kept for the chapters.

Each measurement takes a recipe and a number of seeds, and returns the seconds of each run and the details that
its record keeps. To add one: a function of that form, in a module here, and a name in `RECORDINGS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from course_lib.errors import CourseError, nearest
from course_lib.measurements.denoising import measure_denoising
from course_lib.measurements.differences import measure_differences, measure_original
from course_lib.measurements.drawings import measure_drawings
from course_lib.measurements.grid import measure_grid
from course_lib.measurements.guide import measure_guide
from course_lib.measurements.ladder import measure_ladder
from course_lib.measurements.lengths import measure_lengths
from course_lib.measurements.names import Measured, measure_names
from course_lib.measurements.ngrams import measure_ngrams
from course_lib.measurements.optimizers import measure_optimizers
from course_lib.measurements.peers import measure_peers
from course_lib.measurements.seeds import measure_seeds
from course_lib.measurements.sprites import measure_classes, measure_order, measure_rates
from course_lib.measurements.sweep import measure_sweep
from course_lib.measurements.vocabularies import measure_vocabularies
from course_lib.measurements.writing import measure_writing
from course_lib.recipes import Recipe, load_recipe


@dataclass(frozen=True)
class Recording:
    """A measurement by name. ``recipe`` None asks for one; the record is then named after it."""

    about: str
    minutes: float
    """About how long it takes on two CPU cores, with as many seeds as ``seeds`` says."""
    measure: Callable[[Recipe, int], Measured] | Callable[[int], Measured]
    """Takes the recipe and the number of seeds, or where ``recipe`` is "" the number alone."""
    recipe: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings in which it differs from the recipe."""
    seeds: int = 5
    """From how many seeds it is made where nobody says how many."""


WIKITEXT = {"dataset": "wikitext", "val_fraction": 0.1, "test_fraction": 0.0}
SMALL_FORM = {**WIKITEXT, "n_layer": 2, "n_embd": 128, "n_head": 4, "n_hidden": 128, "device": "cpu"}
"""An AGIFORMER of a million weights, which takes 0.2 seconds a step on a core: for many runs."""

RECORDINGS = {
    "chapter_00": Recording(
        "microGPT on the bundled names, 500 and 5,000 steps", 4, measure_names, recipe="", seeds=10
    ),
    "chapter_03": Recording(
        "the ladder of chapter 03: what each part of a GPT is worth",
        15,
        measure_ladder,
        "tinytales_cpu",
        {
            "block_size": 32,
            "n_embd": 64,
            "position": "learned",
            "norm": "layernorm",
            "qk_norm": False,
            "mlp": "gelu",
            "tie_weights": True,
            "zero_init": False,
            "head_lr_scale": 1.0,
            "momentum": 0.95,
            "max_steps": 400,
            "eval_every": 400,
        },
    ),
    "chapter_04": Recording(
        "AdamW against Muon, each at its best learning rate",
        8,
        measure_optimizers,
        "tinytales_cpu",
        {"max_steps": 300, "eval_every": 50, "eval_batches": 16},
        seeds=3,
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
        seeds=3,
    ),
    "chapter_08": Recording(
        "characters, bytes and byte pairs at equal compute, on TinyTales and, where it can be had, Tiny Shakespeare",
        10,
        measure_vocabularies,
        "shakespeare_bpe_cpu",
        # A smaller model, so that it is recorded in minutes. TinyTales has no more than 1,131 tokens.
        {
            "dataset": "tinytales",
            "bpe_vocab_size": 1024,
            "n_layer": 2,
            "n_embd": 64,
            "max_steps": 264,
            "cooldown_steps": 238,
        },
        seeds=3,
    ),
    "sprite_classes": Recording(
        "a small convolutional network and a linear classifier on held-out sprites", 1, measure_classes, "", seeds=3
    ),
    "sprite_rates": Recording("Adam and SGD on sprites, each at seven learning rates", 2, measure_rates, "", seeds=3),
    "sprite_order": Recording("sprites shuffled, and kind by kind", 1, measure_order, "", seeds=3),
    "sprite_denoising": Recording(
        "denoisers of sprites, by the squared and by the absolute difference", 3, measure_denoising, "", seeds=3
    ),
    "sprite_drawings": Recording(
        "what a GPT over pixels draws: how new it is, and what a classifier takes it for",
        6,
        measure_drawings,
        "",
        seeds=3,
    ),
    "agiformer_original": Recording(
        "AGIFORMER beside its original, on Wikipedia's bytes, from several seeds",
        150,
        measure_original,
        "agiformer_small",
        {**WIKITEXT, "max_steps": 1000, "device": "cpu"},
        seeds=3,
    ),
    "agiformer_differences": Recording(
        "what each difference between AGIFORMER and its original is worth, on Wikipedia's bytes",
        40,
        measure_differences,
        "agiformer_small",
        {**SMALL_FORM, "max_steps": 1000},
        seeds=3,
    ),
    "agiformer_guide": Recording(
        "the learning rates, clips and thinking steps of AGIFORMER's tuning guide, on Wikipedia's bytes",
        45,
        measure_guide,
        "agiformer_small",
        {**SMALL_FORM, "max_steps": 500, "eval_every": 0},
        seeds=3,
    ),
    "agiformer_peers": Recording(
        "AGIFORMER beside GPTs of bytes and byte pairs, at equal compute and of equal size, on Wikipedia's bytes",
        45,
        measure_peers,
        "agiformer_cpu",
        {"dataset": "wikitext", "max_steps": 500, "eval_every": 0},
        seeds=3,
    ),
    "agiformer_lengths": Recording(
        "agiformer_cpu with either kind of places, on texts of 16 times the length it was trained on",
        15,
        measure_lengths,
        "agiformer_cpu",
        {"eval_every": 1000},
        seeds=2,
    ),
    "agiformer_long": Recording(
        "AGIFORMER for its document's 5,000 steps, on Wikipedia's bytes",
        95,
        measure_seeds,
        "agiformer_small",
        {**WIKITEXT, "max_steps": 5000, "eval_every": 500, "device": "cpu"},
        seeds=1,
    ),
    "lab_grid": Recording(
        "the lab's three sliders: a small model at 4 x 4 x 5 values, its own row from several seeds",
        12,
        measure_grid,
        "tinytales_cpu",
        {"n_embd": 64, "batch_size": 12, "max_steps": 300, "eval_every": 60},
        seeds=3,
    ),
    "lab_sweep": Recording(
        "the lab's sweeps: five learning rates and five block sizes at a tenth of the length, from several seeds",
        7,
        measure_sweep,
        "tinytales_cpu",
        seeds=3,
    ),
    "ngrams": Recording(
        "what each choice behind shakespeare_char_cpu is worth, its tables of n-grams first",
        5,
        measure_ngrams,
        "shakespeare_char_cpu",
        seeds=3,
    ),
    "tinytales_seeds": Recording("tinytales_cpu from several seeds", 6, measure_seeds, "tinytales_cpu"),
    "tinytales_2200": Recording(
        "tinytales_cpu with twice the steps, from several seeds",
        11,
        measure_seeds,
        "tinytales_cpu",
        {"max_steps": 2200},
        seeds=3,
    ),
    "seeds": Recording("the recipe that --recipe names, from several seeds", 5, measure_seeds),
}


def plan(name: str, recipe: str | None, n_seeds: int | None) -> tuple[str, Callable[[], Measured]]:
    """The name that the record will have, and what makes it; CourseError for what does not go together.

    ``n_seeds`` None is the number that the recording has.
    """
    if name not in RECORDINGS:
        raise CourseError(f"There is no recording {name!r}: {nearest(name, list(RECORDINGS))}")
    recording = RECORDINGS[name]
    seeds = recording.seeds if n_seeds is None else n_seeds
    if seeds < 1:
        raise CourseError(f"seeds should be at least 1; it is {seeds}.")
    if recording.recipe is None and recipe is None:
        raise CourseError(f"course record {name} also needs --recipe: a recipe by name, or a .toml file.")
    if recording.recipe is not None and recipe is not None:
        made_with = f"is always made with {recording.recipe}" if recording.recipe else "is made without a recipe"
        raise CourseError(f"{name} {made_with}. For another: course record seeds --recipe R")
    if not recording.recipe and recipe is None:
        return name, lambda: recording.measure(seeds)  # type: ignore[call-arg, arg-type]
    chosen = load_recipe(recording.recipe or str(recipe)).replace(**recording.changes)
    title = name if recording.recipe else f"{chosen.name}_{name}"
    return title, lambda: recording.measure(chosen, seeds)  # type: ignore[call-arg, arg-type]
