"""Data: find a text, turn it into ``.bin`` files, draw batches from them."""

import importlib

_HOMES = {
    "Batcher": "batcher",
    "load_text": "datasets",
    "load_bytes": "datasets",
    "prepare": "prepared",
    "Prepared": "prepared",
    "prepared_for": "prepared",
    "load_prepared": "prepared",
}
__all__ = ["Batcher", "Prepared", "load_bytes", "load_prepared", "load_text", "prepare", "prepared_for"]


def __getattr__(name: str) -> object:
    """Load a part at its first use: only `Batcher` needs torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
