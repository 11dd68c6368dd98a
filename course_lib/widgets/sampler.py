"""The next token's distribution under sliders: what temperature, top_k and top_p make of it, and draws from it.

Python computes; ``sampler.js`` has the box for typing, the buttons, and draws what it is sent.
"""

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import torch
import traitlets
from torch import Tensor, nn

from course_lib import checkpoint, plots
from course_lib.config import OwnModel
from course_lib.device import device_of
from course_lib.drawings.signs import SIGNS
from course_lib.errors import CourseError
from course_lib.models.mode import evaluating
from course_lib.paths import runs_dir
from course_lib.sampling import context_of, token_probabilities
from course_lib.tokenizers import Tokenizer
from course_lib.widgets.page import Pictured, first_sentence, script
from course_lib.widgets.sliders import connect, look, value_slider

MOST_BARS = 24
"""So many of the likeliest tokens have a bar of their own; the others share one."""
MOST_RUNS = 5
"""So many of the newest runs are offered beside the models that were handed in."""
MOST_DRAWN = 40
SMALLEST_PIECE = 0.004
"""A smaller piece of the strip could not be seen; they are put together at its end."""
TEMPERATURES = (0.0, *(round(0.1 * i, 1) for i in range(1, 21)), 3.0, 5.0, 10.0)
TOP_KS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30)
TOP_PS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)


class SamplerView(anywidget.AnyWidget):
    """The picture, the box and the buttons. ``data`` is all there is to see; ``ask`` is what a button asks for."""

    _esm = script("sampler")
    text = traitlets.Unicode().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    ask = traitlets.Dict().tag(sync=True)
    """``{"count": n, "number": i}``: draw n tokens, or start over where n is 0; i tells one press from the next."""

    def __repr__(self) -> str:
        return "Bars for the next token's probabilities."


class Sampler(Pictured):
    """Sliders for temperature, top_k and top_p, a text that one types, and what may come after it.

    Args:
        models: name to model, the first one shown first. Runs of one's own, in ``runs/``, are offered beside
            them where their tokenizer is the same.
        tokenizer: what turns the text into ids.
        text: what stands in the box at first.
        seed: where the draws start.

    Raises:
        CourseError: for no model at all, or a text that the tokenizer does not know.
    """

    def __init__(
        self, models: Mapping[str, nn.Module], tokenizer: Tokenizer, text: str = "\n\n", seed: int = 0
    ) -> None:
        if not models:
            raise CourseError("Sampler needs at least one model, such as Sampler({'trained': model}, tokenizer).")
        if not tokenizer.encode(text):
            raise CourseError("The text that Sampler begins with should have at least one token; it is empty.")
        self._tokenizer, self._begun, self._dice = tokenizer, text, random.Random(seed)
        self._given = list(models)
        self._load: dict[str, Callable[[], nn.Module]] = {name: lambda m=model: m for name, model in models.items()}
        self._load |= {f"your run {name}": load for name, load in own_runs(tokenizer).items() if name not in models}
        self._loaded: dict[str, nn.Module] = {}
        self._typed_text, self._drawn, self._decoder = text, list[int](), tokenizer.decoder()
        self._trail: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}
        self._writing = self._is_earlier = False
        self.model = ipywidgets.Dropdown(options=list(self._load), description="model", **look())
        self.temperature = value_slider("temperature", TEMPERATURES, 1.0, {0.0: "0, greedy"})
        every = tokenizer.vocab_size
        self.top_k = value_slider("top_k", (*(k for k in TOP_KS if k < every), every), every, {every: "all"})
        self.top_p = value_slider("top_p", TOP_PS, 1.0, {1.0: "1, all"})
        controls = {"model": self.model, "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        self.view = SamplerView(text=text, data=self.seen(text))
        connect(controls, self._set)
        self.view.observe(self._typed, names="text")
        self.view.observe(lambda change: self._asked(change["new"]), names="ask")
        self.widget = ipywidgets.VBox([*controls.values(), self.view], layout={"overflow": "hidden"})
        self.widget.add_class("course-lab-sampler")

    # ---- what the model says -------------------------------------------------------------------------

    @property
    def _ids(self) -> list[int]:
        """What stands in the box. What was drawn stays as it was drawn: half a character has no text yet."""
        return self._tokenizer.encode(self._typed_text) + self._drawn

    def _logits(self, ids: list[int], name: str) -> Tensor:
        """Scores (V,) of what follows ``ids``, of which the model reads the last, as many as it sees."""
        if name not in self._loaded:
            self._loaded[name] = self._load[name]()
        model = self._loaded[name]
        if not ids:
            raise CourseError("Type at least one character: the model guesses what follows.")
        idx = torch.tensor([ids[-context_of(model) :]], device=device_of(model))
        with evaluating(model), torch.no_grad():
            return model(idx)[0, -1].float().cpu()

    def _distributions(self, ids: list[int], name: str) -> tuple[Tensor, Tensor, Tensor]:
        """The tokens from likely to unlikely, (V,); their probabilities after temperature, and after the cuts."""
        logits = self._logits(ids, name)
        order = logits.sort(descending=True, stable=True).indices
        whole = token_probabilities(logits, self.temperature.value)
        left = token_probabilities(logits, self.temperature.value, self.top_k.value, self.top_p.value)
        return order, whole[order], left[order]

    def seen(self, text: str | None = None, name: str | None = None) -> dict[str, Any]:
        """Everything there is to see, as ``sampler.js`` wants it."""
        try:
            ids = self._ids if text is None else self._tokenizer.encode(text)
            text = self.view.text if text is None else text
            order, whole, left = self._distributions(ids, name or self.model.value)
        except CourseError as error:
            words = first_sentence(error)
            nothing = {"bars": [], "rest": {}, "trail": [], "last": {}, "earlier": False}
            return {**nothing, "status": words, "alt": words}
        bars = [{"sign": self._sign(int(i)), **_bar(p, q)} for i, p, q in list(zip(order, whole, left))[:MOST_BARS]]
        rest = {}
        if len(order) > MOST_BARS:
            rest = {"sign": f"{len(order) - MOST_BARS} others", **_bar(whole[MOST_BARS:].sum(), left[MOST_BARS:].sum())}
        return {
            "bars": bars, "rest": rest, "trail": self._trail[-MOST_DRAWN:], "last": self._last,
            "earlier": self._is_earlier, "status": self._status(whole, left),
            "alt": self._in_words(text, bars, whole, left),
        }  # fmt: skip

    def _sign(self, token: int) -> str:
        text = self._tokenizer.decode([token])
        return SIGNS.get(text, text)

    def _status(self, whole: Tensor, left: Tensor) -> str:
        n, entropy = int((left > 0).sum()), -torch.special.xlogy(left, left).sum().item()
        tiny = int((whole == 0).sum()) if self.temperature.value else 0  # greedy leaves out the others by intent
        others = f" {tiny} others are below what a 32-bit number can hold." if tiny else ""
        return (
            f"{n} of {len(left)} characters can be drawn.{others} Entropy {abs(entropy):.2f} nats: as open as a "
            f"choice among {math.exp(entropy):.1f} equally likely ones."
        )

    def _in_words(self, text: str, bars: list[dict[str, Any]], whole: Tensor, left: Tensor) -> str:
        likely = ", ".join(f"{bar['sign']} {bar['left']:.0%}" for bar in bars[:5] if bar["left"] > 0)
        return f"After {text[-20:]!r} the likeliest next characters are: {likely}. {self._status(whole, left)}"

    # ---- draws ---------------------------------------------------------------------------------------

    def draw(self, count: int = 1) -> str:
        """Draw ``count`` tokens one by one, each appended before the next is drawn; returns the new text."""
        text, self._is_earlier = "", False
        for _ in range(count):
            order, _, left = self._distributions(self._ids, self.model.value)
            u = self._dice.random()
            place = min(int((left.double().cumsum(0) <= u).sum()), int(left.nonzero().max()))
            token = int(order[place])
            self._last = {"pieces": self._pieces(order, left, place), "u": round(u, 4)}
            self._trail.append({"sign": self._sign(token), "p": round(float(left[place]), 4)})
            self._drawn.append(token)
            text += self._decoder.add([token])
        self._write(self.view.text + text)
        return text

    def _pieces(self, order: Tensor, left: Tensor, place: int) -> list[dict[str, Any]]:
        """The line from 0 to 1 that the dart was thrown at: a piece for each token, the drawn one marked."""
        pieces, together = [], 0.0
        for i, (token, p) in enumerate(zip(order.tolist(), left.tolist())):
            if p >= SMALLEST_PIECE or i == place:
                pieces.append({"sign": self._sign(token), "p": p, "drawn": i == place, "start": float(left[:i].sum())})
            else:
                together += p
        return pieces

    def start_over(self) -> None:
        """The text as it was at first, and nothing drawn."""
        self._forget(self._begun)
        self._write(self._begun)

    def _forget(self, text: str) -> None:
        """``text`` stands in the box, and nothing has been drawn."""
        self._typed_text, self._drawn, self._decoder = text, [], self._tokenizer.decoder()
        self._trail, self._last, self._is_earlier = [], {}, False

    def _write(self, text: str) -> None:
        self._writing = True
        try:
            self.view.text = text
        finally:
            self._writing = False
        self._redraw()

    def _typed(self, change: dict[str, str]) -> None:
        if not self._writing:
            self._forget(change["new"])
            self._redraw()

    def _set(self) -> None:
        """A slider or the model has changed: what was drawn before is marked as earlier."""
        self._is_earlier = bool(self._trail)
        self._redraw()

    def _asked(self, ask: Mapping[str, Any]) -> None:
        count = ask.get("count", 0)
        if count:
            try:
                self.draw(min(int(count), MOST_DRAWN))
            except CourseError:  # nothing to go on from; the status says so already
                self._redraw()
        else:
            self.start_over()

    def _redraw(self) -> None:
        self.view.data = self.seen()

    # ---- without a kernel ----------------------------------------------------------------------------

    def picture(self) -> plots.Picture:
        """The bars of each model that was handed in, one over the other, for a page without a kernel."""
        figure = plots.Picture(figsize=(7, 2.1 * len(self._given)), facecolor="white", layout="constrained")
        figure.caption = repr(self.view)
        found = {name: self.seen(name=name) for name in self._given}
        figure.alt = " ".join(f"{name}: {data['alt']}" for name, data in found.items())
        for axes, (name, data) in zip(figure.subplots(len(found), 1, squeeze=False)[:, 0], found.items()):
            _draw_bars(axes, data, f"{name}, after {self.view.text!r}")
        return figure

    def __repr__(self) -> str:
        return "The next character's distribution: run this cell to move its sliders."


def own_runs(tokenizer: Tokenizer, folder: Path | None = None) -> dict[str, Callable[[], nn.Module]]:
    """The newest runs that were trained with this tokenizer: name to what loads the best model of it."""
    folder = runs_dir() if folder is None else folder
    found: dict[str, Callable[[], nn.Module]] = {}
    runs = [path.parent for path in folder.glob("*/config.json")] if folder.is_dir() else []
    for run in sorted(runs, key=lambda run: run.stat().st_mtime, reverse=True):
        try:
            about, theirs = checkpoint.read_config(run)
            checkpoint.find_save(run, "auto")
        except CourseError:  # of another kind, or not whole: not offered
            continue
        if theirs == tokenizer and not isinstance(about.model, OwnModel):  # its program alone can load that
            found[run.name] = lambda run=run: checkpoint.load(run, "auto").model
        if len(found) == MOST_RUNS:
            break
    return found


def _bar(p: Tensor, q: Tensor) -> dict[str, Any]:
    """A bar's heights; whether it is kept, or cut, is told before they are rounded."""
    sizes = {"p": round(float(p), 5), "left": round(float(q), 5)}
    return {**sizes, "kept": bool(q > 0), "cut": bool(p > 0 and q == 0)}


def _draw_bars(axes: Any, data: dict[str, Any], title: str) -> None:
    """An outline for the probability after temperature, a filled bar for what is left after the cuts."""
    bars = [*data["bars"], *([data["rest"]] if data["rest"] else [])]
    places = [float(i) for i in range(len(bars))]
    if data["rest"]:
        places[-1] += 1  # apart from the others: it stands for many
    axes.bar(places, [bar["p"] for bar in bars], width=0.8, facecolor="none", edgecolor="#595959", linewidth=0.8)
    axes.bar(places, [bar["left"] for bar in bars], width=0.8, color=plots.TRAIN_COLOR, alpha=0.8)
    for place, bar in enumerate(bars):
        if bar["left"] >= 0.005:
            axes.annotate(f"{bar['left']:.0%}", (place, bar["left"]), ha="center", va="bottom", fontsize=7)
    axes.set_xticks(places, [bar["sign"].replace(" ", "\n") for bar in bars], family="DejaVu Sans Mono", fontsize=9)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_ylabel("probability", fontsize=9)
    axes.margins(x=0.01, y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
