"""`Lab`: a recipe with sliders, buttons that train in the background, and a cell that trains with their values."""

import math
import threading
import weakref
from collections.abc import Callable
from typing import ClassVar

import ipywidgets
import torch

from course_lib.errors import CourseError
from course_lib.lab import at_work
from course_lib.lab.driver import heeding_signals, let_helpers_go, training_thread
from course_lib.lab.fitting import too_large
from course_lib.lab.forecast import Forecaster
from course_lib.lab.front_end import hears_threads
from course_lib.lab.neighbors import IS_REPLACED, stopped_for, taken_over, this_cell, waiting
from course_lib.lab.of_text import OfText
from course_lib.lab.panel import Panel
from course_lib.lab.readout import BUSY, GOING_ON, IN_A_CELL, NOT_LIVE, note
from course_lib.lab.run import Trial, command_for
from course_lib.lab.scene import curve_of, lines_of_all, scene_of
from course_lib.lab.session import MOVABLE, Session
from course_lib.lab.sweep import Sweep
from course_lib.lab.telling import heeding, in_one_line
from course_lib.lab.view import LiveView, StillView
from course_lib.recipes import Recipe, load_recipe
from course_lib.widgets.style import run_style


class Lab(OfText):
    """Sliders, Start, Pause, Step and Stop, a live curve, a growing sample, and a tray of finished runs.

    >>> lab = Lab("tinytales_cpu")   # doctest: +SKIP
    >>> lab                          # the lab, as the last line of a cell
    >>> run = lab.train()            # or in a cell: trains with the sliders' values, and draws while it does

    Start trains in a thread, so that the notebook stays free; `train` lets its cell wait. Either way a
    plain `Trainer` does the work. ``runs`` holds every run, in the order in which they began.

    torch has one row of random numbers for all threads. A cell that draws before a run, after it, or while it pauses
    draws what it would draw without it. A cell that draws while a step is under way gets the step's numbers, a seed
    that it sets is gone when the step ends, and the run loses the numbers that the cell took. So press Pause first, or
    draw from a generator of the cell's own: ``torch.rand(3, generator=torch.Generator().manual_seed(0))``.

    Args:
        recipe: a recipe's name, or a `Recipe`.
        live: whether widgets hear of a training that goes on. They do in JupyterLab, not on Colab, where
            the lab has no buttons and `train` paints pictures; None finds out.

    Raises:
        CourseError: for a recipe that is not there, or a text that cannot be had.
    """

    _all: ClassVar["weakref.WeakSet[Lab]"] = weakref.WeakSet()

    def __init__(self, recipe: str | Recipe, live: bool | None = None) -> None:
        self._start = load_recipe(recipe) if isinstance(recipe, str) else recipe
        self.place = this_cell(type(self))
        replaced = stopped_for(self)  # at once: whatever fails below, no run goes on unseen
        counts = self._read()
        self.session: Session | None = None
        """The run that goes on, or the last one."""
        self.thread: threading.Thread | None = None
        """It trains in the background, or did."""
        self._in_cell = False
        self.is_replaced = False
        """Whether another lab has taken this one's place; it begins no run any more."""
        self._torch_threads = torch.get_num_threads()
        self.runs: list[Trial] = taken_over(replaced, self._start.data)
        self._last_number = max((run.number for run in self.runs), default=0)
        with waiting(at_work.workers(Lab)):  # or the forecast would be that of a machine that does something else
            self._forecaster = Forecaster(self._start, self._vocab_size, counts["val"])
        self.panel: Panel | None = None
        self.is_live = hears_threads() if live is None else live
        self.controls = self._new_controls(min(counts.values()) - 1)
        if self.is_live:
            pressed = {"pause": self.pause, "stop": self.stop}
            pressed |= {"start": heeding(self.start), "step": heeding(self.step)}
            self.panel = Panel(
                self.controls, pressed, self._start, self._vocab_size, self.redraw, self.remove, self._look
            )  # fmt: skip
        self.redraw()
        at_work.register(self)

    # ---- settings ------------------------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        """The recipe with the sliders' values: what `start` or `train` would train now."""
        return self.controls.recipe

    def command(self) -> str:
        """The command line that trains with the sliders' values."""
        return command_for(self.recipe)

    def describe(self, recipe: Recipe) -> str:
        """What the settings of ``recipe`` mean, the forecast, and the command that trains with them; as HTML."""
        words = self._readout(recipe, None if self.is_live else self._lines(recipe))
        if self.is_training:
            return words + note(IN_A_CELL if self._in_cell else GOING_ON)
        words += note(problem) if (problem := too_large(recipe, self._forecaster.memory)) else ""
        return words if self.is_live else words + note(NOT_LIVE)

    def _moved(self, name: str, value: float) -> None:
        """A slider was moved: the run in the background hears of it, and the lines of the chart follow."""
        if self.is_training and not self._in_cell and name in MOVABLE:
            assert self.session is not None
            if name != "dropout" or not self.session.recipe.train.compile:  # a compiled run keeps its dropout
                self.session.driver.change(**{name: value})
        self.redraw()

    # ---- a run in the background: each of these returns at once ------------------------------------------

    @property
    def is_training(self) -> bool:
        """Whether a run of this lab goes on, in the background or in a cell; a run that pauses does."""
        is_busy = self._in_cell or (self.thread is not None and self.thread.is_alive())
        return is_busy and self.session is not None and not self.session.is_over

    def start(self, steps: float = math.inf) -> None:
        """Begin a run with the sliders' values in the background; with ``steps``, it pauses after so many.

        While a run of this lab goes on, nothing happens. What else trains in this notebook is stopped, and says so:
        torch's random numbers are one row for all.

        Raises:
            CourseError: where the run does not fit in memory, and where another lab has taken this one's place.
        """
        if self.is_training:
            return
        recipe = self.recipe
        self._need_room(recipe)
        if threading.current_thread() is threading.main_thread():
            self._torch_threads = torch.get_num_threads()
        before = at_work.stop_all(at_work.BY_LAB)
        session = self._new_session(recipe, self.redraw)
        if steps < math.inf:
            session.driver.step(int(steps))
        let_helpers_go()
        self.thread = training_thread(lambda: self._train_quietly(session, before), self._torch_threads)
        self.thread.start()

    def pause(self) -> None:
        """Pause the run that goes on; or go on with it, if it pauses."""
        if self.session is not None:
            driver = self.session.driver
            driver.resume() if driver.state == "paused" else driver.pause()

    def step(self) -> None:
        """Take one step: the next one of a run that pauses, or the first one of a new run."""
        if self.is_training:
            assert self.session is not None
            self.session.driver.step()
        else:
            self.start(steps=1)

    def stop(self, why: str = "") -> None:
        """End the run that goes on, and keep what it learned. Without one, nothing happens.

        Args:
            why: what the status says of it afterwards.
        """
        if self.session is not None:
            self.session.stop(why)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the run in the background is over; False where ``seconds`` were not enough."""
        if self.thread is not None and self.thread.is_alive():
            self.thread.join(seconds)
            return not self.thread.is_alive()
        return True

    def remove(self, number: int) -> None:
        """Throw away the run of that number, if it is over."""
        going = self.session.run if self.is_training and self.session else None
        self.runs[:] = [run for run in self.runs if run.number != number or run is going]
        self.redraw()

    def _train_quietly(self, session: Session, before: list[threading.Thread]) -> None:
        """Train; the session keeps an error, and the status says it: nobody sees one that a thread raises."""
        try:
            self._refresh()
            for thread in before:
                thread.join()
            session.go(self.runs.append)
        except BaseException as error:
            session.fail(error)
        finally:
            self._keep(session)

    # ---- a run in a cell -----------------------------------------------------------------------------

    def train(self, max_steps: int | None = None) -> Trial:
        """Train with the sliders' values in this cell, and draw the loss as it comes.

        The stop button ends the run and keeps what was learned. Every call starts a new model.

        Args:
            max_steps: how many steps; None means as many as the recipe says.

        Raises:
            CourseError: where training diverges; the steps until then are kept in ``runs[-1]``. Also while
                a run of this lab goes on in the background.
        """
        if self.is_training:
            raise in_one_line(CourseError(BUSY))
        recipe = self.recipe if max_steps is None else self.recipe.replace(max_steps=max_steps)
        self._need_room(recipe)
        for thread in at_work.stop_all(at_work.BY_LAB):
            thread.join()
        session = self._new_session(recipe, lambda: self._show_in(view, session))
        scene = scene_of(session, self._lines(recipe), session.max_steps)
        view = (LiveView if self.is_live else StillView)(self._vocab_size, scene, self._look)
        view.open()
        self._in_cell = True
        with heeding_signals(session.driver):  # to the last line: a press ends the run and breaks nothing
            try:
                self._refresh()
                session.go(self.runs.append)
            except CourseError as error:
                in_one_line(error)
                raise
            finally:
                self._in_cell = False
                self._keep(session)
        run = session.run
        assert run is not None
        if not run.is_complete:
            print(f"Stopped after {run.trainer.step} of {recipe.train.max_steps} steps. What was learned is kept.")
        return run

    def sweep(self, setting: str = "max_lr") -> Sweep:
        """Short runs with the sliders' values, at several learning rates (or ``"block_size"``): see `Sweep`."""
        return Sweep(self.recipe, setting, live=self.is_live)

    # ---- what both share -----------------------------------------------------------------------------

    def _need_room(self, recipe: Recipe) -> None:
        """Refuse a run that this lab cannot begin; the status says so too."""
        problem = IS_REPLACED if self.is_replaced else too_large(recipe, self._forecaster.memory)
        if problem is not None:
            error = in_one_line(CourseError(problem))
            self.session = self._session(recipe, self.redraw)
            self.session.fail(error)
            self.redraw()
            raise error

    def _new_session(self, recipe: Recipe, watch: Callable[[], None]) -> Session:
        self._last_number += 1
        guess = self.panel.take_guess() if self.panel is not None else None
        forecast = self._forecaster.forecast(recipe)
        self.session = self._session(recipe, watch, forecast, guess)
        return self.session

    def _show_in(self, view: LiveView | StillView, session: Session) -> None:
        """Bring the cell that trains up to date, and the lab's own buttons."""
        # The last run, pale behind the new one.
        before = [run for run in self.runs if run is not session.run][-1:]
        last = [curve_of(run, run_style(1)) for run in before]
        current = curve_of(session.run, run_style(0) if last else None) if session.run else None
        lines = lines_of_all(self._lines, session.recipe, before)
        view.show(scene_of(session, lines, session.max_steps, current, last))
        self.redraw()

    def redraw(self) -> None:
        """Bring the lab itself up to date."""
        if self.panel is not None:
            shown = self.session.recipe if self.session and self.is_training else self.recipe
            self.panel.show(self.session, self._in_cell, shown, self._lines, self.runs)

    def _keep(self, session: Session) -> None:
        """The run is over: it goes to the tray, and teaches the next forecast."""
        run = session.run
        if run is not None and run.records:
            self._forecaster.learn(run.recipe, len(run.records), run.records[-1].seconds, run.memory)
        self._refresh()

    def _refresh(self) -> None:
        """A run begins or is over: the words under the sliders change, and the buttons."""
        hears = self.session if self.is_training and not self._in_cell else None
        self.controls.heard_by = hears.recipe if hears else None
        self.controls.refresh()
        self.redraw()

    @property
    def widget(self) -> ipywidgets.Widget:
        """What a cell that ends in the lab shows."""
        return self.controls.widget if self.panel is None else self.panel.widget

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.recipe.name!r}): run this cell to see its sliders."
