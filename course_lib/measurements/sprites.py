"""Classifiers of sprites: how many they name right, by which rates and optimizers, and in which order they see them."""

import dataclasses
import math
import time
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from course_lib.config import TrainConfig
from course_lib.data import LoaderBatches, SpriteDataset
from course_lib.measurements.names import Measured
from course_lib.measurements.runs import Rows
from course_lib.models import ConvClassifier, LinearClassifier
from course_lib.progress import progress_bar
from course_lib.reference import kept_rows
from course_lib.training import Answers, OwnOptimizer, Trainer, ask, class_loss
from course_lib.training.scoring import Diverged

BATCH_SIZE, LR = 64, 3e-3
CLASSES = {"sprites": 5000, "held_out": 2000, "epochs": 5}
"""Of `measure_classes`: how many sprites there are of each part, and how often each one is seen."""
RATES = {"sprites": 2000, "held_out": 1000, "epochs": 3}
"""The same of `measure_rates`, whose runs are many."""
LRS = {"adam": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), "sgd": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)}
"""The learning rates that each optimizer is tried with."""
MOMENTUM = 0.9
ORDER = {"sprites": 2000, "held_out": 1000, "epochs": 4}
"""The same as `CLASSES` of `measure_order`."""


@dataclasses.dataclass
class Outcome:
    """One run of a classifier: its rows, held-out accuracies after each epoch, and what it says in the end."""

    rows: Rows
    accuracies: list[float]
    answers: Answers

    def kept(self) -> dict[str, Any]:
        """What a record keeps of it; the loss is None where it stopped being finite."""
        last = self.rows[-1]["val_loss"] if self.rows else None
        return {
            "val_loss": None if last is None else round(last, 4),
            "accuracy": round(self.answers.accuracy, 4),
            "accuracies": self.accuracies,
            "rows": kept_rows(self.rows),
        }


def train_classifier(
    model: nn.Module, train: SpriteDataset, held_out: SpriteDataset, epochs: int, seed: int, shuffle: bool = True,
    lr: float = LR, schedule: Any = "cosine", optimizer: OwnOptimizer | None = None, bar: Any = None,
) -> Outcome:  # fmt: skip
    """Train a classifier for so many epochs, scored on the held-out sprites after each."""
    batches = LoaderBatches(DataLoader(train, BATCH_SIZE, shuffle), seed)
    per_epoch = batches.steps_per_epoch
    config = TrainConfig(
        max_steps=epochs * per_epoch, max_lr=lr, schedule=schedule, weight_decay=0.0, beta2=0.999, grad_clip=0.0,
        eval_every=per_epoch, device="cpu", precision="fp32",
    )  # fmt: skip
    scored = LoaderBatches(DataLoader(held_out, 250))
    trainer = Trainer(model, batches, config, class_loss, scored, optimizer=optimizer)
    rows, accuracies = list[dict[str, Any]](), list[float]()
    try:
        for record in trainer:
            rows.append(dataclasses.asdict(record))
            if record.val_loss is not None:
                accuracies.append(round(ask(model, scored.windows()).accuracy, 4))
            if bar is not None:
                bar.update()
    except Diverged:
        rows = []
    return Outcome(rows, accuracies, ask(model, scored.windows()))


def parts(sizes: dict[str, int], seed: int = 0) -> tuple[SpriteDataset, SpriteDataset]:
    """The sprites to learn from, and those that are held out."""
    return SpriteDataset(sizes["sprites"], seed), SpriteDataset(sizes["held_out"], seed, "held_out")


def _new(kind: type[nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return kind()


def _steps(sizes: dict[str, int]) -> int:
    return sizes["epochs"] * math.ceil(sizes["sprites"] / BATCH_SIZE)


def measure_classes(n_seeds: int) -> Measured:
    """A small convolutional network and a linear classifier, on shapes and palettes that neither has seen.

    A seed decides the sprites, the first weights and the order. Details, one entry for each seed: ``accuracy`` on the
    held-out part, ``accuracies`` after each epoch, ``val_loss``, ``rows`` and ``confusion`` (a row for each class) of
    the network, and the same of the linear classifier as ``linear_accuracy`` and so on; ``sizes`` says how many sprites
    and epochs.
    """
    details: dict[str, Any] = {"sizes": CLASSES, "seeds": []}
    seconds = []
    with progress_bar(total=2 * n_seeds * _steps(CLASSES), unit="step") as bar:
        for seed in range(1, n_seeds + 1):
            start, (train, held_out) = time.perf_counter(), parts(CLASSES, seed)
            for prefix, kind in (("", ConvClassifier), ("linear_", LinearClassifier)):
                outcome = train_classifier(_new(kind, seed), train, held_out, CLASSES["epochs"], seed, bar=bar)
                for name, value in (outcome.kept() | {"confusion": outcome.answers.confusion.tolist()}).items():
                    details.setdefault(prefix + name, []).append(value)
            details["seeds"].append(seed)
            seconds.append(time.perf_counter() - start)
    return seconds, details


def measure_rates(n_seeds: int) -> Measured:
    """Adam and SGD with momentum, each at every rate of `LRS`, which stays as it is all through the run.

    Details: ``tried`` has the rates; ``val_loss`` and ``accuracy``, one entry for each seed, a dictionary from the
    optimizer's name to the results by rate, in the order of ``tried``. A run whose loss stopped being finite has the
    loss None. ``curves`` has the training losses of the first seed in the same form.
    """
    train, held_out = parts(RATES)
    details: dict[str, Any] = {"sizes": RATES, "momentum": MOMENTUM, "tried": LRS, "seeds": []}
    details |= {"val_loss": [], "accuracy": [], "curves": {name: [] for name in LRS}}
    seconds = []
    with progress_bar(total=n_seeds * sum(map(len, LRS.values())) * _steps(RATES), unit="step") as bar:
        for seed in range(1, n_seeds + 1):
            start, found = time.perf_counter(), {"val_loss": dict[str, Any](), "accuracy": dict[str, Any]()}
            for name, lr in ((name, lr) for name, lrs in LRS.items() for lr in lrs):
                model = _new(ConvClassifier, seed)
                own = torch.optim.SGD(model.parameters(), lr, momentum=MOMENTUM) if name == "sgd" else None
                outcome = train_classifier(
                    model, train, held_out, RATES["epochs"], seed, True, lr, "constant", own, bar
                )  # fmt: skip
                for what, values in found.items():
                    values.setdefault(name, []).append(outcome.kept()[what])
                if seed == 1:
                    details["curves"][name].append(kept_rows(outcome.rows))
            for what, values in found.items():
                details[what].append(values)
            details["seeds"].append(seed)
            seconds.append(time.perf_counter() - start)
    return seconds, details


def measure_order(n_seeds: int) -> Measured:
    """The same network on the same sprites, shuffled anew each epoch, and kind by kind as they are drawn.

    Details, one entry for each seed: ``accuracy``, ``accuracies``, ``val_loss`` and ``rows`` of the shuffled run, and
    the same of the other one as ``sorted_accuracy`` and so on.
    """
    train, held_out = parts(ORDER)
    details: dict[str, Any] = {"sizes": ORDER, "seeds": []}
    seconds = []
    with progress_bar(total=2 * n_seeds * _steps(ORDER), unit="step") as bar:
        for seed in range(1, n_seeds + 1):
            start = time.perf_counter()
            for prefix, shuffle in (("", True), ("sorted_", False)):
                model = _new(ConvClassifier, seed)
                outcome = train_classifier(model, train, held_out, ORDER["epochs"], seed, shuffle, bar=bar)
                for name, value in outcome.kept().items():
                    details.setdefault(prefix + name, []).append(value)
            details["seeds"].append(seed)
            seconds.append(time.perf_counter() - start)
    return seconds, details
