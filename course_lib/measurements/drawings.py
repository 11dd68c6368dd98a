"""A GPT that draws sprites pixel by pixel: how many of them are new, and what a classifier takes them for."""

import dataclasses
import time
from typing import Any

import torch
from torch import Tensor

from course_lib.corpora.sprites import KINDS
from course_lib.data import PixelRows, PixelTokenizer, SpriteDataset
from course_lib.data.pixels import nearest
from course_lib.measurements.names import Measured
from course_lib.measurements.sprites import CLASSES, parts, train_classifier
from course_lib.models import GPT, ConvClassifier
from course_lib.progress import progress_bar
from course_lib.recipes.drawing import DRAWER, build_drawer
from course_lib.reference import kept_rows
from course_lib.sampling import generate
from course_lib.training import Trainer, ask

GPT_SIZES = {"sprites": 4000, "held_out": 200, "steps": 800, "batch_size": 16, "n_layer": 2, "n_head": 4, "n_embd": 64}
"""Of the GPT: how many plain sprites it learns from, for how many steps, and its shape."""
DRAWN, KEPT = 20, 4
"""So many sprites are drawn of each kind, and so many of them kept."""
TEMPERATURES = (0.6, 0.8, 1.0)


def train_drawer(seed: int, bar: Any = None) -> tuple[Trainer, PixelRows, list[dict[str, Any]]]:
    """A GPT over the pixels of plain sprites: the trainer, what it learned from, and its rows."""
    sizes = GPT_SIZES
    rows = PixelRows(SpriteDataset(sizes["sprites"], seed, plain=True))
    held_out = PixelRows(SpriteDataset(sizes["held_out"], seed, "held_out", plain=True))
    shape = {name: sizes[name] for name in ("batch_size", "n_layer", "n_head", "n_embd")}
    trainer = build_drawer(DRAWER.replace(max_steps=sizes["steps"], seed=seed, eval_every=0, **shape), rows, held_out)
    kept = []
    for record in trainer:
        kept.append(dataclasses.asdict(record))
        if bar is not None:
            bar.update()
    return trainer, rows, kept


def draw(model: GPT, tokenizer: PixelTokenizer, n: int, seed: int, temperature: float) -> Tensor:
    """``n`` sprites of each kind, kind by kind: ids (K * n, 1 + H * W)."""
    prompt = torch.tensor([[tokenizer.class_id(kind)] for kind in tokenizer.classes for _ in range(n)])
    return generate(model, prompt, tokenizer.length - 1, temperature=temperature, seed=seed)


def complete(model: GPT, ids: Tensor, seed: int, temperature: float) -> Tensor:
    """The lower halves of pictures (N, 1 + H * W) drawn anew; the upper halves are what the model is shown."""
    shown = 1 + (ids.shape[1] - 1) // 2
    return generate(model, ids[:, :shown], ids.shape[1] - shown, temperature=temperature, seed=seed)


def judge(ids: Tensor, rows: PixelRows, classifier: ConvClassifier) -> dict[str, Any]:
    """What drawings come to.

    Returns:
        ``asked_share``, of how many the classifier names the kind that was asked for; ``new_share``, how many are
        no sprite that was learned from; ``pixels_off``, in how many pixels they differ from the nearest of those, on
        average; ``missing_share``, how many hold something that is no color.
    """
    tokenizer = rows.tokenizer
    answers = ask(classifier, [(tokenizer.decode(ids), tokenizer.labels(ids))])
    off = nearest(ids, rows.ids)
    return {
        "asked_share": round(answers.accuracy, 4),
        "new_share": round((off > 0).float().mean().item(), 4),
        "pixels_off": round(off.float().mean().item(), 2),
        "missing_share": round((ids[:, 1:] >= len(tokenizer.palette)).any(dim=1).float().mean().item(), 4),
        "taken_for": answers.confusion.tolist(),
    }


def measure_drawings(n_seeds: int) -> Measured:
    """A GPT draws sprites of each kind at every temperature of `TEMPERATURES`, and completes held-out ones.

    A seed decides the sprites, the first weights, the order and the draws. The classifier is that of `measure_classes`.
    Details, one entry for each seed: ``val_loss`` in nats per pixel and ``rows``; ``drawn``, what `judge` says at each
    temperature; ``completed``, the same of held-out sprites whose lower half is drawn anew, at 0.8; ``true``, the share
    of held-out sprites that the classifier names right. ``samples`` are drawings of the first seed at 0.8, by kind: two
    hex digits a pixel, its place in the palette. ``completed_samples``, in the same form, are held-out sprites whose
    lower half that model drew; the first ones of each kind in ``SpriteDataset(200, 1, "held_out", plain=True)``.
    """
    details: dict[str, Any] = {"sizes": GPT_SIZES, "temperatures": TEMPERATURES, "seeds": []}
    details |= {name: [] for name in ("val_loss", "rows", "drawn", "completed", "true")}
    torch.manual_seed(0)
    classifier = ConvClassifier()
    train_classifier(classifier, *parts(CLASSES), CLASSES["epochs"], seed=0)
    seconds = []
    with progress_bar(total=n_seeds * GPT_SIZES["steps"], unit="step") as bar:
        for seed in range(1, n_seeds + 1):
            start = time.perf_counter()
            trainer, rows, kept = train_drawer(seed, bar)
            held_out = PixelRows(SpriteDataset(DRAWN * len(KINDS), seed, "held_out", plain=True)).ids
            drawn = {t: draw(trainer.model, rows.tokenizer, DRAWN, seed, t) for t in TEMPERATURES}
            completed = complete(trainer.model, held_out, seed, 0.8)
            found = {"val_loss": round(kept[-1]["val_loss"], 4), "rows": kept_rows(kept)}
            found["drawn"] = {f"{t:g}": judge(ids, rows, classifier) for t, ids in drawn.items()}
            found["completed"] = judge(completed, rows, classifier)
            found["true"] = judge(held_out, rows, classifier)["asked_share"]
            for name, value in found.items():
                details[name].append(value)
            if seed == 1:
                details["samples"], details["completed_samples"] = samples(drawn[0.8]), samples(completed)
            details["seeds"].append(seed)
            seconds.append(time.perf_counter() - start)
    return seconds, details


def samples(ids: Tensor) -> dict[str, list[str]]:
    """The first `KEPT` drawings of each kind, as hex digits."""
    each = ids.view(len(KINDS), -1, ids.shape[1])
    return {kind: [bytes(row[1:]).hex() for row in rows[:KEPT].tolist()] for kind, rows in zip(KINDS, each)}
