"""From settings to a model: where each kind of model is named."""

import torch
from torch import nn

from course_lib.config import Config, GPTConfig
from course_lib.models.gpt import GPT


def build_model(config: Config) -> nn.Module:
    """The model that ``config`` describes, freshly initialized from torch's generator."""
    return {GPTConfig: GPT}[type(config)](config)


def build_blank_model(config: Config) -> nn.Module:
    """A model whose weights are about to be read from a file. torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn and thrown away
        return build_model(config)
