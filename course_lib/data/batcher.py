"""From a long row of token ids to batches (x, y), without a Python loop over a batch.

`Batcher` knows no model and keeps no state that matters: which windows step s draws is a pure
function of (seed, s). So nothing has to be saved, and any step can be replayed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.data.ahead import ReadAhead
from course_lib.data.opening import open_tokens, read_manifest
from course_lib.errors import CourseError, need_whole

RESIDENT_BYTES = 256 * 2**20
"""Token rows up to this size (as int64) are held in the device's memory; larger ones stay on disk."""


class Batcher:
    """Draws the batches of a training run from a row of N token ids.

    One optimizer step uses a global batch of ``batch_size * grad_accum`` windows. It is drawn as one
    and then sliced by process and micro-step, so it does not depend on how the work is split: of
    ``world_size`` processes each takes ``grad_accum / world_size`` micro-steps.

    Args:
        tokens: ids as a sequence, array or tensor (N,), or the path of a prepared ``.bin`` file.
        batch_size: B, windows in a micro-batch.
        block_size: T, tokens in a window.
        seed: where the draws start.
        device: where x and y are wanted.
        grad_accum: micro-batches per optimizer step, over all processes together.
        rank, world_size: which process this is, of how many.
        resident: hold all ids in the device's memory; None decides by size.

    Raises:
        CourseError: for fewer than T + 1 tokens, a number out of range, or where world_size does not divide
            grad_accum.
    """

    def __init__(
        self,
        tokens: object,
        batch_size: int,
        block_size: int,
        seed: int = 0,
        device: str | torch.device = "cpu",
        grad_accum: int = 1,
        rank: int = 0,
        world_size: int = 1,
        resident: bool | None = None,
    ) -> None:
        prepared = isinstance(tokens, (str, Path))
        self._path = Path(tokens).absolute() if prepared else None
        self.tokens = open_tokens(tokens) if prepared else _as_row(tokens)
        self._said: int | None = read_manifest(Path(tokens).parent)["vocab_size"] if prepared else None
        self._vocab_size: int | None = None  # no id may reach it, where it is known
        self.batch_size, self.block_size, self.seed = batch_size, block_size, seed
        self.device = torch.device(device)
        self.grad_accum, self.rank, self.world_size = grad_accum, rank, world_size
        self._check()
        if resident is None:
            resident = self.tokens.size * 8 <= RESIDENT_BYTES
        self._resident = torch.from_numpy(self.tokens.astype(np.int64)).to(self.device) if resident else None
        self._span = torch.arange(block_size + 1, device=self.device if resident else "cpu")
        self._ahead = ReadAhead[Tensor]()

    def _check(self) -> None:
        for name in ("batch_size", "block_size", "grad_accum", "world_size"):
            setattr(self, name, need_whole(name, getattr(self, name), 1))  # numpy's whole numbers become Python's
        self.seed = need_whole("seed", self.seed, 0, bits=63)
        if not 0 <= self.rank < self.world_size:
            raise CourseError(f"rank should be from 0 to {self.world_size - 1}; it is {self.rank}.")
        need_whole("rank", self.rank, 0)
        if len(self.tokens) < self.block_size + 1:
            raise CourseError(
                f"The text has {len(self.tokens)} tokens; with block_size {self.block_size} it needs at least "
                f"{self.block_size + 1} (the targets are the text shifted by one). Use a longer text, or a block_size "
                f"of at most {max(len(self.tokens) - 1, 0)}."
            )
        if self.grad_accum % self.world_size:
            fitting = -(-self.grad_accum // self.world_size) * self.world_size
            raise CourseError(
                f"grad_accum = {self.grad_accum} micro-batches cannot be shared equally by {self.world_size} "
                f"processes. Set grad_accum to a multiple of {self.world_size}, such as {fitting}."
            )

    def check_ids(self, vocab_size: int) -> None:
        """Refuse ids that a model of ``vocab_size`` tokens does not know: on a card they end in an error without words.

        All ids are looked at here. Those of a file are too many for that: if its manifest speaks of no more than
        vocab_size tokens it is believed for now, and each batch is looked at when it has been read.

        Raises:
            CourseError: for an id below 0, or of vocab_size or more; then also from `batch` and `windows`.
        """
        self._vocab_size = vocab_size
        if self._resident is not None or not _is_mapped(self.tokens) or (self._said or 0) > vocab_size:
            self._check_rows(self.tokens)

    def _check_rows(self, ids: np.ndarray | Tensor) -> None:
        if self._vocab_size is None:
            return
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self._vocab_size:
            raise CourseError(
                f"The model knows the ids from 0 to {self._vocab_size - 1}; among the tokens is "
                f"{low if low < 0 else high}. Give the model the vocab_size of the tokenizer that made them."
            )

    @property
    def micro_steps(self) -> int:
        """Micro-batches that this process takes per optimizer step."""
        return self.grad_accum // self.world_size

    @property
    def tokens_per_step(self) -> int:
        """Targets per optimizer step, over all processes."""
        return self.batch_size * self.grad_accum * self.block_size

    def offsets(self, step: int) -> np.ndarray:
        """Where the windows of ``step`` start: (batch_size * grad_accum,), each from 0 to N - T - 1.

        Philox (Salmon et al. 2011) is a counter-based generator: its output is a function of the key
        (seed, step) alone. The raw 64-bit words are taken modulo the number of places; against 2**64
        the unevenness is nothing, and unlike numpy's derived draws these words never change.
        """
        places = len(self.tokens) - self.block_size
        raw = np.random.Philox(key=[self.seed, step]).random_raw(self.batch_size * self.grad_accum)
        return (raw % np.uint64(places)).astype(np.int64)

    def batch(self, step: int, micro: int = 0) -> tuple[Tensor, Tensor]:
        """Micro-batch ``micro`` (of `micro_steps`) of optimizer step ``step``: x and y, each (B, T) int64.

        ``y`` is ``x`` shifted by one: ``y[b, t]`` is the token that follows ``x[b, t]`` in the text. Both are
        contiguous.
        """
        if not 0 <= micro < self.micro_steps:
            raise CourseError(f"micro should be from 0 to {self.micro_steps - 1}; it is {micro}.")
        need_whole("step", step, 0, bits=63)
        if self._resident is not None:
            rows = self._read(step, micro)
        else:
            following = (step, micro + 1) if micro + 1 < self.micro_steps else (step + 1, 0)
            rows = self._ahead.take(self._read, (step, micro), following)
            self._check_rows(rows)
            rows = rows.to(self.device, non_blocking=True)
        return _shifted(rows)

    def _read(self, step: int, micro: int) -> Tensor:
        """The windows with their last target, (B, T + 1)."""
        first = (self.rank * self.micro_steps + micro) * self.batch_size
        starts = torch.from_numpy(self.offsets(step)[first : first + self.batch_size])
        if self._resident is not None:
            starts = self._ready(starts).to(self.device, non_blocking=True)
            return self._resident[starts[:, None] + self._span]  # (B, 1) + (T + 1,) -> (B, T + 1)
        places = (starts[:, None] + self._span).numpy()
        return self._ready(torch.from_numpy(self.tokens[places].astype(np.int64)))

    def _ready(self, rows: Tensor) -> Tensor:
        """``rows`` where a card fetches them by itself: from other memory a copy waits, whatever non_blocking says."""
        return rows.pin_memory() if self.device.type == "cuda" else rows

    def windows(self, max_batches: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The text as windows side by side, for scoring: every target exactly once.

        The batches are (B, T), the last full one may be smaller, and a tail shorter than T comes as a
        batch of its own, (1, tail). ``max_batches`` takes that many batches of full windows, spread evenly
        over the text. Several processes take turns: each yields its share.
        """
        if max_batches is not None:
            need_whole("max_batches", max_batches, 1, otherwise=", or None for all")
        T = self.block_size
        n_full, tail = divmod(len(self.tokens) - 1, T)
        chosen = np.arange(n_full)
        if max_batches is not None and max_batches * self.batch_size < n_full:
            chosen = np.linspace(0, n_full, max_batches * self.batch_size, endpoint=False).astype(np.int64)
            tail = 0
        groups = [chosen[i : i + self.batch_size] * T for i in range(0, len(chosen), self.batch_size)]
        lengths = [T + 1] * len(groups)
        if tail:
            groups, lengths = [*groups, np.array([n_full * T])], [*lengths, tail + 1]
        mine = range(len(groups))[self.rank :: self.world_size]
        ahead = ReadAhead[Tensor]()
        for i, following in zip(mine, [*((i,) for i in mine[1:]), None]):
            if self._resident is not None:
                rows = self._rows(groups[i], lengths[i])
            else:
                rows = ahead.take(lambda i: self._rows(groups[i], lengths[i]), (i,), following)
                self._check_rows(rows)
            yield _shifted(rows.to(self.device, non_blocking=True))

    def _rows(self, starts: np.ndarray, length: int) -> Tensor:
        """Windows of one length, (N, length); those of a file where a card can fetch them."""
        if self._resident is not None:
            places = self._ready(torch.from_numpy(starts)).to(self.device, non_blocking=True)
            return self._resident[places[:, None] + self._span[:length]]
        return self._ready(torch.from_numpy(self.tokens[starts[:, None] + np.arange(length)].astype(np.int64)))

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copies: of a file its path, not all that stands in it; a copy reads ahead by itself."""
        return vars(self) | {"_ahead": None} | ({} if self._path is None else {"tokens": None})

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _ahead=ReadAhead())
        if self._path is not None:
            self.tokens = open_tokens(self._path)


def _shifted(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Windows with their last target (B, T + 1) -> inputs and targets, each (B, T).

    Copied, so that they are contiguous: much code that is about flattens its targets with ``view(-1)``.
    """
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def _is_mapped(tokens: np.ndarray) -> bool:
    """Whether they lie in a file; an array made of such a one has it as its base."""
    return isinstance(tokens, np.memmap) or isinstance(tokens.base, np.memmap)


def _as_row(tokens: object) -> np.ndarray:
    """Token ids of any form as an integer array (N,)."""
    array = tokens.cpu().numpy() if isinstance(tokens, Tensor) else np.asarray(tokens)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise CourseError(f"Tokens should be one row of whole numbers; this is {array.dtype} of shape {array.shape}.")
    return array
