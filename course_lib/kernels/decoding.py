"""One token of each stream through all blocks of a GPT in one call, on a processor.

One token is little arithmetic, and torch does it in some hundred operations: each is called from Python, wakes all
threads, and waits for them. Here the whole pass is one call into C++ (``blocks.hpp``), which reads the weights where
torch has them and writes into the cache that torch would write into. So either can go on where the other was.
"""

import ctypes
import os
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.kernels.compiling import decoder_library

SWITCH = "COURSE_KERNELS"
"""With this variable set to ``off``, nothing is compiled."""
WORTH_IT = 2**21
"""Weights in matrices from which on a model is decoded so. With fewer a token takes torch well below a millisecond, and
compiling, once on a machine, takes some three seconds."""
KINDS = ("gelu", "gelu_tanh", "relu2", "swiglu")
"""The MLP's, as blocks.hpp numbers them."""
KNOWN = ("course_lib.models.", "torch.nn.modules.")
"""Where the classes of a model's parts must be from. Whatever somebody else puts in computes something else."""


def find_kernel(model: nn.Module) -> "DecodingKernel | None":
    """What decodes ``model`` in one call; None where it is not worth it or cannot be, and torch does it.

    It depends on the model and the machine alone, so that equal seeds give equal texts.
    """
    if os.environ.get(SWITCH) == "off" or "has_kernel" not in type(model).__dict__ or not _is_plain(model):
        return None
    if torch.is_autocast_enabled("cpu") or sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2) < WORTH_IT:
        return None
    library = decoder_library()
    return None if library is None else DecodingKernel(model, library)


def _is_plain(model: nn.Module) -> bool:
    """Whether the model computes what its class says, from 32-bit floats in the machine's memory."""
    tensors = (*model.parameters(), *model.buffers())
    return (
        all(_is_readable(tensor) for tensor in tensors)
        and all(type(module).__module__.startswith(KNOWN) for module in model.modules())
        and not any(is_watched(module) for module in model.modules())
    )


def is_watched(module: nn.Module) -> bool:
    """Whether somebody looks on when this module runs, or has put something else in its place."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)


def _is_readable(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous()


class DecodingKernel:
    """``kernel(idx, cache)`` -> scores (B, V) of what follows idx (B, 1): ``model(idx, cache)[:, -1]``, in one call.

    Equal to torch's up to rounding. To the last bit it does not depend on the number of threads. The model counts as in
    evaluation mode.
    """

    def __init__(self, model: nn.Module, library: ctypes.CDLL) -> None:
        self._model, self._library, self._process = model, library, os.getpid()
        # Read by address: what they are now must live as long as this does.
        weights = [w for part in _parts(model) for w in part]
        self._modules = list(model.modules())
        places = [(place, name) for m in self._modules for place in (m._parameters, m._buffers) for name in place]
        self._tensors = [(place, name, place[name].detach()) for place, name in places if place[name] is not None]
        self._children = [(m._modules, name, child) for m in self._modules for name, child in m._modules.items()]
        config = model.config
        hidden = model.blocks[0].mlp.down.in_features
        shape = [config.n_layer, config.n_head, config.n_embd, hidden, config.vocab_size]
        form = [config.norm == "layernorm", config.qk_norm, config.position == "rope", KINDS.index(config.mlp)]
        library.decoder_new.restype = ctypes.c_void_p
        self._decoder = library.decoder_new(
            _numbers(*shape, *form, torch.get_num_threads()),
            (ctypes.c_void_p * len(weights))(*(None if w is None else w.data_ptr() for w in weights)),
        )
        if not self._decoder:
            raise CourseError("There is not enough memory left to decode: close other programs.")
        weakref.finalize(self, _free, library, self._decoder, self._process)

    def still_fits(self) -> bool:
        """Whether the model is what it was: its parts, its weights where they were (values may change), no hooks."""
        if os.getpid() != self._process or torch.is_autocast_enabled("cpu"):  # a forked process has no threads
            return False
        for place, name, was in self._tensors:
            now = place.get(name)
            if now is None or now.data_ptr() != was.data_ptr():
                return False
        same = all(place.get(name) is child for place, name, child in self._children)
        return same and not any(is_watched(module) for module in self._modules)

    def __call__(self, idx: Tensor, cache: Any) -> Tensor:
        if cache.length >= cache.block_size:
            raise CourseError(f"The cache is full: it holds {cache.length} tokens, as many as the model sees.")
        x = self._model.embed(idx, cache).contiguous()  # (B, 1, C)
        logits = x.new_empty(len(idx), self._model.config.vocab_size)
        padding = getattr(cache, "padding", None)
        failed = self._library.decoder_step(
            ctypes.c_void_p(self._decoder),
            _address(x),
            ctypes.c_int64(len(idx)),
            ctypes.c_int64(cache.length),
            None if padding is None else _address(padding.contiguous()),
            _address(cache.keys),
            _address(cache.values),
            _numbers(*cache.keys.stride()[:4]),
            _address(logits),
        )
        if failed:
            raise CourseError("There is not enough memory left to decode: ask for fewer streams at once.")
        cache.advance(1)
        return logits


def _parts(model: nn.Module) -> list[tuple[Tensor | None, Tensor | None]]:
    """Weight and bias of all that multiplies, and RoPE's tables, in the order in which decoder.cpp takes them."""
    modules = [
        part
        for block in model.blocks
        for part in (block.norm1, block.attn.qkv, block.attn.proj, block.norm2, block.mlp.up, block.mlp.down)
    ]
    pairs = [(part.weight, getattr(part, "bias", None)) for part in (*modules, model.norm, model.head)]
    return [*pairs, (getattr(model, "rotary_cos", None), getattr(model, "rotary_sin", None))]


def _free(library: ctypes.CDLL, decoder: int, process: int) -> None:
    if os.getpid() == process:  # its threads are there
        library.decoder_free(ctypes.c_void_p(decoder))


def _numbers(*values: int) -> Any:
    return (ctypes.c_int64 * len(values))(*map(int, values))


def _address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
