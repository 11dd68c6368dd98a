"""The hybrid block: two attentions side by side, then an MLP."""

from torch import Tensor, nn

from course_lib.config import AGIFormerConfig
from course_lib.models.agiformer.linear_attention import LinearAttention
from course_lib.models.agiformer.parts import MLP, recomputed
from course_lib.models.agiformer.state import LayerState
from course_lib.models.agiformer.window_attention import WindowAttention
from course_lib.models.linear import sized_linear


class HybridBlock(nn.Module):
    """The window sees the near past sharply, linear attention all of it in sums; both are added to the stream."""

    def __init__(self, config: AGIFormerConfig) -> None:
        super().__init__()
        C, self.recompute = config.n_embd, config.recompute
        self.norm1 = nn.LayerNorm(C)
        self.attn = WindowAttention(C, config.n_head, config.window_size)
        self.ssm = LinearAttention(C, config.n_head, config.dropout)
        self.out_proj = sized_linear(C, C)
        self.mlp = MLP(C, config.dropout)
        self.norm_mlp = nn.LayerNorm(C)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, state: LayerState | None = None) -> Tensor:
        """(B, N, C) -> (B, N, C). With a ``state`` these patches come after those in it."""
        if self.recompute and state is None:  # half by half: the backward pass then holds the inside of one half
            return recomputed(self.transform, recomputed(self.attend, x, rotary))
        return self.transform(self.attend(x, rotary, state))

    def attend(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, state: LayerState | None = None) -> Tensor:
        """The first half: patches look at each other."""
        h = self.norm1(x)
        return x + self.out_proj(self.attn(h, rotary, state) + self.ssm(h, state))

    def transform(self, x: Tensor) -> Tensor:
        """The second half: each patch by itself."""
        return x + self.mlp(self.norm_mlp(x))
