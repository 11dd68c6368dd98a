"""A text in the patches of an AGIFORMER, each the stronger in color the farther thinking moved it."""

import html
import math

import torch
from torch import nn

from course_lib.drawings.thoughts import DARKEST, Thought, legend, shades, thoughts
from course_lib.errors import CourseError
from course_lib.models.agiformer.inspecting import movement, need_agiformer
from course_lib.tokenizers import ByteTokenizer
from course_lib.widgets.boxes import EDGE, NUMBER, SIGN, WORDS, alarm_html
from course_lib.widgets.page import first_sentence

MOST_PATCHES = 400
"""So many are drawn."""
# Blue and vermillion of Okabe and Ito, so thin that letters are legible, on a light page and on a dark one.
TINT, ALARM_TINT = "rgba(0, 114, 178, {:.3f})", f"rgba(213, 94, 0, {DARKEST})"


class ThoughtMap:
    """``text`` in boxes, one for each patch of ``model``; the stronger its color, the farther its latent moved.

    Under each stands how far, as a share of the latent's length; what else is known shows when one points at it.
    Bytes that are a part of a character, as patches cut where they like, are escapes such as ``\\xC3``. A patch's
    latent is what the next patch is written from. Its text has no measured number, as those differ a little by machine.

    Args:
        model: an `AGIFormer`, on any device; it is left as it is.
        text: at least one patch of it; bytes need not be UTF-8. Of a long one the first 400 patches are read.

    Raises:
        CourseError: for another model.
    """

    def __init__(self, model: nn.Module, text: str | bytes) -> None:
        config = need_agiformer(model).config
        self.error, self.thoughts, self._note = "", list[Thought](), ""
        try:
            content = text if isinstance(text, bytes) else bytes(ByteTokenizer().encode(text))
            read = content[: MOST_PATCHES * config.patch_size]
            found = movement(model, torch.tensor([list(read)], dtype=torch.long))
        except CourseError as error:
            self.error = first_sentence(error)
            return
        if not len(found.absolute):
            self.error = "This model does not think: it takes 0 thinking steps."
            return
        self.thoughts = thoughts(read, config.patch_size, found)
        if len(read) < len(content):
            self._note = f" The first {len(read):,} of {len(content):,} bytes are shown."

    def _repr_html_(self) -> str:
        if self.error:
            return alarm_html(self.error)
        boxes = "".join(_box(one, shade) for one, shade in zip(self.thoughts, shades(self.thoughts)))
        told = f'<div style="{WORDS}">{html.escape(legend(self.thoughts) + self._note)}</div>'
        return f'<div style="max-width: 900px"><div style="font-family: monospace">{boxes}</div>{told}</div>'

    def __repr__(self) -> str:
        if self.error:
            return self.error
        shown = " | ".join(one.shown for one in self.thoughts)
        return f"How far an AGIFORMER's thinking moves each patch: {shown}{self._note}"


def _box(one: Thought, shade: float | None) -> str:
    tint = "transparent" if shade is None else ALARM_TINT if math.isnan(shade) else TINT.format(shade)
    dashed = "; border-style: dashed" if shade is None else ""
    return (
        f'<span style="{EDGE.format(tint)}{dashed}" title="{html.escape(one.words)}"><span style="{SIGN}">'
        f'{html.escape(one.shown)}</span><span style="{NUMBER}">{one.number}</span></span>'
    )
