"""What a recipe's settings mean, in numbers and words."""

import html
from collections.abc import Mapping

from course_lib.lab.driver import Change
from course_lib.lab.forecast import Forecaster, about_bytes, about_seconds, weights_of
from course_lib.lab.run import Trial
from course_lib.recipes import Recipe
from course_lib.widgets.sliders import CHOICES

AS_IT_SAYS = "as the recipe says"
SPRITES = "sprites:"
"""A dataset of this name and a class's is that class of sprites."""
GOING_ON = (
    "A run is going on. It hears the learning rate and dropout; the other settings are for the next run. "
    "Before you run a cell that draws random numbers, press Pause: torch has one row of them for both."
)
BUSY = "A run of this lab is going on. Press Stop, or call lab.stop(), and try again."
IN_A_CELL = "A cell trains; the square in the toolbar stops it. The sliders are for the next run."
NOT_LIVE = "Widgets hear nothing here while a cell trains. Move the sliders, then run lab.train() in the next cell."


def readout(
    recipe: Recipe, vocab_size: int, forecaster: Forecaster, again: str, lines: Mapping[str, float] | None = None,
    units: tuple[str, str] = ("", "tokens"),
) -> str:  # fmt: skip
    """Weights, tokens, the forecast of time and memory, and the words that do the same elsewhere; as HTML.

    Args:
        again: how the run to come is had without the sliders, as HTML.
        lines: losses to say in words, where no chart shows them as lines.
        units: what a sequence is called, and what a token.
    """
    weights = weights_of(recipe, vocab_size)
    train, block_size = recipe.train, recipe.all_settings()["block_size"]
    sequences = train.batch_size * train.grad_accum
    per_step = sequences * block_size
    count = " ".join(filter(None, [str(sequences), units[0]]))
    compiling = ", and the time that torch.compile takes" if train.compile else ""
    sentences = [
        f"The model has {weights:,} weights. One step reads {count} × {block_size} = {per_step:,} {units[1]}; "
        f"{train.max_steps:,} steps read {train.max_steps * per_step:,}.",
        f"<b>Forecast:</b> {about_seconds(forecaster.seconds(recipe))} on this machine{compiling}, "
        f"{about_bytes(forecaster.memory(recipe))} of memory beyond Python's own.",
        *(f"{html.escape(label)}: {value:.2f} nats." for label, value in (lines or {}).items()),
        again,
    ]
    return f"<div style='line-height: 1.45; overflow-wrap: anywhere'>{'<br>'.join(sentences)}</div>"


def in_a_terminal(command: str) -> str:
    """Where a command line is typed, and what; as HTML."""
    return f"The run to come, in a terminal: <code>{html.escape(command)}</code>"


def note(text: str) -> str:
    """A sentence that stands out a little; as HTML."""
    return f"<div style='line-height: 1.45; font-style: italic'>{html.escape(text)}</div>"


def what_differs(recipe: Recipe, start: Recipe) -> str:
    """The settings of ``recipe`` that are not those of ``start``, such as "block_size 32, learning rate 0.01"."""
    usual = start.all_settings()
    words = [_in_words(name, v) for name, v in recipe.all_settings().items() if v != usual[name]]
    return ", ".join(words) or AS_IT_SAYS


def _in_words(name: str, value: object) -> str:
    if name == "dataset" and str(value).startswith(SPRITES):
        return f"class {str(value).removeprefix(SPRITES)}"
    return f"{_label(name)} {written(value)}"


def in_numbers(run: Trial) -> str:
    """How far a run came, how good it is and how long it took."""
    steps = len(run.records)
    planned = run.recipe.train.max_steps
    parts = [f"{steps:,} steps" if run.is_complete else f"stopped after {steps:,} of {planned:,} steps"]
    if run.val_loss is not None:
        loss = f"{run.val_loss:.3f}" if run.val_loss < 1000 else f"{run.val_loss:.0e}"
        parts.append(f"validation {loss}{run.in_bits()}")
    if run.records:
        parts.append(f"{run.records[-1].seconds:.0f} s")
    return ", ".join(filter(None, [*parts, run.judgment]))


def what_it_was(run: Trial, start: Recipe) -> str:
    """The settings of a run beside those of ``start``, and how they were moved while it went on."""
    differs = what_differs(run.began, start)
    if not run.changes:
        return differs
    began = differs if differs == AS_IT_SAYS else f"with {differs}"
    return f"began {began}, then {'; '.join(moved(change, run) for change in run.changes)}"


def moved(change: Change, run: Trial) -> str:
    """A move in words, such as "peak learning rate from 0.02 to 0.5 before step 50 (0.0167 in force)"."""
    label, in_force = _label(change.name), ""
    if change.name == "max_lr":
        label = "peak learning rate" if run.rate_varies else "learning rate"
        in_force = f" ({change.in_force:.3g} in force)" if run.rate_varies else ""
    when = f"before step {change.step}"
    if change.settled > change.step:
        when = f"between steps {change.step} and {change.settled}"
    return f"{label} from {written(change.before)} to {written(change.value)} {when}{in_force}"


def moved_in_short(change: Change, run: Trial) -> str:
    """A move as a note in a chart, such as "peak 0.5, in force 0.0167"."""
    if change.name != "max_lr":
        return f"{change.name} {written(change.value)}"
    if not run.rate_varies:
        return f"lr {written(change.value)}"
    return f"peak {written(change.value)}, in force {change.in_force:.3g}"


def _label(name: str) -> str:
    return CHOICES[name].label if name in CHOICES else name


def written(value: object) -> str:
    """A value as the sliders write it."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
