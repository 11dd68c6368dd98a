"""Data: find a text, turn it into ``.bin`` files, draw batches from them; pictures, and batches of any DataLoader."""

import importlib

_HOMES = {
    "Batcher": "batcher",
    "load_text": "datasets",
    "load_bytes": "datasets",
    "prepare": "prepared",
    "Prepared": "opening",
    "prepared_for": "prepared",
    "load_prepared": "opening",
    "LoaderBatches": "loader",
    "LabelledPictures": "pictures",
    "NoisyPictures": "pictures",
    "PixelRows": "pixels",
    "PixelTokenizer": "pixels",
    "palette_of": "pixels",
    "SpriteDataset": "pictures",
    "SpriteFolder": "pictures",
}
__all__ = [
    "Batcher",
    "LabelledPictures",
    "LoaderBatches",
    "NoisyPictures",
    "PixelRows",
    "PixelTokenizer",
    "Prepared",
    "SpriteDataset",
    "SpriteFolder",
    "load_bytes",
    "load_prepared",
    "load_text",
    "palette_of",
    "prepare",
    "prepared_for",
]


def __getattr__(name: str) -> object:
    """Load a part at its first use: texts need no torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
