"""What a run in the lab leaves behind."""

from dataclasses import dataclass, field

import torch
from torch import nn

from course_lib.plots import rounded
from course_lib.recipes import Recipe, load_recipe, names
from course_lib.sampling import generate
from course_lib.tokenizers import Tokenizer
from course_lib.training import StepRecord, Trainer


def command_for(recipe: Recipe) -> str:
    """The command line that repeats a run: the recipe's name, and what differs from it.

    A recipe that does not come with the course is named as a file, ``NAME.toml``.
    """
    bundled = recipe.name in names()
    usual = load_recipe(recipe.name).all_settings() if bundled else recipe.all_settings()
    words = ["course train", recipe.name if bundled else f"{recipe.name}.toml"]
    for name, value in recipe.all_settings().items():
        if value != usual[name]:
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


@dataclass(repr=False)
class LabRun:
    """One run: the settings it had, the trainer, and what each step did."""

    recipe: Recipe
    trainer: Trainer
    records: list[StepRecord] = field(default_factory=list)

    @property
    def model(self) -> nn.Module:
        return self.trainer.model

    @property
    def tokenizer(self) -> Tokenizer:
        assert self.trainer.tokenizer is not None
        return self.trainer.tokenizer

    @property
    def val_loss(self) -> float | None:
        """The last validation loss, in nats per token; None where none was measured."""
        return next((r.val_loss for r in reversed(self.records) if r.val_loss is not None), None)

    def command(self) -> str:
        """The command line that repeats this run."""
        return command_for(self.recipe)

    def sample(self, length: int = 200, start: str = "\n", temperature: float = 1.0, seed: int = 0) -> str:
        """What the model writes after ``start``: ``length`` tokens as text, ``start`` left out.

        Raises:
            CourseError: where ``start`` is empty or holds what the tokenizer does not know.
        """
        prompt = torch.tensor([self.tokenizer.encode(start)], dtype=torch.long)  # (1, T)
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
            parts.append(f"validation {rounded(self.val_loss)}")
        if last.seconds:
            parts.append(f"{last.tokens / last.seconds:,.0f} tokens per second")
        return ", ".join(parts)

    def __repr__(self) -> str:
        loss = "" if self.val_loss is None else f", validation loss {rounded(self.val_loss)}"
        return f"LabRun({len(self.records)} of {self.trainer.config.max_steps} steps{loss}; {self.command()})"
