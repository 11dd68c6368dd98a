"""What trained models write: samples, the share of right sentences, and a survey of the ways of drawing."""

import math
from typing import Any

import torch

from course_lib.corpora import tinytales
from course_lib.corpora.writing import survey
from course_lib.data.datasets import find_corpus
from course_lib.data.streams import Stream
from course_lib.measurements.names import Measured
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.sampling import generate
from course_lib.training import Trainer

SAMPLES, SAMPLE_LENGTH = 8, 1500
SAMPLE_KEPT = 300


def write_samples(trainer: Trainer, dataset: str, seed: int, **settings: Any) -> list[str]:
    """Several texts of SAMPLE_LENGTH tokens; ``settings`` as `generate` takes them. The start is not part of them."""
    tokenizer = trainer.tokenizer
    assert tokenizer is not None
    prompt = torch.tensor([tokenizer.encode(find_corpus(dataset).start)] * SAMPLES)
    ids = generate(trainer.model, prompt, SAMPLE_LENGTH, seed=seed, **settings)[:, prompt.shape[1] :]
    return [tokenizer.decode(row) for row in ids.tolist()]


def sentence_share(trainer: Trainer, dataset: str, seed: int) -> float:
    """The share of grammatical sentences among those that the model writes at temperature 1, in several samples.

    It is 0 for a model that has not finished one sentence.
    """
    corpus = find_corpus(dataset)
    assert corpus.grade is not None
    grades = [corpus.grade(text) for text in write_samples(trainer, dataset, seed)]
    verdicts = [part.is_grammatical for grade in grades for part in grade.sentences]
    return sum(verdicts) / len(verdicts) if verdicts else 0.0


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
