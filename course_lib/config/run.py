"""All settings of one run, and `MODEL_KINDS`: the kinds of model that the library builds anew from a run folder."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from course_lib.config.agiformer import AGIFormerConfig
from course_lib.config.base import Config
from course_lib.config.settings import DataConfig, GPTConfig, TrainConfig
from course_lib.errors import CourseError


@dataclass
class ModelKind:
    """A kind of model that run folders know by name: what it is built from, and what is built."""

    config: type[Config]
    model: str | Callable[[Any], Any]
    """Its class, which takes the settings; or where that is, "module:name", until the first one is built."""


MODEL_KINDS: dict[str, ModelKind] = {
    "gpt": ModelKind(GPTConfig, "course_lib.models:GPT"),
    "agiformer": ModelKind(AGIFormerConfig, "course_lib.models:AGIFormer"),
}
"""The kinds that run folders may hold, by the name that ``config.json`` gives them.

A kind of one's own is one line: ``MODEL_KINDS["bag"] = ModelKind(BagConfig, Bag)``. ``BagConfig`` is a `Config`,
``Bag(config)`` builds a model, and its ``config`` is what it was built from.
"""


def kind_of(config: object) -> str | None:
    """Under which name `MODEL_KINDS` has the settings' class; None where it has not."""
    return next((name for name, kind in MODEL_KINDS.items() if type(config) is kind.config), None)


@dataclass(frozen=True)
class OwnModel:
    """What a run folder says of a model that `MODEL_KINDS` does not know: its program alone can build it."""

    kind: str
    settings: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return dict(self.settings)


@dataclass(frozen=True)
class RunConfig:
    """All settings of one run: what a run directory keeps as ``config.json``."""

    recipe: str
    data: DataConfig | None
    """What it is trained on; None where nobody said so: batches that were made by hand tell nothing of their text."""
    model: Config | OwnModel
    train: TrainConfig

    def to_json(self) -> str:
        kind = self.model.kind if isinstance(self.model, OwnModel) else kind_of(self.model)
        model = {"kind": kind} | self.model.to_dict()
        return json.dumps(dataclasses.asdict(self) | {"model": model}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises CourseError where the text is not JSON or not a run's settings."""
        try:
            parts = json.loads(text)
            model = dict(parts["model"])
            kind = model.pop("kind")
            if not (isinstance(parts["recipe"], str) and isinstance(kind, str)):
                raise TypeError("recipe and kind should be texts")
            return cls(
                recipe=parts["recipe"],
                data=None if parts["data"] is None else DataConfig.from_dict(parts["data"]),
                model=MODEL_KINDS[kind].config.from_dict(model) if kind in MODEL_KINDS else OwnModel(kind, model),
                train=TrainConfig.from_dict(parts["train"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CourseError(f"This is not the configuration of a run: {error!r}.") from error
