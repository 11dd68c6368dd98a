"""How a sample looks: its text, with what a judge says of each sentence."""

import html
import re
from collections.abc import Sequence
from typing import Any

import anywidget
import traitlets

from course_lib.corpora import Grade
from course_lib.lab.sample import Sample
from course_lib.widgets.page import script

GOOD, FAULTY, FITS = "✓", "✗", "fits the stories' grammar"
STYLE = """
.course-lab-heading { font: 13px sans-serif; color: var(--jp-ui-font-color1, inherit); }
.course-lab-text { white-space: pre-wrap; overflow-wrap: anywhere; color: var(--jp-ui-font-color1, inherit);
  font: 13px/1.55 var(--jp-code-font-family, monospace); min-height: 9.5em; }
.course-lab-text .good { text-decoration: underline 2px #009E73; text-underline-offset: 3px; }
.course-lab-text .faulty { text-decoration: underline wavy 1.2px #D55E00; text-underline-offset: 3px; }
.course-lab-text .sign { display: inline-block; width: 1.3em; font-weight: bold; }
.course-lab-text .good-sign { color: #009E73; }
.course-lab-text .faulty-sign { color: #D55E00; }
.course-lab-text .cursor { opacity: 0.6; }
"""
CURSOR = '<span class="cursor">▌</span>'


FEWEST = 5
"""Of fewer sentences no share is told: one more or less would change all of it."""
LINE_BREAKS = re.compile(r"\n{4,}")
"""A model that knows little may write nothing else; so many lines would push the page apart."""


def tells(grade: Grade | None) -> bool:
    """Whether there are enough whole sentences for a share of them."""
    return grade is not None and len(grade.sentences) >= FEWEST


def in_words(grade: Grade) -> str:
    """The share of sentences that the stories' grammar could have written: "7 of 9 sentences fit the ... grammar"."""
    if not grade.sentences:
        return "no whole sentence yet"
    if not tells(grade):
        return "too few whole sentences to tell a share"
    good = sum(part.is_grammatical for part in grade.sentences)
    return f"{good} of {len(grade.sentences)} sentences fit the stories' grammar"


def marked(text: str, grade: Grade | None) -> str:
    """``text`` as HTML, each whole sentence with a sign and an underline that say what the judge said."""
    pieces, end = [], 0
    for part in grade.sentences if grade else ():
        pieces.append(html.escape(text[end : part.start]))
        kind, sign, says = ("good", GOOD, FITS) if part.is_grammatical else ("faulty", FAULTY, str(part.fault))
        sentence = text[part.start : part.end]
        body = sentence.rstrip("\n")
        pieces.append(
            f'<span class="sign {kind}-sign" role="img" aria-label="{html.escape(says)}">{sign}</span>'
            f'<span class="{kind}" title="{html.escape(says)}">{html.escape(body)}</span>{sentence[len(body) :]}'
        )
        end = part.end
    return LINE_BREAKS.sub(_told, "".join([*pieces, html.escape(text[end:])]))


def _told(breaks: re.Match[str]) -> str:
    return f'\n<span class="cursor">({len(breaks[0])} line breaks)</span>\n'


class SampleBrowser(anywidget.AnyWidget):
    """The samples of a run, the newest by default; those before it by a click, an arrow key, or a moment of the chart.

    Args:
        chart: the key of the `LossChart` whose pointed moment it follows; see ``pointing.js``.
    """

    _esm = script("samples", __package__, ("pointing",))
    entries = traitlets.List().tag(sync=True)
    chart = traitlets.Unicode().tag(sync=True)
    css = traitlets.Unicode(STYLE).tag(sync=True)

    def __init__(self, chart: str = "") -> None:
        super().__init__(chart=chart)
        self.add_class("course-lab-sample-browser")
        self._made: dict[int, tuple[Sample, dict[str, Any]]] = {}

    def show(
        self,
        samples: Sequence[Sample],
        text: str = "",
        grade: Grade | None = None,
        about: str = "",
        growing: bool = False,
    ) -> None:
        """The whole ``samples``, in the order of their steps; and the one that grows, where one does.

        Args:
            text, grade, about: the one that grows, or one that is shown alone; ``about`` says who wrote it, and when.
        """
        made = [self._entry(place, sample) for place, sample in enumerate(samples)]
        if text and (growing or not samples):
            share = in_words(grade) if grade else ""
            made.append(_entry(made[-1]["step"] if made else None, "now", about, share, grade, text, growing))
        if made != self.entries:
            self.entries = made

    def _entry(self, place: int, sample: Sample) -> dict[str, Any]:
        """A whole sample is judged and written as HTML once."""
        known = self._made.get(place)
        if known is None or known[0] is not sample:
            share = in_words(sample.grade) if sample.grade else ""
            steps = "before training" if sample.step == 0 else f"after {sample.step:,} step{'s' * (sample.step > 1)}"
            about = f"What the model writes {steps}"
            entry = _entry(sample.step, f"{sample.step:,}", about, share, sample.grade, sample.text, False)
            self._made[place] = known = sample, entry
        return known[1]

    @property
    def widget(self) -> "SampleBrowser":
        """What a cell shows of it."""
        return self

    @property
    def value(self) -> str:
        """The newest sample under its line, as HTML."""
        if not self.entries:
            return ""
        newest = self.entries[-1]
        share = f": <b>{newest['share']}</b>" if newest["share"] else ""
        return f"{html.escape(newest['about'])}{share}{newest['html']}"

    def __repr__(self) -> str:
        return "What the model writes while it learns."


def _entry(
    step: int | None, label: str, about: str, share: str, grade: Grade | None, text: str, growing: bool
) -> dict[str, Any]:
    """A sample as the page gets it; what the model wrote is escaped here."""
    sentences = grade.sentences if grade and tells(grade) else ()
    short = f"{sum(part.is_grammatical for part in sentences)}/{len(sentences)}" if sentences else ""
    return {
        "step": step, "label": label, "about": about, "share": share, "short": short, "growing": growing,
        "html": marked(text, grade) + (CURSOR if growing else ""),
    }  # fmt: skip


def sample_html(text: str, grade: Grade | None, about: str, growing: bool = False) -> str:
    """The sample under a line that says whose it is, with its share of sentences that fit."""
    share = f": <b>{in_words(grade)}</b>" if grade else ""
    cursor = CURSOR if growing else ""
    return (
        f'<style>{STYLE}</style><div class="course-lab-heading">{html.escape(about)}{share}</div>'
        f'<div class="course-lab-text">{marked(text, grade)}{cursor}</div>'
    )
