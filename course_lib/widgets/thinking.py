"""An AGIFORMER that thinks more or less often than it was trained to, by a slider: what its guesses are worth then."""

import html
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.losses import cross_entropy
from course_lib.models.agiformer import AGIFormer
from course_lib.models.agiformer.inspecting import movement, need_agiformer
from course_lib.models.mode import evaluating
from course_lib.tokenizers import ByteTokenizer
from course_lib.widgets.boxes import WORDS
from course_lib.widgets.sliders import connect, value_slider
from course_lib.widgets.thoughts import ThoughtMap

TURNS = 3
"""How often each count is timed; the quickest time is shown, as what disturbs only makes it longer."""


@dataclass(frozen=True)
class Look:
    """One number of thinking steps, and what comes of it on a text."""

    steps: int
    bits_per_byte: float
    seconds: float
    """Of one pass over the text."""
    moved: float
    """How far thinking moves a latent, as a share of its length: the mean over patches."""
    picture: str
    """`ThoughtMap` at that number, as HTML."""

    @property
    def words(self) -> str:
        times = "1 step" if self.steps == 1 else f"{self.steps} steps"
        moved = f"latents move by {self.moved:.0%} of their length" if self.steps else "nothing moves"
        return f"{times}: {self.bits_per_byte:.2f} bits per byte, {1000 * self.seconds:.1f} ms, {moved}"


class ThinkingSteps:
    """``text`` as ``model`` reads it with each number of thinking steps; it is looked at once, and left as it was.

    ``steps`` is where the slider stands; it may be set from Python too. A page without a kernel shows all of the
    numbers, and the map of the model's own. The text shown in its place has no measured number.

    Args:
        model: an `AGIFormer` without a halting gate, on any device.
        text: more than one patch; of a long one `ThoughtMap` draws the beginning.
        choices: the numbers of steps to choose from.

    Raises:
        CourseError: for another model, and for a text without a whole patch.
    """

    def __init__(self, model: nn.Module, text: str, choices: Sequence[int] = (0, 1, 2, 3, 5, 8)) -> None:
        own = need_agiformer(model)
        if own.reasoning.halt is not None:
            raise CourseError(
                "ThinkingSteps changes how often every patch thinks; in this model each patch decides that by itself "
                "(thinking = adaptive). Look at it with ThoughtMap."
            )
        self._own = own.reasoning.steps
        idx = torch.tensor([list(ByteTokenizer().encode(text))], device=own.norm_f.weight.device)
        self.looks = {steps: look_at(own, text, idx, steps) for steps in sorted({*choices, self._own})}
        self._slider = value_slider("thinking steps", self.looks, self._own, label_width="7.5em")
        self._shown = ipywidgets.HTML()
        connect({"thinking": self._slider}, self._show)
        self.widget = ipywidgets.VBox([self._slider, self._shown])
        self._show()

    @property
    def steps(self) -> int:
        return self._slider.value

    @steps.setter
    def steps(self, steps: int) -> None:
        self._slider.value = steps

    def _show(self) -> None:
        look = self.looks[self.steps]
        self._shown.value = f'<div style="{WORDS}">{html.escape(look.words)}</div>{look.picture}'

    def _repr_html_(self) -> str:
        lines = "".join(f'<div style="{WORDS}">{html.escape(look.words)}</div>' for look in self.looks.values())
        return f"<div>{lines}{self.looks[self._own].picture}</div>"

    def __repr__(self) -> str:
        return "Run this cell, then move its slider: how often the model thinks, and what its guesses are worth then."

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        still = {"text/html": self._repr_html_(), "text/plain": repr(self)}
        return {"application/vnd.jupyter.widget-view+json": view, **still}


def look_at(model: AGIFormer, text: str, idx: Tensor, steps: int) -> Look:
    """``idx`` (1, T), the bytes of ``text``, with so many thinking steps; the model keeps its own."""
    before = model.reasoning.steps
    model.think(steps)
    try:
        moved = movement(model, idx).total_relative.mean().item()
        seconds = math.inf
        with evaluating(model), torch.no_grad():
            for _ in range(TURNS):
                start = time.perf_counter()
                nats = cross_entropy(model(idx[:, :-1]), idx[:, 1:]).item()
                seconds = min(seconds, time.perf_counter() - start)
        return Look(steps, nats / math.log(2), seconds, moved, ThoughtMap(model, text)._repr_html_())
    finally:
        model.think(before)
