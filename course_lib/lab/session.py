"""One run of a lab, from the press of a button to its end: build, drive, let it write, keep what is left."""

import contextlib
import time
from collections.abc import Callable
from typing import ClassVar

from course_lib.corpora import Grade
from course_lib.data.datasets import Corpus
from course_lib.errors import CourseError
from course_lib.lab.driver import UPDATE_SECONDS, Driver, heeding_signals
from course_lib.lab.forecast import Forecast
from course_lib.lab.memory import measured_peak
from course_lib.lab.moments import Moments
from course_lib.lab.run import Trial
from course_lib.lab.sample import LENGTH, SHORT_LENGTH, Sample, SampleWriter, Writer
from course_lib.lab.sample_view import in_words, tells
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.training import StepRecord, Trainer

MOVABLE = ("max_lr", "dropout")
"""Settings that can be moved while a run goes on."""
STOP_SECONDS = 0.15
"""What the sample may take that follows a stop: someone who presses Stop does not want to wait."""


class Session:
    """A run and what belongs to it while it goes on. ``driver`` takes orders from any thread.

    Args:
        recipe: how to train.
        corpus: where samples begin, and who judges them; None where samples are no texts.
        watch: called a few times a second, and when something has changed.
        number: which run of its lab it is.
        forecast: what was forecast of it; None where nobody did.
        guess: the learner's guess of its last validation loss.
    """

    def __init__(
        self, recipe: Recipe, corpus: Corpus | None, watch: Callable[[], None], number: int,
        forecast: Forecast | None = None, guess: float | None = None,
    ) -> None:  # fmt: skip
        settings = recipe.all_settings()
        self.recipe, self.number, self.max_steps = recipe, number, recipe.train.max_steps
        self._corpus, self._watch = corpus, watch
        self._grade = corpus.grade if corpus is not None else None
        self.run: Trial | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self._records: list[StepRecord] = []
        self._writer: Writer | None = None
        self._forecast, self._guess = forecast, guess
        self._moments = Moments(self.max_steps, forecast.seconds if forecast else None)
        self._is_growing, self._why = False, ""
        self.driver = Driver(self._records, watch, self._write, {name: settings[name] for name in MOVABLE})

    def go(self, keep: Callable[[Trial], None]) -> None:
        """Train in the calling thread until it is over.

        Args:
            keep: gets the run as soon as there is one, before its first step.

        Raises:
            Whatever ends the training before its time; it is also kept as ``error``.
        """
        try:
            trainer = self._build()
            self.run = self.kind_of_run(
                self.recipe, trainer, self._records, self.driver.changes, number=self.number, forecast=self._forecast,
                guess=self._guess,
            )  # fmt: skip
            keep(self.run)
            self._writer = self._new_writer(self.run)
            with heeding_signals(self.driver), measured_peak(trainer.compute.device) as peak:
                self.driver.drive(trainer)
                self.run.memory = peak()
                self._write_the_last_sample(trainer.step)
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            self._end()

    kind_of_run: ClassVar[type[Trial]] = Trial

    def _build(self) -> Trainer:
        return build_trainer(self.recipe)

    def _new_writer(self, run: Trial) -> Writer:
        assert self._corpus is not None
        return SampleWriter(run.model, run.tokenizer, self._corpus.start, self._grade)

    def fail(self, error: BaseException) -> None:
        """Remember what ended the run."""
        self.error, self.is_over = error, True
        if self.run is not None:
            self.run.error, self.run.is_over = error, True

    def stop(self, why: str = "") -> None:
        """End the run; ``why`` is told in the status."""
        if not self.is_over and why:
            self._why = why
        self.driver.stop()

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
            return "ended by an error" if self.run is not None else "not started"
        if self.is_over:
            return "finished" if self.run is not None and self.run.is_complete else "stopped"
        if self.driver.is_stopping:
            return "stopping"
        words = {"ready": "preparing", "running": "training", "paused": "paused", "over": "writing a last sample"}
        return words[self.driver.state]

    @property
    def status(self) -> str:
        """The numbers, or what went wrong."""
        words = ". ".join(filter(None, [self.run.status() if self.run is not None else "", self._why]))
        if self.error is None:
            return words
        error = str(self.error) if isinstance(self.error, Exception) and str(self.error) else repr(self.error)
        return ". ".join(filter(None, [words, error]))

    def seconds_left(self) -> float | None:
        """How long the rest takes at the speed so far; None where that says nothing yet."""
        if self.run is None or len(self._records) < 5 or self.state != "running":
            return None
        return self._records[-1].seconds / len(self._records) * (self.max_steps - len(self._records))

    # ---- the samples ---------------------------------------------------------------------------------

    def sample(self) -> tuple[str, Grade | None, str, bool]:
        """The newest sample so far, what its judge says, whose it is, and whether it still grows."""
        if self.run is None or self._writer is None or not (self._is_growing or self.run.samples):
            return "", None, "", False
        if self._is_growing:
            text, step = self._writer.text, self.run.trainer.step
            grade = self._grade(text) if self._grade is not None else None
        else:
            text, step, grade = (newest := self.run.samples[-1]).text, newest.step, newest.grade
        steps = "before training" if step == 0 else f"after {step:,} step{'s' if step > 1 else ''}"
        return text, grade, f"What the model writes {steps}", self._is_growing

    def _write(self, step: int, trained: float) -> None:
        """A whole sample, where the run has come to one of its moments; a stop or the clock may prevent it."""
        writer, moments = self._writer, self._moments
        if writer is None or not moments.is_due(step):
            return
        seconds = moments.allowance(step, trained)
        if not writer.fits(seconds):
            return
        start = time.perf_counter()
        with contextlib.suppress(CourseError):  # of a model that has diverged the trainer tells
            self._keep(writer.write(step, SHORT_LENGTH, seconds, lambda: self.driver.is_stopping))
        moments.spend(time.perf_counter() - start)

    def _keep(self, sample: Sample | None) -> None:
        """A later sample by the same model takes the place of a shorter one."""
        assert self.run is not None
        samples = self.run.samples
        if sample is None:
            return
        if samples and samples[-1].step == sample.step:
            if len(sample.text) <= len(samples[-1].text):
                return
            samples.pop()
        samples.append(sample)

    def _write_the_last_sample(self, step: int) -> None:
        """What the trained model writes: a long sample, or after a stop, a short one."""
        assert self._writer is not None
        assert self.run is not None
        if self.driver.is_stopping:
            if self.run.samples and self.run.samples[-1].step == step:
                return
            self._keep(self._writer.write(step, SHORT_LENGTH, STOP_SECONDS))
            return
        told = time.monotonic()

        def between_tokens() -> bool:
            nonlocal told
            self._is_growing = True
            if time.monotonic() - told >= UPDATE_SECONDS:
                self._watch()
                told = time.monotonic()
            return self.driver.is_stopping

        try:
            whole = self._writer.write(step, LENGTH, stopped=between_tokens)
        finally:
            self._is_growing = False
        grade = self._grade
        self._keep(whole or Sample(step, text := self._writer.text, grade(text) if grade is not None else None))

    def _end(self) -> None:
        if self.run is not None:
            self.run.seconds = self.driver.seconds
            newest = self.run.samples[-1] if self.run.samples else None
            if newest is not None and newest.grade is not None and newest.step == self.run.trainer.step:
                self.run.judgment = in_words(newest.grade) if tells(newest.grade) else ""
            self.run.is_over = True
        self.is_over = True
        self._watch()
