"""What generation keeps of the bytes so far: of fixed size, however many there were."""

import torch
from torch import Tensor


class LayerState:
    """One block's: the sums of linear attention, and the window's last W - 1 keys and values."""

    def __init__(self, window: int) -> None:
        self.sums: Tensor | None = None
        self._kept = window - 1
        self._keys: Tensor | None = None  # (B, H, 2W, E), filled up to ``_end``; likewise the values
        self._values: Tensor | None = None
        self._end = 0

    def with_earlier(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """``k`` and ``v`` (B, H, N, E) after those of up to W - 1 patches before; the last ones are kept."""
        N, start = k.shape[2], max(0, self._end - self._kept)
        if N > 1 or self._keys is None:
            if self._keys is not None and self._values is not None:
                k = torch.cat((self._keys[:, :, start : self._end], k), dim=2)
                v = torch.cat((self._values[:, :, start : self._end], v), dim=2)
            self._keep(k, v)
            return k, v
        assert self._values is not None
        if self._end == self._keys.shape[2]:  # once in W + 1 patches
            self._keep(self._keys[:, :, start:], self._values[:, :, start:])
            start = 0
        end = self._end + 1
        self._keys[:, :, self._end : end], self._values[:, :, self._end : end] = k, v
        self._end = end
        return self._keys[:, :, start:end], self._values[:, :, start:end]

    def numel(self) -> int:
        """How many numbers it holds."""
        return sum(x.numel() for x in (self.sums, self._keys, self._values) if x is not None)

    def _keep(self, k: Tensor, v: Tensor) -> None:
        """The last W - 1 of them go to the beginning of memory of their own."""
        n = min(self._kept, k.shape[2])
        room = (*k.shape[:2], 2 * (self._kept + 1), k.shape[3])
        keys, values = k.new_empty(room), v.new_empty(room)
        keys[:, :, :n], values[:, :, :n] = k[:, :, k.shape[2] - n :], v[:, :, v.shape[2] - n :]
        self._keys, self._values, self._end = keys, values, n


class Tables:
    """What a byte contributes, by its value: see `patches.Encoder.table` and `byte_decoder.ByteDecoder.table`."""

    def __init__(self, encoder: Tensor, decoder: Tensor) -> None:
        self.encoder, self.decoder = encoder, decoder


class PatchCache:
    """All that the next byte's scores depend on. It grows with the number of layers, not with the text.

    Args:
        n_layer, window: of the model.
        pending: (B, 0), later (B, up to P - 1): the bytes of the patch that is not whole yet.
        latent: (B, 1, C): what the bytes of that patch are guessed from.
        tables: weights, multiplied out once; they stay what they were when the cache was made.

    ``length`` bytes have been read. ``gates`` (B, 3 n_hidden) is what the latent adds in the byte decoder, ``hidden``
    (B, n_hidden) is that decoder after the pending bytes; None before the first call.
    """

    def __init__(self, n_layer: int, window: int, pending: Tensor, latent: Tensor, tables: Tables) -> None:
        self.layers = [LayerState(window) for _ in range(n_layer)]
        self.pending, self.latent, self.tables = pending, latent, tables
        self.hidden: Tensor | None = None
        self.gates: Tensor | None = None
        self.length = 0

    def numel(self) -> int:
        """How many numbers it holds of the bytes so far; the tables are the weights' own."""
        mine = (self.pending, self.latent, self.hidden, self.gates)
        return sum(layer.numel() for layer in self.layers) + sum(x.numel() for x in mine if x is not None)
