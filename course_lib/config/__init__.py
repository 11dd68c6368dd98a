"""Settings: frozen dataclasses that check themselves when they are made.

Every setting has one name and one meaning, whether it stands in a recipe (TOML), in a run's
``config.json`` or on the command line. The text under a field is its help text. Nothing here knows
torch.
"""

from course_lib.config.agiformer import AGIFormerConfig
from course_lib.config.base import ALIASES, Config, by_own_names, described, read_toml
from course_lib.config.run import MODEL_KINDS, ModelKind, OwnModel, RunConfig, kind_of
from course_lib.config.settings import DataConfig, GPTConfig, TrainConfig

__all__ = [
    "ALIASES",
    "MODEL_KINDS",
    "AGIFormerConfig",
    "Config",
    "DataConfig",
    "GPTConfig",
    "ModelKind",
    "OwnModel",
    "RunConfig",
    "TrainConfig",
    "by_own_names",
    "described",
    "kind_of",
    "read_toml",
]
