"""All settings of one run."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Self

from course_lib.config.base import Config
from course_lib.config.settings import DataConfig, GPTConfig, TrainConfig
from course_lib.errors import CourseError

MODEL_CONFIGS: dict[str, type[Config]] = {"gpt": GPTConfig}
"""The settings class of each kind of model that a run directory may hold."""


@dataclass(frozen=True)
class RunConfig:
    """All settings of one run: what a run directory keeps as ``config.json``."""

    recipe: str
    data: DataConfig | None
    """What it is trained on; None where nobody said so: batches that were made by hand tell nothing of their text."""
    model: Config
    train: TrainConfig

    def to_json(self) -> str:
        kind = next(kind for kind, cls in MODEL_CONFIGS.items() if type(self.model) is cls)
        model = {"kind": kind} | self.model.to_dict()
        return json.dumps(dataclasses.asdict(self) | {"model": model}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises CourseError where the text is not JSON or not a run's settings."""
        try:
            parts = json.loads(text)
            model = dict(parts["model"])
            config_class = MODEL_CONFIGS[model.pop("kind")]
            if not isinstance(parts["recipe"], str):
                raise TypeError("recipe should be a text")
            return cls(
                recipe=parts["recipe"],
                data=None if parts["data"] is None else DataConfig.from_dict(parts["data"]),
                model=config_class.from_dict(model),
                train=TrainConfig.from_dict(parts["train"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CourseError(f"This is not the configuration of a run: {error!r}.") from error
