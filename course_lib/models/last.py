"""The scores after the last token alone: all that a sampler asks of a model that reads many tokens at once."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.kernels.decoding import is_watched
from course_lib.models.attention import CausalSelfAttention, KVCache
from course_lib.models.gpt import GPT, Block


def last_scores(model: nn.Module, idx: Tensor, cache: KVCache | None = None) -> Tensor:
    """``model(idx, cache)[:, -1]``, (B, T) -> (B, V), for a model in evaluation mode.

    In a GPT's last block the other tokens' keys and values are needed, and nothing else of theirs: with six layers that
    saves up to a tenth of the time. Where somebody has changed the model, or looks on by a hook, it is the whole pass.
    """
    T = idx.shape[1]
    if T == 1 or type(model) is not GPT or not _is_known(model.blocks[-1]) or is_watched(model.modules()):
        return model(idx, cache)[:, -1] if cache is not None else model(idx)[:, -1]
    x, rotary = model.start(idx, cache)
    for block in model.blocks[:-1]:
        x = block(x, rotary, cache)
    x = _last_token(cast(Block, model.blocks[-1]), x, rotary, cache)
    if cache is not None:
        cache.advance(T)
    return model.scores(model.norm(x))[:, 0]


def _is_known(block: nn.Module) -> bool:
    """Whether this file knows how the block goes about it."""
    attn = getattr(block, "attn", None)
    return type(block) is Block and type(attn) is CausalSelfAttention and "split" not in attn.__dict__


def _last_token(block: Block, x: Tensor, rotary: tuple[Tensor, Tensor] | None, cache: KVCache | None) -> Tensor:
    """What a block makes of the last token: (B, T, C) -> (B, 1, C)."""
    B, T, C = x.shape
    q, k, v = block.attn.split(block.norm1(x), rotary)
    mask = None
    if cache is not None:
        mask = cache.mask(T)
        k, v = cache.append(block.attn.layer, k, v)
    # (B, H, 1, head_dim) looks at all (B, H, length + T, head_dim), but for padding
    y = F.scaled_dot_product_attention(q[:, :, -1:], k, v, attn_mask=None if mask is None else mask[..., -1:, :])
    x = x[:, -1:] + block.attn.proj(y.transpose(1, 2).reshape(B, 1, C))
    return x + block.mlp(block.norm2(x))
