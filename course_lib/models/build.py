"""From settings to a model: looks up the kind in `course_lib.config.MODEL_KINDS`, and builds it."""

import importlib
from typing import Any

import torch
from torch import nn

from course_lib.config import MODEL_KINDS, Config, OwnModel, kind_of
from course_lib.errors import CourseError


def build_model(config: Config | OwnModel) -> nn.Module:
    """The model that ``config`` describes, freshly initialized from torch's generator.

    Raises:
        CourseError: for settings of a kind that `MODEL_KINDS` does not know.
    """
    name = config.kind if isinstance(config, OwnModel) else kind_of(config)
    if name is None or name not in MODEL_KINDS:
        raise CourseError(
            f"course_lib cannot build a model of the kind {name or type(config).__name__!r}; it knows "
            f"{', '.join(MODEL_KINDS)}. Build it yourself and give it as model=, or name its kind once: "
            "course_lib.config.MODEL_KINDS[name] = ModelKind(its settings' class, its class)."
        )
    kind = MODEL_KINDS[name]
    if isinstance(kind.model, str):  # found once, and only when it is needed
        module, _, place = kind.model.partition(":")
        kind.model = getattr(importlib.import_module(module), place)
    if isinstance(config, OwnModel):  # its kind has been named since the settings were read
        config = kind.config.from_dict(config.settings)
    model: Any = kind.model
    return model(config)


def build_blank_model(config: Config | OwnModel) -> nn.Module:
    """A model whose weights are about to be read from a file. torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn and thrown away
        return build_model(config)
