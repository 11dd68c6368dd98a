"""Where each attention head looks, and what the model expects next: for a text that one types.

Python reads the text with the model on each change; ``heads.js`` shows what came of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import torch
import traitlets
from torch import Tensor, nn

from course_lib import plots
from course_lib.device import device_of
from course_lib.drawings.signs import SIGNS
from course_lib.errors import CourseError
from course_lib.models.attention import attention_weights
from course_lib.models.mode import evaluating
from course_lib.tokenizers import Tokenizer
from course_lib.widgets.page import Pictured, script

MOST_EXPECTED = 6
"""So many of the likeliest next tokens are shown."""


class HeadsTable(anywidget.AnyWidget):
    """The page's part. ``data`` is all there is to see; ``text``, ``stage`` and ``chosen`` are the reader's."""

    _esm = script("heads")
    text = traitlets.Unicode().tag(sync=True)
    stage = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)
    """Which token looks; -1 is the last one, whatever is typed."""
    data = traitlets.Dict().tag(sync=True)

    def __repr__(self) -> str:
        return "A table of where each head looks."


class HeadView(Pictured):
    """A text, a token of it, and a row for each head: how much it takes from each earlier token.

    Args:
        models: what a stage of training is called, to the model at that stage; the last is shown first.
        tokenizer: what turns text into the models' ids.
        text: what stands there at first. Of a longer text the last block_size tokens are read.

    Raises:
        CourseError: for no model, or one whose vocabulary is not the tokenizer's.
    """

    def __init__(self, models: Mapping[str, nn.Module], tokenizer: Tokenizer, text: str = "") -> None:
        if not models:
            raise CourseError('Expected is at least one model, such as {"after training": model}; there is none.')
        for name, model in models.items():
            if model.config.vocab_size != tokenizer.vocab_size:
                raise CourseError(
                    f"The model {name!r} knows {model.config.vocab_size} tokens, the tokenizer "
                    f"{tokenizer.vocab_size}. Give the tokenizer that the model was trained with."
                )
        self._models, self._tokenizer = dict(models), tokenizer
        self._block_size = min(model.config.block_size for model in models.values())
        self.widget = HeadsTable(text=text, stage=list(models)[-1])
        self._read()
        self.widget.observe(lambda change: self._retyped(), names="text")
        self.widget.observe(lambda change: self._read(), names="stage")
        self.widget.observe(lambda change: self._redraw(), names="chosen")

    def _retyped(self) -> None:
        with self.widget.hold_sync():
            self.widget.chosen = -1
            self._read()

    def _read(self) -> None:
        """Have the model read the text: the weights (n_layer, H, T, T) and the guesses (T, V) of all its tokens."""
        self._error, self._ids = "", []
        self._weights, self._guesses = torch.zeros(0, 0, 0, 0), torch.zeros(0, self._tokenizer.vocab_size)
        try:
            self._ids = self._tokenizer.encode(self.widget.text)
        except CourseError as error:
            # Its other advice is for those who write a program; here one types.
            self._error = str(error).split(" Leave it out")[0] + " Leave it out."
        self._left_out = max(0, len(self._ids) - self._block_size)
        self._ids = self._ids[self._left_out :]
        if self._ids:
            self._weights, self._guesses = look(self._models[self.widget.stage], torch.tensor([self._ids]))
        self._redraw()

    def _redraw(self) -> None:
        self.widget.data = self.seen()

    def _sign(self, token: int) -> str:
        text = self._tokenizer.decode([token])
        return SIGNS.get(text, text)

    def seen(self) -> dict[str, Any]:
        """Everything there is to see, as ``heads.js`` wants it."""
        tokens = [self._sign(i) for i in self._ids]
        here = self.widget.chosen if 0 <= self.widget.chosen < len(tokens) else len(tokens) - 1
        found = {"stages": list(self._models), "error": self._error, "tokens": tokens, "chosen": here}
        if not tokens:
            words = self._error or "Type a text: there is no token to look from."
            return found | {"rows": [], "expected": [], "status": words, "alt": words}
        rows = [
            {"name": f"layer {layer}, head {head}", "weights": [round(share, 4) for share in row[: here + 1].tolist()]}
            for layer, heads in enumerate(self._weights[:, :, here])
            for head, row in enumerate(heads)
        ]
        expected = self._expected(here)
        status = self._status(tokens, here, expected)
        return found | {"rows": rows, "expected": expected, "status": status, "alt": _in_words(tokens, rows, status)}

    def _expected(self, here: int) -> list[dict[str, Any]]:
        """The likeliest next tokens, best first, and whether the text goes on with them."""
        best = self._guesses[here].topk(min(MOST_EXPECTED, self._guesses.shape[1]))
        came = self._ids[here + 1] if here + 1 < len(self._ids) else None
        return [
            {"sign": self._sign(i), "p": round(p, 4), "came": i == came}
            for p, i in zip(best.values.tolist(), best.indices.tolist())
        ]

    def _status(self, tokens: Sequence[str], here: int, expected: Sequence[Mapping[str, Any]]) -> str:
        likely = ", ".join(f"“{one['sign']}” {one['p']:.0%}" for one in expected[:2])
        words = f"{self.widget.stage}: token {here}, “{tokens[here]}”, looks; expected next: {likely}."
        if here + 1 < len(tokens):
            p = self._guesses[here, self._ids[here + 1]].item()
            words += f" The text goes on with “{tokens[here + 1]}”, which got {p:.1%}."
        if self._left_out:
            words += f" The first {self._left_out} tokens are left out: the model sees {self._block_size} at most."
        return words[0].upper() + words[1:]

    def picture(self) -> plots.Picture:
        """The same for a page without a kernel."""
        data = self.seen()
        figure = plots.Picture(figsize=(7, 1.6 + 0.26 * len(data["rows"])), facecolor="white", layout="constrained")
        figure.alt, figure.caption = data["alt"], repr(self)
        heads, expected = figure.subplots(1, 2, width_ratios=(3.6, 1))
        _draw_heads(heads, data)
        _draw_expected(expected, data)
        return figure

    def __repr__(self) -> str:
        return "Where each head looks: run this cell to type a text and choose a token."


@torch.no_grad()
def look(model: nn.Module, idx: Tensor) -> tuple[Tensor, Tensor]:
    """Where ``model`` looks and what it expects, on one text (1, T), without dropout.

    Returns:
        weights (n_layer, H, T, T) and probabilities (T, V), on the CPU.
    """
    with evaluating(model):
        idx = idx.to(device_of(model))
        weights = attention_weights(model, idx)[:, 0]
        guesses = model(idx)[0].float().softmax(dim=-1)
    return weights.float().cpu(), guesses.cpu()


def _in_words(tokens: Sequence[str], rows: Sequence[Mapping[str, Any]], status: str) -> str:
    """What is to be seen, for those who do not see it: for each head the token that it looks at most."""
    favorites = []
    for row in rows:
        best = max(range(len(row["weights"])), key=row["weights"].__getitem__)
        favorites.append(f"{row['name']}: {row['weights'][best]:.0%} at token {best}, “{tokens[best]}”")
    return f"The text {''.join(tokens)}. {status} Most attention: {'; '.join(favorites)}."


def _draw_heads(axes: Any, data: dict[str, Any]) -> None:
    """A row for each head: cells filled as far as the chosen token looks there, the future hatched."""
    tokens, rows, here = data["tokens"], data["rows"], data["chosen"]
    for number, row in enumerate(rows):
        floor = len(rows) - 1 - number
        axes.bar(range(here + 1), row["weights"], bottom=floor, width=0.92, color=plots.TRAIN_COLOR)
        axes.axhline(floor, color="#B0B0B0", linewidth=0.8)
        axes.text(-0.9, floor + 0.45, row["name"], ha="right", va="center", fontsize=8)
    if here + 1 < len(tokens):
        axes.axvspan(here + 0.5, len(tokens) - 0.5, facecolor="white", edgecolor="#808080", hatch="////", linewidth=0)
    axes.set(xlim=(-0.6, max(1, len(tokens)) - 0.4), ylim=(0, max(1, len(rows))), yticks=[])
    axes.set_xticks(range(len(tokens)), tokens, family="DejaVu Sans Mono", fontsize=9)
    if tokens:
        axes.set_xlabel(f"token; the bold one, number {here}, looks")
        axes.get_xticklabels()[here].set_fontweight("bold")
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_expected(axes: Any, data: dict[str, Any]) -> None:
    """The likeliest next tokens as bars."""
    expected = data["expected"][::-1]
    axes.barh(range(len(expected)), [one["p"] for one in expected], color=plots.VAL_COLOR)
    axes.set_yticks(range(len(expected)), [one["sign"] for one in expected], family="DejaVu Sans Mono", fontsize=9)
    axes.set(xlim=(0, 1), xlabel="probability", title="expected next")
    axes.title.set_fontsize(9)
    axes.spines[["top", "right"]].set_visible(False)
