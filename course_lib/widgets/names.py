"""A name writer that learns while one looks on: sliders, and what may follow a letter, step by step.

Python trains, with `course_lib.models.micro` and no torch; ``names.js`` draws what it is sent.
"""

import math
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import anywidget
import ipywidgets
import traitlets

from course_lib import plots
from course_lib.errors import CourseError
from course_lib.models.micro import MicroGPT
from course_lib.widgets.buttons import Buttons
from course_lib.widgets.page import Pictured, script
from course_lib.widgets.sliders import connect, look, value_slider

STEPS = (50, 100, 200, 300, 500, 1000, 2000, 5000)
RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SEEDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 42)
CHOICES = {"steps": STEPS, "lr": RATES, "seed": SEEDS}
LABELS = {"steps": "steps", "lr": "learning rate", "seed": "seed"}
LOOK: dict[str, Any] = {"label_width": "7em"}
BEGUN = {"steps": 500, "lr": 0.01, "seed": 42}
END = "end"
"""How the end of a name is called under its bar."""
OVER = 25
"""The loss of one name says little: the curve is the mean of so many."""
UPDATE_SECONDS = 0.3
SAMPLES = 3
MOST_POINTS = 250


class NameView(anywidget.AnyWidget):
    """The picture itself. ``data`` is all there is to see."""

    _esm = script("names")
    data = traitlets.Dict().tag(sync=True)

    def __repr__(self) -> str:
        return "Bars for what may follow a letter, and the loss."


class NameLab(Pictured):
    """Sliders for the number of steps, the learning rate and the seed; a model that trains; its guesses as bars.

    Start trains in a thread, so that the notebook stays free; `train` lets its cell wait.

    Args:
        names: what it learns from.
        trained: a trained model, for the picture that a page without a kernel shows.
        start: the letters after which it is asked what follows; "" is the beginning of a name.
        live: whether widgets hear of a training in a thread. They do in JupyterLab, not on Colab; None finds out.

    Raises:
        CourseError: for names that are none, or a start that the model cannot take.
    """

    def __init__(
        self, names: Sequence[str], trained: MicroGPT | None = None, start: str = "e", live: bool | None = None
    ) -> None:
        self.names = list(names)
        self.is_live = "google.colab" not in sys.modules if live is None else live
        self._trained = trained
        self._lock = threading.RLock()
        self._word, self._stop = threading.Event(), threading.Event()
        self._allowed = 0.0
        self._thread: threading.Thread | None = None
        self.sliders = {n: value_slider(LABELS[n], values, BEGUN[n], **LOOK) for n, values in CHOICES.items()}
        self._begin()
        self.model.probabilities(start)  # complains of a start that it cannot take
        first = [(f"{letter}, the first letter", letter) for letter in self.model.letters]
        options = [("nothing yet: the first letter", ""), *first]
        if start not in dict(options).values():
            options.append((start, start))
        self.letter = ipywidgets.Dropdown(options=options, value=start, description="after", **look(**LOOK))
        pressed = {"start": self.start, "pause": self.pause, "step": self.step, "stop": self.stop}
        self.buttons = Buttons(pressed)
        self.view = NameView()
        self._redraw()
        connect(self.sliders)
        connect({"after": self.letter}, self._redraw)
        self.sliders["seed"].observe(lambda change: self._reseed(), names="value")
        self.widget = ipywidgets.VBox(
            [*self.sliders.values(), self.letter, self.buttons.widget, self.view], layout={"overflow": "hidden"}
        )
        self.widget.add_class("course-lab-names")

    def _begin(self) -> None:
        """A new model with the sliders' values, which has learned nothing."""
        self.settings = {name: slider.value for name, slider in self.sliders.items()}
        self.model = MicroGPT(self.names, seed=self.settings["seed"], engine="vector")
        self.losses: list[float] = []
        self.error: Exception | None = None
        self.state = "idle"

    def _reseed(self) -> None:
        """Another seed is another untrained model; one that has learned something stays in sight until the start."""
        if not self.is_training and not self.losses:
            self._begin()
            self._redraw()

    # ---- what buttons ask for; none of these waits, except on Colab ---------------------------------------

    @property
    def is_training(self) -> bool:
        """Whether a run goes on; a pause counts as going on."""
        return self.state != "idle"

    def start(self, steps: float = math.inf) -> None:
        """Begin a run with the sliders' values; with ``steps``, it pauses after so many. A run that goes on stays."""
        if self.is_training:
            return
        self._begin()
        self._stop.clear()
        self._allowed = steps
        self._enter("running")
        if self.is_live:
            self._thread = threading.Thread(target=self._run, name="course-names", daemon=True)
            self._thread.start()
        else:  # nobody could press Pause, or Step a second time
            self._allowed = math.inf
            self._run()

    def pause(self) -> None:
        """Wait after the step at hand, or go on."""
        self._allow(math.inf if self.state == "paused" else 0)

    def step(self) -> None:
        """Take one step, and wait."""
        if self.is_training:
            self._allow(1)
        else:
            self.start(1)

    def stop(self) -> None:
        """End the run; what was learned stays in sight."""
        self._stop.set()
        self._word.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the run is over; False where ``seconds`` were not enough."""
        if self._thread is not None:
            self._thread.join(seconds)
            return not self._thread.is_alive()
        return True

    def train(self) -> list[float]:
        """Train with the sliders' values while the cell waits; returns the loss of each step.

        Raises:
            CourseError: while a run goes on.
        """
        if self.is_training:
            raise CourseError("A run of this lab is going on. Press Stop, or call lab.stop(), and try again.")
        self._begin()
        self._stop.clear()
        self._allowed = math.inf
        self._enter("running")
        self._run()
        if self.error is not None:
            raise self.error
        return self.losses

    def _allow(self, steps: float) -> None:
        self._allowed = steps
        self._word.set()

    # ---- the run ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        next_look = 0.0
        try:
            while len(self.losses) < self.settings["steps"] and self._may_go_on():
                loss = self.model.train_step(self.settings["steps"], self.settings["lr"])
                self.losses.append(loss)
                self._allowed -= 1
                if time.perf_counter() > next_look:
                    self._redraw()
                    next_look = time.perf_counter() + UPDATE_SECONDS
        except Exception as error:  # in a thread nobody would see it
            self.error = error
        finally:
            self._enter("idle")

    def _may_go_on(self) -> bool:
        """Wait while it pauses; False when it should end."""
        while self._allowed < 1 and not self._stop.is_set():
            self._word.clear()
            if self._allowed < 1 and not self._stop.is_set():
                self._enter("paused")
                self._word.wait(0.5)
        if not self._stop.is_set() and self.state != "running":
            self._enter("running")
        return not self._stop.is_set()

    def _enter(self, state: str) -> None:
        if self.state == state != "idle":
            return
        self.state = state
        self.buttons.show(state)
        for slider in self.sliders.values():
            slider.disabled = state != "idle"
        self._redraw()

    # ---- what there is to see --------------------------------------------------------------------------

    def _redraw(self) -> None:
        with self._lock:  # the thread that trains and the one that hears the page take turns
            self.view.data = self.seen(self.model)

    def seen(self, model: MicroGPT) -> dict[str, Any]:
        """Everything there is to see of a model, as ``names.js`` wants it."""
        start = self.letter.value
        truth = self.truth(start)
        guesses = model.probabilities(start)
        bars = [
            {"sign": letter or END, "p": round(p, 4), "truth": round(truth.get(letter, 0.0), 4)}
            for letter, p in guesses.items()
        ]
        status = self._status() if model is self.model else f"After {model.adam.steps} steps."
        return {
            "bars": bars, "title": _title(start), "curve": self._curve(), "steps": self.settings["steps"],
            "nothing": round(math.log(len(bars)), 4), "status": status,
            "writes": [name or "(an empty name)" for name in model.generate(SAMPLES)],
            "alt": _in_words(start, guesses, truth),
        }  # fmt: skip

    def truth(self, start: str) -> dict[str, float]:
        """How often each letter, or the end "", follows ``start`` at the beginning of a name in the list."""
        counts = Counter(name[len(start) : len(start) + 1] for name in self.names if name.startswith(start))
        return {letter: count / counts.total() for letter, count in counts.items()}

    def _curve(self) -> list[list[float]]:
        """(completed steps, mean loss of the names just before)."""
        n = len(self.losses)
        every = max(1, math.ceil(n / MOST_POINTS))
        steps = [s for s in range(1, n + 1) if s % every == 0 or s == n]
        return [[s, round(statistics.fmean(self.losses[max(0, s - OVER) : s]), 3)] for s in steps]

    def _status(self) -> str:
        if self.error is not None:
            return f"Ended by an error. {self.error}"
        if not self.losses:
            return "Untrained: press Start."
        done, steps = len(self.losses), self.settings["steps"]
        words = {"running": "", "paused": " Paused.", "idle": " Finished." if done == steps else " Stopped."}
        recent = self.losses[-OVER:]
        names = "the last name" if len(recent) == 1 else f"the last {len(recent)} names"
        return f"Step {done} of {steps}. Loss of {names}: {statistics.fmean(recent):.2f}.{words[self.state]}"

    # ---- without a kernel --------------------------------------------------------------------------------

    def picture(self) -> plots.Picture:
        """The untrained model's bars, and those of the model that was handed in, for a page without a kernel."""
        models = {"now": self.model} | ({"after training": self._trained} if self._trained else {})
        figure = plots.Picture(figsize=(8, 2.3 * len(models)), facecolor="white", layout="constrained")
        figure.caption = repr(self)
        told = []
        for axes, (name, model) in zip(figure.subplots(len(models), 1, squeeze=False)[:, 0], models.items()):
            data = self.seen(model)
            _draw_bars(axes, data, f"{name}: {data['title']}")
            told.append(f"{name}: {data['alt']}")
        figure.alt = " ".join(told)
        return figure

    def __repr__(self) -> str:
        return "A name writer that learns: run this cell, and press Start."


def _title(start: str) -> str:
    return f"What follows {start!r} at the beginning of a name" if start else "How a name begins"


def _in_words(start: str, guesses: dict[str, float], truth: dict[str, float]) -> str:
    def told(chances: dict[str, float]) -> str:
        likely = sorted(chances, key=lambda letter: -chances[letter])[:4]
        return ", ".join(f"{letter or END} {chances[letter]:.0%}" for letter in likely)

    real = f" In the list: {told(truth)}." if truth else ""
    return f"{_title(start)}. The model's likeliest: {told(guesses)}.{real}"


def _draw_bars(axes: Any, data: dict[str, Any], title: str) -> None:
    """A bar for each guess, and a short line where the list itself has it."""
    places = range(len(data["bars"]))
    axes.bar(places, [bar["p"] for bar in data["bars"]], color=plots.TRAIN_COLOR, alpha=0.85, width=0.8)
    for place, bar in zip(places, data["bars"]):
        axes.plot([place - 0.45, place + 0.45], [bar["truth"]] * 2, color=plots.VAL_COLOR, linewidth=2)
    axes.set_xticks(places, [bar["sign"] for bar in data["bars"]], fontsize=9)
    axes.set_title(f"{title} (lines: the list itself)", fontsize=9, loc="left")
    axes.set_ylabel("probability", fontsize=9)
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
