"""nn.Linear, with the faster of two kernels when a CPU decodes one token at a time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        ):
            return _ONEDNN(x, self.weight, self.bias, "none", [], "")
        return F.linear(x, self.weight, self.bias)
