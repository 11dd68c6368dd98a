"""The same model a third time, on tensors: what the library's GPT is made of, put together as microGPT is.

The only file of this package that needs torch. It computes what `scalar` and `vector` compute, for many documents
and all of their positions at once; the backward pass is torch's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.config import GPTConfig
from course_lib.models.attention import CausalSelfAttention
from course_lib.models.gpt import MLP
from course_lib.models.linear import Linear
from course_lib.models.micro.loop import MicroGPT


def norm(x: Tensor) -> Tensor:
    """(..., C) -> (..., C): RMSNorm without a gain."""
    return F.rms_norm(x, x.shape[-1:], eps=1e-5)


class TensorMicroGPT(nn.Module):
    """``model(idx)``: (B, T) ids -> (B, T, V) logits, as a `MicroGPT` with the same weights computes them."""

    def __init__(self, micro: MicroGPT) -> None:
        super().__init__()
        sizes = micro.config
        config = GPTConfig(
            sizes.block_size, sizes.vocab_size, sizes.n_layer, sizes.n_head, sizes.n_embd, bias=False, mlp="relu2"
        )
        self.wte = nn.Embedding(sizes.vocab_size, sizes.n_embd)
        self.wpe = nn.Embedding(sizes.block_size, sizes.n_embd)
        self.attn = nn.ModuleList(CausalSelfAttention(config, layer) for layer in range(sizes.n_layer))
        self.mlp = nn.ModuleList(MLP(config) for _ in range(sizes.n_layer))
        self.lm_head = Linear(sizes.n_embd, sizes.vocab_size, bias=False)
        self.load(micro)

    def forward(self, idx: Tensor) -> Tensor:
        x = self.wte(idx) + self.wpe.weight[: idx.shape[1]]  # (B, T, C)
        x = norm(x)
        for attn, mlp in zip(self.attn, self.mlp):
            x = x + attn(norm(x), None, None)
            x = x + mlp(norm(x))
        return self.lm_head(x)

    def load(self, micro: MicroGPT) -> None:
        """Take over the weights of ``micro``, whose sizes must be these."""
        rows = {name: torch.tensor([micro.parts.numbers(row) for row in w]) for name, w in micro.weights.items()}
        state = {f"{name}.weight": rows[name] for name in ("wte", "wpe", "lm_head")}
        for i in range(micro.config.n_layer):
            qkv = [rows[f"layer{i}.attn_w{part}"] for part in "qkv"]
            state[f"attn.{i}.qkv.weight"] = torch.cat(qkv)  # the library keeps the three in one matrix
            state[f"attn.{i}.proj.weight"] = rows[f"layer{i}.attn_wo"]
            state[f"mlp.{i}.up.weight"] = rows[f"layer{i}.mlp_fc1"]
            state[f"mlp.{i}.down.weight"] = rows[f"layer{i}.mlp_fc2"]
        self.load_state_dict(state)
