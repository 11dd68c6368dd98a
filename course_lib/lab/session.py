"""One run of a lab, from the press of a button to its end: build, drive, let it write, keep what is left."""

import time
from collections.abc import Callable

from course_lib.corpora import Grade
from course_lib.data.datasets import Corpus
from course_lib.lab.driver import UPDATE_SECONDS, Driver, heeding_signals
from course_lib.lab.run import Trial
from course_lib.lab.sample import SampleWriter
from course_lib.lab.sample_view import in_words
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.training import StepRecord

MOVABLE = ("max_lr", "dropout")
"""Settings that can be moved while a run goes on."""
FIRST_SAMPLE = 1 / 25
"""The share of a run after which its first sample, which is only noise, is given up."""


class Session:
    """A run and what belongs to it while it goes on. ``driver`` takes orders from any thread.

    Args:
        recipe: how to train.
        corpus: where samples begin, and who judges them.
        watch: called a few times a second, and when something has changed.
        number: which run of its lab it is.
    """

    def __init__(self, recipe: Recipe, corpus: Corpus, watch: Callable[[], None], number: int) -> None:
        settings = recipe.all_settings()
        self.recipe, self.number, self.max_steps = recipe, number, recipe.train.max_steps
        self._corpus, self._watch = corpus, watch
        self.run: Trial | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self._records: list[StepRecord] = []
        self._writer: SampleWriter | None = None
        self._graded: tuple[str, Grade | None] = ("", None)
        self.driver = Driver(self._records, watch, self._write, {name: settings[name] for name in MOVABLE})

    def go(self, keep: Callable[[Trial], None]) -> None:
        """Train in the calling thread until it is over.

        Args:
            keep: gets the run as soon as there is one, before its first step.

        Raises:
            Whatever ends the training before its time; it is also kept as ``error``.
        """
        try:
            trainer = build_trainer(self.recipe)
            self.run = Trial(self.recipe, trainer, self._records, self.driver.changes, number=self.number)
            keep(self.run)
            oldest = max(1, round(self.max_steps * FIRST_SAMPLE))
            self._writer = SampleWriter(trainer.model, self.run.tokenizer, self._corpus.start, oldest=oldest)
            self._writer.begin(trainer.step)
            with heeding_signals(self.driver, trainer):
                self.driver.drive(trainer)
                self._write_the_last_sample(trainer.step)
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            self._end()

    def fail(self, error: BaseException) -> None:
        """Remember what ended the run."""
        self.error, self.is_over = error, True
        if self.run is not None:
            self.run.error = error

    # ---- how things stand ----------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """preparing, running, paused, or idle when it is over: what the buttons go by."""
        if self.is_over:
            return "idle"
        return {"ready": "preparing", "over": "running"}.get(self.driver.state, self.driver.state)

    @property
    def state_in_words(self) -> str:
        if self.error is not None:
            return "ended by an error"
        if self.is_over:
            return "finished" if self.run is not None and self.run.is_complete else "stopped"
        if self.driver.is_stopping:
            return "stopping"
        words = {"ready": "preparing", "running": "training", "paused": "paused", "over": "writing a last sample"}
        return words[self.driver.state]

    @property
    def status(self) -> str:
        """The numbers, or what went wrong."""
        words = self.run.status() if self.run is not None else ""
        if self.error is None:
            return words
        error = str(self.error) if isinstance(self.error, Exception) and str(self.error) else repr(self.error)
        return ". ".join(filter(None, [words, error]))

    def seconds_left(self) -> float | None:
        """How long the rest takes at the speed so far; None where that says nothing yet."""
        if self.run is None or len(self._records) < 5 or self.state != "running":
            return None
        return self._records[-1].seconds / len(self._records) * (self.max_steps - len(self._records))

    # ---- the sample ----------------------------------------------------------------------------------

    def sample(self) -> tuple[str, Grade | None, str, bool]:
        """The sample so far, what its judge says, whose it is, and whether it still grows."""
        if self._writer is None or self._writer.step is None:
            return "", None, "", False
        text, step = self._writer.text, self._writer.step
        if self._corpus.grade is not None and self._graded[0] != text:
            self._graded = (text, self._corpus.grade(text))
        steps = "before training" if step == 0 else f"after {step:,} step{'s' if step > 1 else ''}"
        growing = not self._writer.is_whole and not self.is_over
        return text, self._graded[1], f"What the model writes {steps}", growing

    def _write(self) -> bool:
        """A token for the sample, in between the steps."""
        return self._writer is not None and self._writer.write(len(self._records))

    def _write_the_last_sample(self, step: int) -> None:
        """What the trained model writes; someone who pressed Stop does not want to wait for it."""
        assert self._writer is not None
        if self.driver.is_stopping:
            return
        told = time.monotonic()

        def between_tokens() -> bool:
            nonlocal told
            if time.monotonic() - told >= UPDATE_SECONDS:
                self._watch()
                told = time.monotonic()
            return self.driver.is_stopping

        self._writer.finish(step, between_tokens)

    def _end(self) -> None:
        self.is_over = True
        if self.run is not None:
            self.run.seconds = self.driver.seconds
            grade = self.sample()[1]
            if self._writer is not None and grade is not None and self._writer.step == self.run.trainer.step:
                self.run.judgment = in_words(grade)
        self._watch()
