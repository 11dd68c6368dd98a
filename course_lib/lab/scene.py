"""All that a view shows of a run at one moment, gathered from where it is known."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from course_lib.config import TrainConfig
from course_lib.corpora import Grade
from course_lib.lab.curves import Curve
from course_lib.lab.forecast import about_seconds
from course_lib.lab.readout import moved_in_short
from course_lib.lab.run import Trial
from course_lib.lab.sample import Sample
from course_lib.lab.session import Session
from course_lib.recipes import Recipe


@dataclass(frozen=True)
class Scene:
    """What a view shows; what is left out is empty."""

    max_steps: int
    lines: Mapping[str, float]
    current: Curve | None = None
    finished: Sequence[Curve] = ()
    state: str = ""
    status: str = ""
    sample: str = ""
    grade: Grade | None = None
    about_sample: str = ""
    is_growing: bool = False
    samples: Sequence[Sample] = ()
    """What the current run wrote so far, in the order of the steps."""
    planned: TrainConfig | None = None
    """The settings of the run to come, where none goes on: the chart draws their schedule."""


def curve_of(run: Trial, style: Mapping[str, str] | None = None) -> Curve:
    """A run as a curve, with a note where a setting was moved."""
    notes = [(change.step, moved_in_short(change, run)) for change in run.changes]
    return Curve(
        run.records, run.label, style, notes, run.trainer.config,
        getattr(getattr(run.model, "config", None), "block_size", None),
        tuple(sample.step for sample in run.samples), run.guess, getattr(run, "kind", ""),
    )  # fmt: skip


def lines_of_all(
    lines: Callable[[Recipe], Mapping[str, float]], recipe: Recipe, runs: Iterable[Trial]
) -> dict[str, float]:
    """The lines of ``recipe``, and those of all ``runs`` that are shown: each block_size has a floor of its own."""
    found: dict[str, float] = {}
    for one in (recipe, *(run.recipe for run in runs)):
        found |= {label: value for label, value in lines(one).items() if label not in found}
    return dict(sorted(found.items(), key=lambda line: -line[1]))


def scene_of(
    session: Session,
    lines: Mapping[str, float],
    max_steps: int,
    current: Curve | None = None,
    finished: Sequence[Curve] = (),
) -> Scene:
    """How a run stands; ``max_steps`` is where the axis ends, ``current`` and ``finished`` are the curves to show."""
    status, left = session.status, session.seconds_left()
    if left is not None:
        status += f", {about_seconds(left)} left"
    text, grade, about, growing = session.sample()
    return Scene(
        max_steps, lines, current, finished, session.state_in_words, status, text, grade, about, growing,
        session.run.samples if session.run else (),
    )  # fmt: skip
