"""The runs of a sweep: one after another, each driven as a lab's run is, until they are done or somebody stops them."""

import threading
import time
from collections.abc import Callable, Sequence

from course_lib.lab.driver import Driver, heeding_signals
from course_lib.lab.forecast import Forecaster, about_seconds
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer
from course_lib.recipes.sweeping import Point, with_value
from course_lib.training import StepRecord
from course_lib.training.scoring import Diverged

BUILDING = 0.2
"""Seconds, about, to build a trainer and its model."""


class SweepRuns:
    """Runs of one recipe with one setting at several values; ``points`` holds what is over.

    Args:
        recipe: as short as the runs are to be.
        setting: what differs.
        values: the values, in the order in which they are run.
        name: what the setting is called in words.
        forecaster: tells how long each run takes, at first.
    """

    def __init__(
        self, recipe: Recipe, setting: str, values: Sequence[float], name: str, forecaster: Forecaster
    ) -> None:  # fmt: skip
        self._recipe, self._setting, self._values, self._name = recipe, setting, values, name
        self._forecaster, self._ended, self._begun = forecaster, 0.0, 0.0
        to_come = [with_value(recipe, setting, value) for value in values]
        self._forecasts = [BUILDING + forecaster.seconds(recipe) for recipe in to_come]
        self.points: list[Point] = []
        self.state = "preparing"
        """What goes on, in words."""
        self._stopping, self._why = threading.Event(), ""
        self._driver: Driver | None = None
        self._told = ""

    def stop(self, why: str = "") -> None:
        """End it after the batch at hand, from any thread; the points so far stay. ``why`` is told, if it is given."""
        self._why = why
        self._stopping.set()
        driver = self._driver
        if driver is not None:
            driver.stop()

    def go(self, watch: Callable[[], None], drawn: Callable[[], None]) -> None:
        """Train in the calling thread until all is done, or stopped.

        Args:
            watch: called a few times a second, when ``state`` is new.
            drawn: called when there is a new point.

        Raises:
            CourseError: for a recipe that cannot be trained. A run that diverges is a point like others.
        """
        begun = self._begun = self._ended = time.monotonic()
        for number, value in enumerate(self._values, 1):
            self._told = f"run {number} of {len(self._values)}: {self._name} {value:g}"
            chosen = with_value(self._recipe, self._setting, value)
            found = self._train(chosen, watch)
            if found is None:
                break
            self.points.append(Point.of(self._setting, value, chosen, [found]))
            self._ended = time.monotonic()
            drawn()
        done, count = len(self.points), len(self._values)
        took = f"{time.monotonic() - begun:.0f} s"
        stopped = ". ".join(filter(None, [f"stopped: {done} of {count} runs are kept", self._why]))
        self.state = f"finished after {took}" if done == count else stopped

    def _train(self, recipe: Recipe, watch: Callable[[], None]) -> tuple[float | None, int] | None:
        """One run: its validation loss, None where it diverged, and its steps. None where it was stopped."""
        records: list[StepRecord] = []
        trainer = build_trainer(recipe)

        def tell() -> None:
            self.state = f"{self._told}, step {len(records)} of {recipe.train.max_steps}"
            if len(records) >= 5:
                self.state += f", {about_seconds(self._seconds_left(recipe, records))} left for all of them"
            watch()

        self._driver = driver = Driver(records, tell)
        if self._stopping.is_set():  # it came before there was a driver to tell
            driver.stop()
        try:
            with heeding_signals(self):  # type: ignore[arg-type]  # its stop is all that is asked of it
                driver.drive(trainer)
        except Diverged:
            return None, len(records)
        finally:
            self._driver = None
        is_whole = len(records) == recipe.train.max_steps and records[-1].val_loss is not None
        return (records[-1].val_loss, len(records)) if is_whole else None

    def seconds(self, done: int = 0) -> float:
        """How long the runs after the first ``done`` ones take, by the forecast: building, steps and scoring."""
        return sum(self._forecasts[done:])

    def _seconds_left(self, recipe: Recipe, records: Sequence[StepRecord]) -> float:
        """The forecast of what is left, times how much longer than forecast things have taken so far.

        So it counts what no step shows: that each run is built, and scored in the end, which may take longer than all
        its steps.
        """
        done = len(self.points)
        if done:  # whole runs are the best measure of whole runs
            pace = (self._ended - self._begun) / (self.seconds() - self.seconds(done))
        else:
            pace = records[-1].seconds / self._forecaster.for_steps(recipe, len(records))
        rest = pace * (self._forecasts[done] - BUILDING - self._forecaster.for_steps(recipe, len(records)))
        return max(0.0, rest) + pace * self.seconds(done + 1)
