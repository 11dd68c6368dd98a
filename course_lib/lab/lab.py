"""`Lab`: a recipe with sliders, and a cell that trains with their values."""

import html

import torch
from IPython.display import display

from course_lib.data import load_prepared, prepare
from course_lib.lab.chart import LossChart
from course_lib.lab.controls import Controls
from course_lib.lab.driver import drive_here
from course_lib.lab.run import LabRun, command_for
from course_lib.models import build_model
from course_lib.recipes import Recipe, load_recipe
from course_lib.recipes.build import build_trainer


class Lab:
    """Shows sliders for block_size, dropout and learning rate; `train` trains with their values.

    >>> lab = Lab("numbers_cpu")   # doctest: +SKIP
    >>> lab                        # the sliders, as the last line of a cell
    >>> run = lab.train()          # in the next cell: trains, and draws the loss while it does

    Args:
        recipe: a recipe's name, or a `Recipe`.

    Raises:
        CourseError: for a recipe that is not there, or a text that cannot be had.
    """

    def __init__(self, recipe: str | Recipe) -> None:
        start = load_recipe(recipe) if isinstance(recipe, str) else recipe
        prepared = load_prepared(prepare(start.data.dataset, start.data.tokenizer, start.data.val_fraction))
        self._vocab_size = prepared.tokenizer.vocab_size
        self.runs: list[LabRun] = []
        longest = min(prepared.manifest["counts"].values()) - 1
        self.controls = Controls(start, self.describe, largest={"block_size": longest})

    @property
    def recipe(self) -> Recipe:
        """The recipe with the sliders' values: what `train` would train now."""
        return self.controls.recipe

    def command(self) -> str:
        """The command line that trains with the sliders' values."""
        return command_for(self.recipe)

    def describe(self, recipe: Recipe) -> str:
        """What the settings of ``recipe`` mean, in numbers, and the command that trains with them; as HTML."""
        with torch.device("meta"):  # shapes without memory: enough to count
            weights = sum(p.numel() for p in build_model(recipe.model(self._vocab_size)).parameters())
        train, block_size = recipe.train, recipe.all_settings()["block_size"]
        sequences = train.batch_size * train.grad_accum
        per_step = sequences * block_size
        return (
            "<div style='line-height: 1.6'>"
            f"The model has {weights:,} weights. One step reads {sequences} × {block_size} = {per_step:,} tokens; "
            f"{train.max_steps:,} steps read {train.max_steps * per_step:,}.<br>"
            f"In a terminal: <code>{html.escape(command_for(recipe))}</code></div>"
        )

    def train(self, max_steps: int | None = None) -> LabRun:
        """Train with the sliders' values in this cell, and draw the loss as it comes.

        The stop button ends the run and keeps what was learned. Every call starts a new model.

        Args:
            max_steps: how many steps; None means as many as the recipe says.

        Raises:
            CourseError: where training diverges; the steps until then are kept in ``runs[-1]``.
        """
        recipe = self.recipe if max_steps is None else self.recipe.replace(max_steps=max_steps)
        run = LabRun(recipe, build_trainer(recipe))
        self.runs.append(run)
        chart = LossChart(recipe.train.max_steps, self._vocab_size)
        chart.show([], run.status())
        display(chart)
        drive_here(run.trainer, run.records, lambda: chart.show(run.records, run.status()))
        if run.trainer.step < recipe.train.max_steps:
            print(f"Stopped after {run.trainer.step} of {recipe.train.max_steps} steps. What was learned is kept.")
        return run

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.controls.widget.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Lab({self.recipe.name!r}): run this cell to see its sliders."
