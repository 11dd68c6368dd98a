"""`Trial`: one run of the lab, with its settings, its records, and the command that repeats it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import nn

from course_lib.data.datasets import find_corpus
from course_lib.data.prompt import encode_start, read_start
from course_lib.lab.driver import Change
from course_lib.lab.forecast import TOO_LITTLE, Forecast, in_bytes, in_seconds
from course_lib.lab.sample import Sample
from course_lib.losses import bits_per_byte
from course_lib.plots import rounded
from course_lib.recipes import Recipe, load_recipe, names
from course_lib.recipes.build import val_bytes_per_token
from course_lib.sampling import generate
from course_lib.tokenizers import Tokenizer
from course_lib.training import StepRecord, Trainer


def differences(recipe: Recipe) -> dict[str, object]:
    """The settings in which ``recipe`` differs from the recipe that comes with the course under its name."""
    bundled = recipe.name in names()
    usual = load_recipe(recipe.name).all_settings() if bundled else recipe.all_settings()
    return {name: value for name, value in recipe.all_settings().items() if value != usual[name]}


def command_for(recipe: Recipe) -> str:
    """The command line that repeats a run: the recipe's name, and what differs from it.

    A recipe that does not come with the course is named as a file, ``NAME.toml``.
    """
    words = ["course train", recipe.name if recipe.name in names() else f"{recipe.name}.toml"]
    for name, value in differences(recipe).items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return " ".join(words)


def rate_varies(recipe: Recipe) -> bool:
    """Whether a schedule moves the learning rate, so that ``max_lr`` is the highest of many."""
    return recipe.train.schedule != "constant" or recipe.train.warmup_steps > 0


def _scored(
    what: str, forecast: float, measured: float, words: Callable[[float], str], few: float = 0.0
) -> str:  # fmt: skip
    """A forecast beside what was measured, such as "Time: forecast 40 s, measured 44 s (10% more)".

    Args:
        few: where both are less, the share by which they differ would say nothing.
    """
    off = measured / forecast - 1
    how = "as forecast" if abs(off) < 0.005 else f"{abs(off):.0%} {'more' if off > 0 else 'less'}"
    how = "too little to compare" if max(forecast, measured) < few else how
    return f"{what}: forecast {words(forecast)}, measured {words(measured)} ({how})"


@dataclass(repr=False)
class Trial:
    """One run: the settings it had, the trainer, and what each step did."""

    unit: ClassVar[str] = "tokens"
    """What a token of it is called."""

    recipe: Recipe
    trainer: Trainer
    records: list[StepRecord] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    """Settings that were moved while it trained."""
    error: BaseException | None = None
    """The error that ended it; None where its last step or a stop did."""
    seconds: float = 0.0
    """How long it took, with chart and sample, pauses left out."""
    number: int = 1
    """Which run of its lab it is, counted from 1."""
    samples: list[Sample] = field(default_factory=list)
    """What it wrote on the way, in the order of the steps."""
    guess: float | None = None
    """The learner's guess of its last validation loss, in nats, made before it began; None without one."""
    forecast: Forecast | None = None
    """What was forecast before it began; None where nobody did."""
    memory: float | None = None
    """The most bytes that its training took, beyond those in use before; None where nobody can tell."""
    is_over: bool = False
    judgment: str = ""
    """What a judge said of the last sample that was written while it trained; empty without a judge, and where there
    are too few sentences to judge."""

    @property
    def label(self) -> str:
        """What it is called in the tray and in the chart."""
        return f"run {self.number}"

    @property
    def began(self) -> Recipe:
        """The settings with which it began; what was moved on the way is in ``changes``."""
        return self.recipe

    @property
    def rate_varies(self) -> bool:
        """Whether a schedule moves its learning rate, so that ``max_lr`` is the highest of many."""
        return rate_varies(self.recipe)

    def score_words(self) -> str:
        """How the forecast and the learner's guess came out, in words; empty while it goes on, and without both."""
        if not self.is_over or not self.records:
            return ""
        parts, share = list[str](), len(self.records) / self.recipe.train.max_steps
        if self.forecast is not None:
            steps = "" if self.is_complete else f" for {len(self.records):,} steps"
            parts.append(_scored(f"Time{steps}", self.forecast.seconds * share, self.records[-1].seconds, in_seconds))
            if self.memory is not None:
                parts.append(_scored("Memory", self.forecast.memory, self.memory, in_bytes, TOO_LITTLE))
        if self.guess is not None and self.val_loss is not None:
            ended = "it ended at" if self.is_complete else "it was stopped at"
            parts.append(f"Validation loss: you guessed {rounded(self.guess)}, {ended} {rounded(self.val_loss)}")
        return "".join(f"{part}. " for part in parts).strip()

    @property
    def model(self) -> nn.Module:
        return self.trainer.model

    @property
    def tokenizer(self) -> Tokenizer:
        assert self.trainer.tokenizer is not None
        return self.trainer.tokenizer

    @property
    def is_complete(self) -> bool:
        """Whether all its steps were taken."""
        return self.trainer.step >= self.recipe.train.max_steps

    @property
    def val_loss(self) -> float | None:
        """The last validation loss, in nats per token; None where none was measured."""
        return next((r.val_loss for r in reversed(self.records) if r.val_loss is not None), None)

    @property
    def bits_per_byte(self) -> float | None:
        """`val_loss` in bits per byte, as which losses by different tokenizers can be compared."""
        return None if self.val_loss is None else bits_per_byte(self.val_loss, 1, val_bytes_per_token(self.trainer))

    def in_bits(self) -> str:
        """`bits_per_byte` in words, for tokens that are longer than a letter; else, and without it, empty."""
        if self.bits_per_byte is None or self.tokenizer.kind in ("char", "byte"):
            return ""
        return f" ({rounded(self.bits_per_byte)} bits per byte)"

    def command(self) -> str:
        """The command line that repeats this run; a comment after it says what it cannot repeat."""
        moved = "; ".join(f"{c.name} moved from {c.before:g} to {c.value:g} before step {c.step}" for c in self.changes)
        return command_for(self.recipe) + (f"  # not the whole story: {moved}" if moved else "")

    def sample(self, length: int = 200, start: str | None = None, temperature: float = 1.0, seed: int = 0) -> str:
        """What the model writes after ``start``: ``length`` tokens as text, ``start`` left out.

        Args:
            start: a text or ``FILE:path``, as for ``course sample``; None takes what a text of this kind begins with.

        Raises:
            CourseError: where ``start`` holds what the tokenizer does not know.
        """
        start = find_corpus(self.recipe.data.dataset).start if start is None else read_start(start)
        prompt = torch.tensor([encode_start(self.tokenizer, start)], dtype=torch.long)  # (1, T)
        ids = generate(self.model, prompt, length, temperature=temperature, seed=seed)
        return self.tokenizer.decode(ids[0, prompt.shape[1] :].tolist())

    def status(self) -> str:
        """How far it is and how it goes, in one line."""
        if not self.records:
            return f"step 0 of {self.trainer.config.max_steps}"
        last = self.records[-1]
        parts = [f"step {last.step + 1} of {self.trainer.config.max_steps}"]
        if last.train_loss is not None:
            parts.append(f"training {rounded(last.train_loss)}")
        if self.val_loss is not None:
            parts.append(f"validation {rounded(self.val_loss)}{self.in_bits()}")
        peak = f" (peak {self.trainer.config.max_lr:g})" if self.rate_varies else ""
        parts.append(f"learning rate {last.lr:.3g}{peak}")
        if last.seconds:
            parts.append(f"{last.tokens / last.seconds:,.0f} {self.unit} per second")
        if self.changes:
            parts.append("settings moved on the way")
        return ", ".join(parts)

    def __repr__(self) -> str:
        loss = "" if self.val_loss is None else f", validation loss {rounded(self.val_loss)}"
        return f"Trial({len(self.records)} of {self.trainer.config.max_steps} steps{loss}; {self.command()})"
