"""`Sweep`: short runs at several learning rates or block sizes, one after another, and the valley of their losses."""

import html
import math
import threading
from collections.abc import Sequence
from typing import Any

import ipywidgets
import torch
from IPython.display import HTML, display

from course_lib import plots
from course_lib.data import prepared_for
from course_lib.errors import CourseError
from course_lib.lab import at_work
from course_lib.lab.driver import let_helpers_go, training_thread
from course_lib.lab.forecast import Forecaster, about_seconds
from course_lib.lab.front_end import hears_threads
from course_lib.lab.neighbors import stopped_for, this_cell, waiting
from course_lib.lab.sweep_runs import SweepRuns
from course_lib.lab.sweep_view import NAMES, SweepChart, lessons, lessons_html, picture, seen
from course_lib.recipes import Recipe, load_recipe
from course_lib.recipes.sweeping import (
    FACTORS,
    SHARE,
    Valley,
    checked_values,
    fitting_record,
    recorded_points,
    shortened,
    values_of,
    with_value,
)
from course_lib.widgets.page import Pictured

OFFERED = {"learning rate": "max_lr", "block_size": "block_size"}
GUESS = "Before you run it: where will the loss be lowest, and what happens at the highest value?"


class Sweep(Pictured):
    """Trains a recipe at several values of one setting, at a tenth of its length, and draws loss against the value.

    >>> sweep = Sweep("tinytales_cpu")   # doctest: +SKIP
    >>> sweep                            # buttons; until Run is pressed, what was recorded
    >>> valley = sweep.run()             # or in a cell, for those who prefer one, and where widgets hear no thread
    >>> sweep.recipe                     # the recipe with the value that came out best

    All runs have the recipe's seed, so the same sweep gives the same losses. They train one after another in a thread;
    a lab that trains in this notebook is stopped first, and a lab that starts stops the sweep. What is over is kept.

    Args:
        recipe: a recipe's name, or a `Recipe`.
        setting: ``max_lr`` or ``block_size``; the buttons offer both.
        values: what to try in place of five values around the recipe's own, for ``setting``.
        share: how long a run is, as a share of the recipe's length.
        live: whether widgets hear of a training that goes on; None finds out, see `course_lib.lab.front_end`.

    Raises:
        CourseError: for a recipe or a setting that is not there, a text that cannot be had, a value the recipe cannot
            have.
    """

    def __init__(
        self,
        recipe: str | Recipe,
        setting: str = "max_lr",
        values: Sequence[float] | None = None,
        share: float = SHARE,
        live: bool | None = None,
    ) -> None:
        self._start = load_recipe(recipe) if isinstance(recipe, str) else recipe
        self.place = this_cell(Sweep)
        stopped_for(self)  # where its cell is run again: no sweep goes on unseen
        if not 0 < share <= 1:
            raise CourseError(f"share should be above 0 and at most 1, such as 0.1 for a tenth; it is {share!r}.")
        self._short = shortened(self._start, share)
        prepared = prepared_for(self._start.data)
        self._nothing = math.log(prepared.tokenizer.vocab_size)
        counts = prepared.manifest["counts"]
        longest = min(counts.values()) - 1
        with waiting(at_work.workers(object)):  # or the forecast would be that of a machine that does something else
            self._forecaster = Forecaster(self._short, prepared.tokenizer.vocab_size, counts["val"])
        self._values = {name: values_of(self._start, name, longest) for name in FACTORS}
        if setting not in FACTORS or values is not None:
            self._values[setting] = checked_values(self._start, setting, values)
        self._runs: dict[str, SweepRuns] = {}
        self._record = fitting_record(self._start, self._short)
        self._torch_threads, self._in_cell = torch.get_num_threads(), False
        self.thread: threading.Thread | None = None
        """The thread of the last sweep in the background."""
        self._is_going = False
        self.error: BaseException | None = None
        """What ended the last sweep in the background before its time."""
        self._drawing = threading.RLock()
        self.is_live = hears_threads() if live is None else live
        self._build_widget(setting)
        self._redraw()
        at_work.register(self)

    def _build_widget(self, setting: str) -> None:
        self.chart, self.words = SweepChart(), ipywidgets.HTML()
        self.setting_buttons = ipywidgets.ToggleButtons(
            options=list(OFFERED.items()), value=setting, tooltips=["Try learning rates", "Try block sizes"]
        )
        self.setting_buttons.style.button_width = "auto"
        self.run_button = ipywidgets.Button(icon="play", button_style="primary", layout={"width": "auto"})
        self.stop_button = ipywidgets.Button(description="Stop", icon="stop", tooltip="End the sweep, keep its points")
        self.stop_button.layout.width = "auto"
        controls = {"setting": self.setting_buttons, "run": self.run_button, "stop": self.stop_button}
        for name, control in controls.items():
            control.add_class(f"course-lab-sweep-{name}")
        self.setting_buttons.observe(lambda change: self._redraw(), names="value")
        self.run_button.on_click(lambda _: self.start())
        self.stop_button.on_click(lambda _: self.stop())
        row = ipywidgets.Box(list(controls.values()), layout={"flex_flow": "row wrap", "grid_gap": "4px 8px"})
        parts = [row, self.chart, self.words] if self.is_live else [self.chart, self.words]
        self.widget = ipywidgets.VBox(parts, layout={"overflow": "hidden"})
        self.widget.add_class("course-lab-sweep")

    # ---- what came out -----------------------------------------------------------------------------------

    @property
    def setting(self) -> str:
        """What is swept: ``max_lr`` or ``block_size``."""
        return self.setting_buttons.value

    @property
    def valley(self) -> Valley:
        """The points so far: those of this sweep or, before it has any, the recorded ones."""
        if self._is_record:
            return self._recorded_valley(self.setting)
        points = self._runs[self.setting].points if self.setting in self._runs else []
        return Valley(self.setting, tuple(points), self._nothing)

    @property
    def recipe(self) -> Recipe:
        """The recipe, whole, with the value that came out best (of equal rates, the lowest); as it was without one."""
        chosen = self.valley.chosen
        return self._start if chosen is None else with_value(self._start, self.setting, chosen.value)

    def recorded(self, setting: str | None = None) -> plots.Picture:
        """The recorded sweep of this recipe as a picture, for those who will not wait.

        Raises:
            CourseError: where none of this recipe and length was recorded.
        """
        if self._record is None:
            raise CourseError(
                f"No sweep of {self._start.name} with these settings and this length was recorded. Run it: "
                "sweep.run(); the course's own record is made by: course record lab_sweep"
            )
        valley = self._recorded_valley(setting or self.setting)
        values = [point.value for point in valley.points]
        return picture(seen(valley, values, self._short.train.max_steps, self._heading(True), ""))

    def _recorded_valley(self, setting: str) -> Valley:
        assert self._record is not None
        return Valley(setting, tuple(recorded_points(self._record, setting)), self._nothing)

    # ---- in the background: each of these returns at once --------------------------------------------------

    @property
    def is_training(self) -> bool:
        """Whether this sweep goes on, in the background or in a cell."""
        return self._in_cell or self._is_going

    def start(self) -> None:
        """Train at the values one after another, in the background; nothing happens while a sweep goes on."""
        if self.is_training:
            return
        if threading.current_thread() is threading.main_thread():
            self._torch_threads = torch.get_num_threads()
        before, runs = at_work.stop_all(at_work.BY_SWEEP), self._begin()
        let_helpers_go()
        self._is_going = True
        self.thread = training_thread(lambda: self._run_quietly(runs, before), self._torch_threads)
        self.thread.start()

    def stop(self, why: str = "") -> None:
        """End the sweep after the batch at hand; the points so far are kept. Without one, nothing happens.

        Args:
            why: what the status says of it afterwards.
        """
        for runs in list(self._runs.values()):
            runs.stop(why)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the sweep in the background is over; False where ``seconds`` were not enough."""
        thread = self.thread
        if thread is not None and thread.is_alive():
            thread.join(seconds)
            return not thread.is_alive()
        return True

    def _run_quietly(self, runs: SweepRuns, before: list[threading.Thread]) -> None:
        """Nobody sees an error that a thread raises: it is kept, and the status says it."""
        try:
            self._redraw()
            for thread in before:
                thread.join()
            runs.go(self._redraw, self._redraw)
        except BaseException as error:
            self.error, runs.state = error, f"ended by an error: {error}"
        finally:
            self._is_going = False  # before the last picture: it shows the buttons as they are now
            self._redraw()

    # ---- in a cell -----------------------------------------------------------------------------------------

    def run(self) -> Valley:
        """Train at the values one after another in this cell, and draw the valley as it comes.

        The stop button of the notebook ends it, and keeps the points so far.

        Raises:
            CourseError: while this sweep goes on in the background; for a recipe that cannot be trained.
        """
        if self.is_training:
            raise CourseError("This sweep is going on. Press Stop, or call sweep.stop(), and try again.")
        for thread in at_work.stop_all(at_work.BY_SWEEP):
            thread.join()
        runs, self._in_cell = self._begin(), True
        try:
            if self.is_live:
                self._redraw()
                display(ipywidgets.VBox([self.chart, self.words]))
                runs.go(self._redraw, self._redraw)
            else:
                self._paint(runs)
        finally:
            self._in_cell = False
            self._redraw()
        return self.valley

    def _paint(self, runs: SweepRuns) -> None:
        """The sweep as a picture that is painted anew at each point, and a line that tells what goes on."""
        places: list[Any] = [display(thing, display_id=True) for thing in (self.picture(), self._status_html(runs))]

        def tell() -> None:
            places[1].update(self._status_html(runs))

        runs.go(tell, lambda: places[0].update(self.picture()))
        self._in_cell = False
        places[0].update(self.picture())
        tell()

    def _status_html(self, runs: SweepRuns) -> HTML:
        words = "" if self._in_cell else lessons_html(self.valley)
        return HTML(f"<div style='font: 13px sans-serif'>{html.escape(runs.state)}</div>{words}")

    def _begin(self) -> SweepRuns:
        self.error = None
        self._runs[self.setting] = self._new_runs()
        return self._runs[self.setting]

    def _new_runs(self) -> SweepRuns:
        setting = self.setting
        return SweepRuns(self._short, setting, self._values[setting], NAMES[setting], self._forecaster)

    # ---- what there is to see ------------------------------------------------------------------------------

    @property
    def _is_record(self) -> bool:
        """Whether the recorded sweep is shown: until the learner's own has a point, or goes on."""
        own = self._runs.get(self.setting)
        return self._record is not None and not self.is_training and not (own and own.points)

    def _heading(self, is_record: bool) -> str:
        what = f"{self._start.name}, {self._short.train.max_steps} steps"
        if not is_record or self._record is None:
            return f"{what}, seed {self._short.train.seed}"
        count = len(self._record.content["details"]["seeds"])
        seeds = f"mean of {count} seeds" if count > 1 else "1 seed"
        return f"Recorded {self._record.content['date']}: {what}, {seeds}"

    def _seen(self) -> dict[str, Any]:
        valley, own, is_record = self.valley, self._runs.get(self.setting), self._is_record
        values = self._values[self.setting]
        status = own.state if own else f"{GUESS} It takes {self._takes()} on this machine."
        if is_record and self._record is not None:
            values = [point.value for point in valley.points]
            where = self._record.content["machine"]["processor"]
            status = f"On {where}. Run it yourself with the button above: {self._takes()} on this machine."
        return seen(valley, values, self._short.train.max_steps, self._heading(is_record), status, not self.is_training)

    def _takes(self) -> str:
        """How long a press of the button takes."""
        return about_seconds(self._new_runs().seconds())

    def _redraw(self) -> None:
        """Bring the widget up to date; any thread may call it."""
        with self._drawing:
            count, name, going = len(self._values[self.setting]), NAMES[self.setting], self.is_training
            self.run_button.description = f"Run {count} short runs"
            self.run_button.tooltip = f"Train at {count} values of {name}, {self._short.train.max_steps} steps each"
            self.run_button.disabled = self.setting_buttons.disabled = going
            self.stop_button.disabled = not going or self._in_cell  # a busy kernel hears no button
            self.chart.data = self._seen()
            self.words.value = "" if going else lessons_html(self.valley)

    def picture(self) -> plots.Picture:
        """What there is to see now as a still picture, for a page without a kernel."""
        return picture(self._seen())

    def __repr__(self) -> str:
        return f"Sweep({self._start.name!r}, {self.setting!r}): " + (" ".join(lessons(self.valley)) or "not run yet.")
