"""A model in evaluation mode for a while."""

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within it ``model`` is in evaluation mode; afterwards each of its modules has the mode that it had.

    ``model.train()`` afterwards would set all of them alike, also a part that somebody keeps in evaluation mode.
    """
    training = [module for module in model.modules() if module.training]
    try:
        if training:
            model.eval()
        yield
    finally:
        # The model itself comes last: who is interrupted on the way leaves one that is seen not to be training.
        for module in reversed(training):
            module.training = True
