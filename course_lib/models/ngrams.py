"""Hashed n-gram embeddings: what the last few tokens mean together, looked up instead of computed.

Attention has to learn that "q" is followed by "u", and that "th" is no word yet. A table can be told: the last n tokens
choose a row, by a hash of them, and the row is added to the token's own embedding. That costs one lookup, however many
rows there are, so a model can hold far more weights than it multiplies with.

Hashed n-grams are an old idea (Weinberger et al. 2009; Joulin et al. 2016, fastText); as embeddings of a transformer
they came back with modded-nanoGPT's table of pairs and DeepSeek's Engram (2026).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.config import GPTConfig

PRIME = 2**31 - 1
"""Hashes are remainders by it. Products of two of them fit int64, so every device and language computes the same."""
SPREAD = 1_103_515_245
"""Multiplying by it scatters n-grams that differ in one token over the table."""


class RowTable(nn.Module):
    """An embedding that starts at zero and of which a step touches few rows: `course_lib.row_adam` moves those.

    On a CPU its gradient holds the rows that were looked up and no others: a dense one would take longer to fill with
    zeros than all the rest of the step. A card fills it in no time; there, and where several processes share gradients
    or torch.compile makes the kernels, it is dense. It is as well where another optimizer moves the table, since most
    of them refuse a gradient of rows: `course_lib.optim.build_optimizer` sets ``sparse``.
    """

    by_rows = True  # the optimizer's mark
    sparse = False

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, width))

    def forward(self, rows: Tensor) -> Tensor:
        """(...) -> (..., width)."""
        alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        here = rows.device.type in ("cpu", "meta")  # on meta the lab counts what a step takes, as on a CPU
        few = self.sparse and alone and here and not torch.compiler.is_compiling()
        return F.embedding(rows, self.weight, sparse=few)


class NGramEmbedding(nn.Module):
    """For each order n a table, in which the last n tokens choose a row; the rows of all orders, added.

    It goes by digits: token + 1, and 0 where there is no token, before the beginning. ``reach`` is how many digits it
    needs before the first token that it is asked about.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.orders, self.base = config.ngrams, config.vocab_size + 1
        self.reach = max(config.ngrams) - 1
        # Where all n-grams fit into a table they get a row each, and nothing is hashed.
        self.sizes = [min(config.ngram_rows, self.base**n) for n in config.ngrams]
        self.tables = nn.ModuleList(RowTable(size, config.n_embd) for size in self.sizes)

    def rows(self, digits: Tensor) -> list[Tensor]:
        """Which row of each table is meant: (B, reach + T) digits -> for each order (B, T)."""
        T = digits.shape[1] - self.reach
        found = []
        for n, size in zip(self.orders, self.sizes):
            row = torch.zeros_like(digits[:, :T])
            for place in range(self.reach - n + 1, self.reach + 1):  # from the oldest of the n to the token itself
                row = (row * self.base + digits[:, place : place + T]) % PRIME
            found.append(row if self.base**n <= size else row * SPREAD % PRIME % size)
        return found

    def forward(self, digits: Tensor) -> Tensor:
        """(B, reach + T) -> (B, T, C)."""
        return torch.stack([table(row) for table, row in zip(self.tables, self.rows(digits))]).sum(dim=0)


def with_nothing_before(idx: Tensor, reach: int) -> Tensor:
    """(B, T) tokens that begin a text -> (B, reach + T) digits."""
    return F.pad(idx + 1, (reach, 0))
