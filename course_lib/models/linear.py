"""nn.Linear, with the faster of two kernels when a CPU decodes one token at a time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TENSOR_CORE_ROWS = 64
"""Tensor cores work on blocks: with 50,257 rows a product takes longer than with 50,304 (nanoGPT pads to these)."""
OUTGROWN = 2**19
"""Weights of a matrix from which on oneDNN's kernel is the faster one for one token, on one thread as well."""
_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


class Linear(nn.Linear):
    """x W^T + b.

    For one token the work is reading W from memory. torch's default kernel on a CPU reads it with one
    thread, oneDNN's with all of them: about three times as fast for a matrix that outgrows the cache.
    torch has no public name for that kernel; where it is missing, the default one serves.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in_features) -> (B, T, out_features)."""
        if (
            _ONEDNN is not None
            and x.ndim == 3
            and x.shape[1] == 1
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()  # its compiler takes weights for this kernel that never change
        ):
            return _ONEDNN(x, self.weight, self.bias, "none", [], "")
        return F.linear(x, self.weight, self.bias)


def sized_linear(in_features: int, out_features: int) -> nn.Linear:
    """The kind of layer that decodes faster: a matrix that the cache holds is torch's default kernel's."""
    return (Linear if in_features * out_features >= OUTGROWN else nn.Linear)(in_features, out_features)


def padded_linear(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T (..., C) -> (..., V), computed with rows of zeros added to W (V, C) up to a multiple of `TENSOR_CORE_ROWS`.

    The rows are there for the product only: what is kept, and what comes out, has V rows.
    """
    V = weight.shape[0]
    if V % TENSOR_CORE_ROWS == 0:
        return F.linear(x, weight)
    return F.linear(x, F.pad(weight, (0, 0, 0, -V % TENSOR_CORE_ROWS)))[..., :V]
