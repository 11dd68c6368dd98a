"""What all notebooks need: a start that is the same every time, and the library's source on the page."""

import inspect
import os
import random
import sys
import textwrap
from collections.abc import Callable
from typing import Any


def setup(seed: int = 0, threads: int = 2) -> None:
    """Make a notebook's numbers the same at every run, and on every machine as far as that goes.

    Call it before torch is imported: one of its settings is read when torch loads.

    Args:
        seed: where the random numbers of Python and of torch start.
        threads: how many threads torch uses on the CPU, if there are as many cores. The chapters' models
            are small: more threads gain little, and would change the last digits.
    """
    # torch's threads wait for one another by spinning. Where a browser wants the same cores, that made a
    # step of a small model 20 times as slow; spinning only briefly costs nothing measurable (GNU's OpenMP).
    if "torch" not in sys.modules:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import torch

    torch.set_num_threads(min(threads, os.cpu_count() or 1))
    random.seed(seed)
    torch.manual_seed(seed)


class Source:
    """A function's source, as a notebook shows it."""

    def __init__(self, name: str, code: str) -> None:
        self.name, self.code = name, code

    def _repr_markdown_(self) -> str:
        return f"`{self.name}`\n\n```python\n{self.code}```"

    def __repr__(self) -> str:
        return f"{self.name}\n\n{self.code}"


def show(thing: Callable[..., Any]) -> Source:
    """The source of a function, method or class, as it stands in the library.

    It is read from the file that runs: what is shown is never out of date.
    """
    code = textwrap.dedent(inspect.getsource(thing))
    return Source(f"{thing.__module__}.{thing.__qualname__}", code)
