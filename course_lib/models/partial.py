"""A GPT of which parts are left out: what each part is worth is measured by building it up, a rung at a time."""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from course_lib.config import GPTConfig
from course_lib.models.gpt import GPT


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder: what the model on it has that a bare table of pairs does not."""

    name: str
    positions: bool = False
    heads: int = 0
    """Attention heads in a block; 0 means no attention."""
    mlp: bool = False
    residual: bool = False
    """Whether a part adds to the stream; without it, a part's result replaces what came in."""
    layers: int = 1
    tied: bool = False


LADDER = (
    Rung("a bigram"),
    Rung("+ positions", positions=True),
    Rung("+ one head", positions=True, heads=1),
    Rung("+ four heads", positions=True, heads=4),
    Rung("+ MLP", positions=True, heads=4, mlp=True),
    Rung("+ residual", positions=True, heads=4, mlp=True, residual=True),
    Rung("+ a second layer", positions=True, heads=4, mlp=True, residual=True, layers=2),
    Rung("+ tied head", positions=True, heads=4, mlp=True, residual=True, layers=2, tied=True),
)
"""From a table of pairs to a whole GPT; each rung has what the one before it has, and one thing more."""
WITHOUT_POSITIONS = replace(LADDER[-1], name="without positions", positions=False)


class PartialGPT(nn.Module):
    """``model(idx)`` -> logits, (B, T) -> (B, T, V): the parts of a `GPT` that a rung names, and no others.

    Norms stand where a GPT has them: before each part, and before the head. The last rung of `LADDER` is the whole
    GPT. Of ``config`` the rung overrules n_layer, n_head and tie_weights; positions are learned ones.
    """

    def __init__(self, config: GPTConfig, rung: Rung) -> None:
        super().__init__()
        self.rung = rung
        self.config = config.replace(n_layer=rung.layers, n_head=max(1, rung.heads), tie_weights=rung.tied, ngrams=())
        whole = GPT(self.config)
        self.token_embedding, self.norm, self.head = whole.token_embedding, whole.norm, whole.head
        self.position_embedding = whole.position_embedding if rung.positions else None
        self.blocks = whole.blocks if rung.heads else nn.ModuleList()
        if not rung.mlp:
            for block in self.blocks:
                block.norm2 = block.mlp = None

    def forward(self, idx: Tensor) -> Tensor:
        """(B, T) -> (B, T, V), T at most block_size."""
        x = self.token_embedding(idx)  # (B, T, C)
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[: idx.shape[1]]
        for block in self.blocks:
            x = self._joined(x, block.attn(block.norm1(x), None, None))
            if self.rung.mlp:
                x = self._joined(x, block.mlp(block.norm2(x)))
        return self.head(self.norm(x))

    def _joined(self, x: Tensor, part: Tensor) -> Tensor:
        return x + part if self.rung.residual else part
