"""Optimizers that do not load torch's compiler: it takes a second, and most runs compile nothing.

torch keeps its compiler out of some of an optimizer's methods, and to tell it so it loads it: when the first weights
are added, when gradients are set to None, in AdamW's step. Nobody here compiles these methods.
"""

import inspect
from typing import TypeVar

import torch

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])
KEPT_OUT = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""What torch marks, of which nothing else is wrapped."""


def without_compiler(kind: Kind) -> Kind:
    """``kind`` with the plain forms of those methods; where another torch does not wrap them, they are what they were.

    A class decorator.
    """
    for name in KEPT_OUT:
        setattr(kind, name, inspect.unwrap(getattr(kind, name)))
    return kind


@without_compiler
class AdamW(torch.optim.AdamW):
    """torch's own, without its detour."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
