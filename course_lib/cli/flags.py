"""The dataclasses behind the flags of ``course train``; `course_lib.cli.parse` reads them."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tyro.conf import Suppress, arg

from course_lib.config import MODEL_KINDS, Config, DataConfig, TrainConfig
from course_lib.recipes import FROM_DATA

GROUPS = ("text", "model", "training")
"""What settings are grouped by."""
METAVARS = {"dataset": "NAME|text:PATH|bytes:PATH|bins:PATH", "device": "auto|cpu|cuda|cuda:1|mps"} | dict.fromkeys(
    ("decay_steps", "cooldown_steps", "eval_batches", "save_every"), "INT|None"
) | {"init_from": "RUN|FILE|gpt2..."}
"""What stands for a value in the help, where its type alone says too little."""


@dataclass
class Running:
    """What changes nothing in the training."""

    speed: bool = False
    """Whether each line also tells tokens per second and peak memory, as on a card."""
    profile: Annotated[int | None, arg(metavar="STEPS")] = None
    """How many steps to write a trace of, to see where the time goes."""
    eval_only: bool = False
    """Whether the model is only evaluated: no step is taken, and nothing is written."""
    backend: Literal["auto", "nccl", "gloo"] = "auto"
    """How processes of torchrun speak to one another; auto takes nccl for CUDA cards and gloo for CPUs."""


@dataclass
class NewRun(Running):
    """Where the run is kept, and what changes nothing in it."""

    out_dir: Annotated[str | None, arg(metavar="FOLDER")] = None
    """The folder for the run; by default runs/NAME-DATE-TIME."""


@dataclass
class OldRun(Running):
    """Which run goes on, and what changes nothing in it."""

    resume: Annotated[str | None, arg(metavar="RUN")] = None
    """The run to go on with: a folder, its name under runs/, or latest."""
    which: Annotated[str, arg(metavar="last|best|STEPS")] = "last"
    """The save to start from."""
    dataset: Annotated[str | None, arg(metavar="text:PATH")] = None
    """Where the run's text is now, if it has moved; it has to be the same text."""


def train_form(running: type[Running], fixed: frozenset[str] = frozenset(), kind: str = "gpt") -> type:
    """A dataclass with the fields text, model, training (settings) and running; ``fixed`` settings are no flags.

    The model's settings are those of its ``kind``.
    """
    groups = zip(GROUPS, (DataConfig, MODEL_KINDS[kind].config, TrainConfig))
    parts = [(name, _shown(group, {*FROM_DATA, *fixed})) for name, group in groups]
    return dataclasses.make_dataclass("TrainSettings", [*parts, ("running", running)])


def _shown(group: type[Config], hidden: set[str]) -> type[Config]:
    """``group`` as the command line has it: some settings hidden, some told more of in the help."""
    marks = {name: arg(metavar=metavar) for name, metavar in METAVARS.items()} | dict.fromkeys(hidden, Suppress)
    fields = []
    for field in dataclasses.fields(group):
        if field.name in marks:
            kind = Annotated[field.type, marks[field.name]]  # type: ignore[name-defined]
            fields.append((field.name, kind, dataclasses.field(default=field.default)))
    namespace = {"__doc__": group.__doc__}
    return dataclasses.make_dataclass(group.__name__, fields, bases=(group,), frozen=True, namespace=namespace)


def filled(form: type, settings: dict[str, Any], running: Running) -> Any:
    """A `train_form` with flat ``settings`` and its defaults; what belongs to no group is left out."""
    parts = {name: kind for name, kind in form.__annotations__.items() if name in GROUPS}
    values = {name: {n: v for n, v in settings.items() if n in part.names()} for name, part in parts.items()}
    return form(running=running, **{name: part(**values[name]) for name, part in parts.items()})


def flat(made: Any) -> dict[str, Any]:
    """All values of a filled form, by name: each name is there once."""
    return {name: value for part in vars(made).values() for name, value in vars(part).items()}
