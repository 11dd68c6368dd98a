"""How a sample looks: its text, with what a judge says of each sentence."""

import html

import ipywidgets

from course_lib.corpora import Grade

GOOD, FAULTY = "✓", "✗"
CSS = """<style>
.course-lab-heading { font: 13px sans-serif; color: var(--jp-ui-font-color1, inherit); }
.course-lab-text { white-space: pre-wrap; overflow-wrap: anywhere; color: var(--jp-ui-font-color1, inherit);
  font: 13px/1.55 var(--jp-code-font-family, monospace); min-height: 9.5em; }
.course-lab-text .good { text-decoration: underline 2px #009E73; text-underline-offset: 3px; }
.course-lab-text .faulty { text-decoration: underline wavy 1.2px #D55E00; text-underline-offset: 3px; }
.course-lab-text .sign { display: inline-block; width: 1.3em; font-weight: bold; }
.course-lab-text .good-sign { color: #009E73; }
.course-lab-text .faulty-sign { color: #D55E00; }
.course-lab-text .cursor { opacity: 0.6; }
</style>"""


def in_words(grade: Grade) -> str:
    """The share of grammatical sentences, such as "7 of 9 sentences grammatical"."""
    if not grade.sentences:
        return "no whole sentence yet"
    good = sum(part.is_grammatical for part in grade.sentences)
    return f"{good} of {len(grade.sentences)} sentences grammatical"


def marked(text: str, grade: Grade | None) -> str:
    """``text`` as HTML, each whole sentence with a sign and an underline that say what the judge said."""
    pieces, end = [], 0
    for part in grade.sentences if grade else ():
        pieces.append(html.escape(text[end : part.start]))
        kind, sign, says = ("good", GOOD, "grammatical") if part.is_grammatical else ("faulty", FAULTY, str(part.fault))
        sentence = text[part.start : part.end]
        body = sentence.rstrip("\n")
        pieces.append(
            f'<span class="sign {kind}-sign" role="img" aria-label="{html.escape(says)}">{sign}</span>'
            f'<span class="{kind}" title="{html.escape(says)}">{html.escape(body)}</span>{sentence[len(body) :]}'
        )
        end = part.end
    return "".join([*pieces, html.escape(text[end:])])


class SampleView:
    """Shows a sample as it grows."""

    def __init__(self) -> None:
        self.widget = ipywidgets.HTML()
        self.widget.add_class("course-lab-sample")
        self.show("", None, "")

    def show(self, text: str, grade: Grade | None, about: str, growing: bool = False) -> None:
        """``about`` is a line over the text: who wrote it, and when."""
        self.widget.value = sample_html(text, grade, about, growing)


def sample_html(text: str, grade: Grade | None, about: str, growing: bool = False) -> str:
    """The sample under a line that says whose it is, with its share of grammatical sentences."""
    share = f": <b>{in_words(grade)}</b>" if grade else ""
    cursor = '<span class="cursor">▌</span>' if growing else ""
    return (
        f'{CSS}<div class="course-lab-heading">{html.escape(about)}{share}</div>'
        f'<div class="course-lab-text">{marked(text, grade)}{cursor}</div>'
    )
