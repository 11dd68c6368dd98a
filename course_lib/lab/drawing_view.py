"""How drawings look: a column for each moment of a run, beside one another, so that they are seen to sharpen."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import ipywidgets
import torch
from torch import Tensor

from course_lib.data import PixelRows, PixelTokenizer
from course_lib.data.pixels import nearest
from course_lib.lab.sample import Sample

DRAWN = 4
"""So many pictures are drawn at each moment."""
GAP = 1
"""Transparent pixels between two pictures of a column."""
STYLE = """
.course-lab-drawings { font: 13px/1.45 sans-serif; color: var(--jp-ui-font-color1, inherit); min-height: 372px; }
.course-lab-drawings ol { display: flex; flex-wrap: wrap; gap: 8px 10px; list-style: none; margin: 8px 0; padding: 0; }
.course-lab-drawings li { margin: 0; width: 66px; text-align: center; font-size: 12px; }
.course-lab-drawings img { image-rendering: pixelated; width: 64px; height: 268px; margin: 2px 0; display: block; }
.course-lab-drawings .growing img { outline: 2px solid #E69F00; outline-offset: 1px; }
"""
EMPTY = (
    "What the model draws will stand here: before training, after 10 steps, 30, 100, ... and when the run is over or "
    "stopped."
)
MARKED = " that a triangle marks under the curve"


def to_text(ids: Tensor) -> str:
    """Ids (T, n) of n pictures that are drawn at once, pixel by pixel, as two hex digits each."""
    return bytes(ids.flatten().tolist()).hex()


def from_text(text: str, n: int = DRAWN) -> Tensor:
    """The ids (n, T) that `to_text` wrote; what is not a whole pixel of all n yet is left out."""
    ids = torch.tensor(list(bytes.fromhex(text)), dtype=torch.long)
    return ids[: len(ids) // n * n].view(-1, n).T


def png_of(ids: Tensor, tokenizer: PixelTokenizer) -> bytes:
    """Pictures (n, up to 1 + H * W) below one another as a PNG; pixels that are not drawn yet are transparent."""
    from PIL import Image

    n, known = ids.shape
    size = tokenizer.size
    whole = torch.zeros(n, tokenizer.length, dtype=torch.long)
    whole[:, :known] = ids
    opaque = (torch.arange(tokenizer.length) < known)[1:].view(1, size, size, 1).expand(n, -1, -1, -1)
    colors = tokenizer.decode(whole).permute(0, 2, 3, 1)  # (n, 3, H, W) -> (n, H, W, 3)
    rgba = torch.cat((colors, opaque.float()), dim=3)
    column = torch.zeros(n * (size + GAP) - GAP, size, 4)
    for place, picture in enumerate(rgba):
        column[place * (size + GAP) :][:size] = picture
    file = io.BytesIO()
    Image.fromarray((column * 255).round().to(torch.uint8).numpy()).save(file, "PNG")
    return file.getvalue()


class DrawingStrip(ipywidgets.HTML):
    """The drawings of a run, the newest at the right; under each column, how far its pictures are from known ones.

    Args:
        rows: the sprites that drawings are compared with; their tokenizer says what the ids mean.
        has_chart: whether a live chart stands over it, which marks the moments of the drawings.
    """

    def __init__(self, rows: PixelRows, has_chart: bool = False) -> None:
        super().__init__()
        self._rows, self._has_chart = rows, has_chart
        self._made: dict[tuple[int, str], str] = {}
        self.show(())

    @property
    def widget(self) -> "DrawingStrip":
        """What a cell shows of it."""
        return self

    def show(self, samples: Sequence[Sample], text: str = "", *about: Any) -> None:
        """The whole ``samples``, in the order of their steps; and the one that grows, where one does.

        Args:
            text: the one that grows, or the last of ``samples``.
            about: as `SampleBrowser.show`; whether it grows is what comes last.
        """
        columns = [self._column(sample) for sample in samples]
        if text and about and about[-1]:
            columns.append(self._item("now", text, growing=True))
        kinds = {self._kind(sample.text) for sample in samples} or ({self._kind(text)} if text else set())
        value = strip_html(columns, " and a ".join(sorted(kinds)), self._has_chart)
        if value != self.value:
            self.value = value

    def _kind(self, text: str) -> str:
        tokenizer = self._rows.tokenizer
        return tokenizer.classes[int(tokenizer.labels(from_text(text))[0])]

    def _column(self, sample: Sample) -> str:
        """A whole sample is compared and drawn once."""
        known = self._made.get((sample.step, sample.text))
        if known is None:
            known = self._item(f"step {sample.step:,}", sample.text)
            if len(self._made) > 500:
                self._made.clear()
            self._made[sample.step, sample.text] = known
        return known

    def _item(self, label: str, text: str, growing: bool = False) -> str:
        ids, tokenizer = from_text(text), self._rows.tokenizer
        off = ""
        if ids.shape[1] == tokenizer.length:
            # Of its own kind: an empty picture is nearer to a small heart than a good ghost is to any ghost.
            same_kind = self._rows.ids[self._rows.ids[:, 0] == ids[0, 0]]
            mean = nearest(ids, same_kind).float().mean().item()
            off = f"{mean:.0f} px off"
        source = base64.b64encode(png_of(ids, tokenizer)).decode()
        kind = self._kind(text)
        when = "being drawn now" if growing else f"after {label}"
        said = f"{len(ids)} drawings of a {kind}, {when}" + (f", {off} the nearest {kind}" if off else "")
        return (
            f"<li{' class=growing' if growing else ''}><b>{label}</b>"
            f'<img alt="{html.escape(said)}" src="data:image/png;base64,{source}">{off or "&nbsp;"}</li>'
        )

    def __repr__(self) -> str:
        return "What the model draws while it learns."


def strip_html(columns: Sequence[str], kind: str, has_chart: bool = False) -> str:
    """Columns under the words that say what they are."""
    words = EMPTY
    if columns:
        words = (
            f"<b>Drawings of a {html.escape(kind)}</b>, {DRAWN} at each moment{MARKED if has_chart else ''}. "
            "A row always draws the same random numbers, so what differs along it is what was learned. Under each "
            f"column: in how many of 256 pixels its drawings differ from the nearest {html.escape(kind)} of the "
            "training set, on average. That tells copies, which are 0 off, from new drawings; it is no mark for how "
            "good they are."
        )
    items = f'<ol aria-label="drawings, by the steps behind them">{"".join(columns)}</ol>' if columns else ""
    return f'<style>{STYLE}</style><div class="course-lab-drawings">{words}{items}</div>'
