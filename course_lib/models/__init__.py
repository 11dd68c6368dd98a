"""The models: ids in, logits out, or pictures in. They know no loss, device or file, but for `micro`, a whole program.

torch is loaded when the first torch model is asked for, not before.
"""

import importlib

_HOMES = {"GPT": "gpt", "GPTConfig": "gpt", "KVCache": "attention"}
_HOMES |= {"AGIFormer": "agiformer", "AGIFormerConfig": "agiformer"}
_HOMES |= {"ConvClassifier": "pixels", "Denoiser": "pixels", "LinearClassifier": "pixels"}
_HOMES |= {"build_model": "build", "build_blank_model": "build", "evaluating": "mode"}
__all__ = [
    "AGIFormer",
    "AGIFormerConfig",
    "ConvClassifier",
    "Denoiser",
    "GPT",
    "GPTConfig",
    "KVCache",
    "LinearClassifier",
    "build_blank_model",
    "build_model",
    "evaluating",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
