"""Weights that the original AGIFORMER has saved, and a model that computes with them what it computed."""

from pathlib import Path
from typing import Any

from torch import Tensor

from course_lib.config import AGIFormerConfig
from course_lib.errors import CourseError
from course_lib.interop.torch_files import read_torch_file
from course_lib.models import AGIFormer, build_blank_model
from course_lib.paths import quoted, user_path


def load_agiformer(
    path: str | Path, num_heads: int = 8, window_size: int = 128, thinking_steps: int = 3
) -> AGIFormer:  # fmt: skip
    """A ``best_model.pth`` of github.com/inkbytefo/agi-former, as of commit f82263e, in evaluation mode.

    Sizes are read from the weights. What those do not tell are the arguments; their defaults are the original's. The
    original has nothing that predicts the first patch: here a latent of zeros stands for the one before it. From the
    second patch on the logits are the original's (see `AGIFormerConfig.faithful`).

    Args:
        path: a file of ``torch.save(model.state_dict(), path)``. It is read without running what a pickle may hold.

    Raises:
        CourseError: where it cannot be read, or holds other weights than that model's.
    """
    path = user_path(path)
    weights = read_torch_file(path, "a file of weights by torch.save(model.state_dict(), path)")
    config = _config_of(path, weights).replace(
        n_head=num_heads, window_size=window_size, thinking_steps=thinking_steps
    )  # fmt: skip
    model: Any = build_blank_model(config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise _other(path, " ".join(str(error).split())[:300]) from error
    return model.eval()


def _config_of(path: Path, weights: object) -> AGIFormerConfig:
    """The sizes that the weights have."""
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise _other(path, "it is no dict of names and tensors")
    try:
        C, _, P = weights["encoder.patch_conv.weight"].shape
        hidden = weights["head.head.weight"].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        raise _other(path, f"{error} is missing or has another shape") from error
    layers = {name.split(".")[1] for name in weights if name.startswith("layers.")}
    return AGIFormerConfig.faithful(n_embd=C, n_head=1, patch_size=P, n_hidden=hidden, n_layer=len(layers))


def _other(path: Path, why: str) -> CourseError:
    return CourseError(
        f"{quoted(path)} should hold the weights of an AGIFORMER as of commit f82263e of "
        f"github.com/inkbytefo/agi-former; "
        f"{why}."
    )
