"""`Replay`: recorded runs behind the lab's three sliders, on a page that has no kernel.

A page of the book, and a notebook that is only read, have neither a kernel nor a manager of widgets. So this is plain
HTML with its data and its script inside: it needs no network, and looks the same in JupyterLab, in the book, on Colab
and in VS Code. Where scripts are not run (a notebook that is not trusted), its words stand there.
"""

import html
import json
from collections.abc import Callable
from typing import Any

from course_lib import plots
from course_lib.corpora import Grade
from course_lib.data.datasets import find_corpus
from course_lib.errors import CourseError
from course_lib.recipes import load_recipe, names
from course_lib.reference import Reference, recorded
from course_lib.widgets.page import script

RECORD = "lab_grid"
LABELS = {"block_size": "block_size", "dropout": "dropout", "max_lr": "peak learning rate"}

ON_THE_PAGE = ".text_html:has(> .course-lab-replay) { background: none !important; padding: 0 !important; }"
"""On a dark page the book's theme lays a light ground under HTML, as if it were black on white."""


class Replay:
    """Recorded runs over a grid of block_size, dropout and learning rate: moving a slider shows another measured run.

    >>> Replay()   # doctest: +SKIP

    The curve, the floor, what the model writes, and the numbers belong to the run that the sliders name; the run before
    stays as a thin line. A fourth slider goes through the run, and Play lets it go by. Nothing is computed: between two
    points of the grid there is nothing.

    Args:
        record: the recording, or its name.

    Raises:
        CourseError: where there is no such recording, or it is none of a grid.
    """

    def __init__(self, record: str | Reference = RECORD) -> None:
        self.record = recorded(record) if isinstance(record, str) else record
        details = self.record.content["details"]
        if not {"grid", "trials", "steps", "lines"} <= details.keys():
            raise CourseError(f"{self.record.name} is no recording of a grid. Make one with: course record {RECORD}")
        self._data = _data(self.record)

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": repr(self)}

    def html(self) -> str:
        """The whole as HTML that needs nothing else."""
        # No "<" in it, or a text of the record could end the script.
        data = json.dumps(self._data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = data.replace("<", "\\u003c")
        code = script("replay", __package__)
        return (
            f'<style>{ON_THE_PAGE}</style><div class="course-lab-replay">'
            f'<p class="course-lab-replay-still">{html.escape(self._in_words())}</p>'
            f'<script type="application/json">{data}</script></div>\n<script>(() => {{\n{code}\n}})();</script>'
        )

    def _in_words(self) -> str:
        """For a page that runs no scripts: the run at which the sliders begin, and how to see the others."""
        at = [slider["values"][slider["at"]] for slider in self._data["sliders"]]
        run = next(run for run in self._data["runs"] if run["at"] == at)
        where = ", ".join(f"{slider['label']} {value:g}" for slider, value in zip(self._data["sliders"], at))
        ended = f"validation loss ended at {run['val'][-1][1]:.2f}" if run["val"] else "the loss ceased to be finite"
        return (
            f"{len(self._data['runs'])} recorded runs behind three sliders. At {where}, {ended} after "
            f"{self._data['max_steps']} steps. To move the sliders, run this cell, or trust the notebook."
        )

    def __repr__(self) -> str:
        return f"Replay({self.record.name!r}): {self._in_words()}"


def _data(record: Reference) -> dict[str, Any]:
    """What ``replay.js`` needs of the record."""
    details = record.content["details"]
    own = {"block_size": 64, "dropout": 0.0} | details["settings"]
    nothing = details["knowing_nothing"]
    marks = {"knowing nothing": nothing}
    known = {f"{T:g}": details["lines"].get(f"{T:g}", {}) for T in details["grid"]["block_size"]}
    grade = find_corpus(load_recipe(details["recipe"]).data.dataset).grade if details["recipe"] in names() else None
    runs = [
        {name: run[name] for name in ("at", "train", "val", "diverged")}
        | {"samples": [_marked(sample, grade) for sample in run["samples"]]}
        for run in details["trials"]
    ]
    return {
        "sliders": [
            {"name": name, "label": LABELS[name], "values": values, "at": _nearest(values, own[name])}
            for name, values in details["grid"].items()
        ],
        "steps": details["steps"],
        "max_steps": details["max_steps"],
        "lines": {T: [*marks.items(), *_without_values(lines)] for T, lines in known.items()},
        "y_max": plots.highest([[(0, run["train"][0] or 0.0)] for run in runs if run["train"]], marks),
        "x_label": plots.X_LABEL,
        "y_label": plots.Y_LABEL,
        "windows": details["settings"]["batch_size"] * details["settings"].get("grad_accum", 1),
        "over": _over(details),
        "about": _about(record),
        "runs": runs,
    }


def _marked(sample: dict[str, Any], grade: Callable[[str], Grade] | None) -> dict[str, Any]:
    """A recorded sample, with [start, end, whether it fits] of its sentences where the judge counts as it did then."""
    parts = grade(sample["text"]).sentences if grade is not None and sample["sentences"] else ()
    marks = [[part.start, part.end, int(part.is_grammatical)] for part in parts]
    is_same = (sum(fits for *_, fits in marks), len(marks)) == (sample["good"], sample["sentences"])
    return sample | {"marks": marks if is_same else []}


def _without_values(lines: dict[str, float]) -> list[tuple[str, float]]:
    """Labels and values, where a label such as "entropy rate = 0.19" names its value, too."""
    return [(label.partition(" = ")[0], round(value, 4)) for label, value in lines.items()]


def _nearest(values: list[float], own: float) -> int:
    return min(range(len(values)), key=lambda i: abs(values[i] - own))


def _over(details: dict[str, Any]) -> str:
    """What stands over the sliders: whose runs these are."""
    own, recipe = details["settings"], details["recipe"]
    usual = load_recipe(recipe).all_settings() if recipe in names() else own
    is_smaller = own["n_layer"] * own["n_embd"] ** 2 < usual["n_layer"] * usual["n_embd"] ** 2
    model = "a smaller model than the lab's" if is_smaller else "a model"
    return f"Recorded runs of {model}: n_layer {own['n_layer']}, n_embd {own['n_embd']}, {details['max_steps']} steps."


def _about(record: Reference) -> str:
    """What was recorded, on what and when."""
    details = record.content["details"]
    shape = ", ".join(f"{name} {details['settings'][name]}" for name in ("n_layer", "n_embd", "batch_size"))
    seeds = len(details["seeds"])
    more = f", and seeds 2 to {seeds} at the recipe's own block_size and dropout" if seeds > 1 else ""
    return (
        f"Recorded: {details['recipe']} with {shape}; {details['max_steps']} steps; seed 1{more}; "
        f"validation on {details['scored_tokens']:,} tokens. {record.where}."
    )
