"""From settings to a model."""

from torch import nn

from course_lib.config import Config, GPTConfig
from course_lib.models.gpt import GPT


def build_model(config: Config) -> nn.Module:
    """The model that ``config`` describes, freshly initialized from torch's generator."""
    return {GPTConfig: GPT}[type(config)](config)
