"""The library of The Trainer's Guide: training language models from scratch.

Importing this package does nothing and loads no torch; its modules load when they are asked for.
"""

import importlib

__version__ = "0.1.0"

_MODULES = frozenset(
    "bench checkpoint config corpora data device drawings errors exercises interop kernels lab losses "
    "measurements models notebook optim pages paths peaks plots recipes reference sampling sources tokenizers training "
    "widgets".split()
)


def __getattr__(name: str) -> object:
    """Load ``course_lib.<module>`` at its first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
