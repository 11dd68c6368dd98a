"""What a cell that ends in `lab` shows, put together from the parts."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import ipywidgets

from course_lib.lab.controls import Controls
from course_lib.lab.readout import in_numbers, what_it_was
from course_lib.lab.run import Trial
from course_lib.lab.scene import Scene, curve_of, lines_of_all, scene_of
from course_lib.lab.session import Session
from course_lib.lab.tray import Tray, TrayRow
from course_lib.lab.view import TEXT, LiveView, Look
from course_lib.recipes import Recipe
from course_lib.widgets.buttons import Buttons
from course_lib.widgets.style import run_style

MOST_OVERLAID = 6
"""How many runs are laid over one another unasked; the reader can check more."""


class Panel:
    """Sliders and buttons at the left, the chart and the sample at the right, the tray of runs below.

    Args:
        controls: the sliders.
        pressed: what the buttons do; see `Buttons`.
        start: the recipe that runs are compared with in words.
        vocab_size: V, for the line at ln V.
        changed: called when other runs are to be laid over one another: it should have `show` called.
        removed: called with the number of a run to throw away.
        look: how samples are shown.
    """

    def __init__(
        self,
        controls: Controls,
        pressed: dict[str, Callable[[], None]],
        start: Recipe,
        vocab_size: int,
        changed: Callable[[], None],
        removed: Callable[[int], None],
        look: Look = TEXT,
    ) -> None:
        self._start, self._controls, self._drawing = start, controls, threading.RLock()
        self._axis = self._wanted = start.train.max_steps
        self._styles: dict[int, int] = {}
        self._in_tray: list[int] = []
        self.buttons, self.tray = Buttons(pressed), Tray(changed, removed)
        self.view = LiveView(vocab_size, Scene(start.train.max_steps, {}), look, guessing=True)
        narrow = {"flex": "1 1 290px", "max_width": "400px", "min_width": "0"}
        wide = {"flex": "3 1 440px", "min_width": "0", "max_width": "100%"}
        left = ipywidgets.VBox([controls.sliders_widget, self.buttons.widget, controls.readout], layout=narrow)
        right = ipywidgets.VBox([self.view.widget], layout=wide)
        both = ipywidgets.Box([left, right], layout={"flex_flow": "row wrap", "grid_gap": "0 24px"})
        self.widget = ipywidgets.VBox([both, self.tray], layout={"overflow": "hidden"})
        self.widget.add_class("course-lab")

    def show(
        self, session: Session | None, in_cell: bool, recipe: Recipe,
        lines_of: Callable[[Recipe], Mapping[str, float]], runs: Sequence[Trial],
    ) -> None:  # fmt: skip
        """Bring everything up to date. Any thread may call it.

        Args:
            session: the run that goes on, or the last one.
            in_cell: whether it is shown in a cell of its own.
            recipe: that of the run that goes on, or else the sliders' values.
            lines_of: the reference lines that belong to a recipe.
            runs: all runs; those that are over lie in the tray.
        """
        with self._drawing:
            going = session is not None and not session.is_over
            over = [run for run in runs if not (going and run is session.run)]
            self._fill_tray(over)
            laid_over = [run for run in over if run.number in self.tray.checked]
            finished = [curve_of(run, self._style(run)) for run in laid_over]
            lines = lines_of_all(lines_of, recipe, laid_over)
            axis = self._end_of_axis(session if going and not in_cell else None)
            if session is None or in_cell:
                state = "training in a cell" if going else ""
                scene = Scene(axis, lines, None, finished, state)
            else:
                current = curve_of(session.run, self._style(session.run)) if going and session.run else None
                scene = scene_of(session, lines, axis, current, finished)
            self.view.show(scene if going else replace(scene, planned=self._controls.recipe.train))
            self.buttons.show("idle" if not going else "in a cell" if in_cell else session.state)

    def take_guess(self) -> float | None:
        """The learner's guess of the run that begins. It is gone then: the next run is to be guessed anew."""
        guess, self.view.chart.guess = self.view.chart.guess, None
        return guess

    def _end_of_axis(self, going: Session | None) -> int:
        """Where the axis of steps ends: it stays where it was when a run stops, until its slider moves."""
        wanted = self._controls.recipe.train.max_steps
        if going is not None:
            self._axis = going.max_steps
        elif wanted != self._wanted:
            self._axis = wanted
        self._wanted = wanted
        return self._axis

    def _fill_tray(self, over: Sequence[Trial]) -> None:
        """One row per run that is over; a new one is checked, and the oldest unchecked where it gets too many."""
        numbers = [run.number for run in over]
        if numbers == self._in_tray:
            return
        checked = [number for number in self.tray.checked if number in numbers]
        checked += [number for number in numbers if number not in self._in_tray]
        self._styles = {number: style for number, style in self._styles.items() if number in numbers}
        self.tray.put([self._row(run) for run in over], sorted(checked)[-MOST_OVERLAID:])
        self._in_tray = numbers  # last: where an error comes between, the next refresh does it again

    def _row(self, run: Trial) -> TrayRow:
        error = f"Ended by an error: {run.error}" if run.error else ""
        note = " ".join(filter(None, [run.score_words(), error]))
        about = what_it_was(run, self._start)
        return TrayRow(run.number, run.label, about, in_numbers(run), self._style(run), note, run.command())

    def _style(self, run: Trial) -> dict[str, str]:
        """Each run keeps its look; that of a run thrown away is free for another."""
        if run.number not in self._styles:
            taken = set(self._styles.values())
            self._styles[run.number] = next(i for i in range(len(taken) + 1) if i not in taken)
        return run_style(self._styles[run.number])
