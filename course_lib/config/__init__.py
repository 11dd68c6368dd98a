"""Settings: frozen dataclasses that check themselves when they are made.

Every setting has one name and one meaning, whether it stands in a recipe (TOML), in a run's
``config.json`` or on the command line. The text under a field is its help text. Nothing here knows
torch.
"""

from course_lib.config.agiformer import AGIFormerConfig
from course_lib.config.aliases import ALIASES, WORDS, by_own_names, own_value
from course_lib.config.base import Config, described, read_toml
from course_lib.config.run import MODEL_KINDS, ModelKind, OwnModel, RunConfig, kind_of
from course_lib.config.settings import DataConfig, GPTConfig, RunningConfig, TrainConfig

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
    "RunningConfig",
    "TrainConfig",
    "WORDS",
    "by_own_names",
    "described",
    "kind_of",
    "own_value",
    "read_toml",
]
