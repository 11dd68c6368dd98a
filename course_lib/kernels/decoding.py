"""One token of each stream through all blocks of a GPT in one call, on a processor.

One token is little arithmetic, and torch does it in some hundred operations: each is called from Python, wakes all
threads, and waits for them. Here the whole pass is one call into C++ (``blocks.hpp``), which reads the weights where
torch has them and writes into the cache that torch would write into. So either can go on where the other was.
"""

import ctypes
import functools
import os
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.kernels.compiling import decoder_library

SWITCH = "COURSE_KERNELS"
"""With this variable set to ``off``, nothing is compiled."""
WORTH_IT = 2**21
"""Weights in the blocks' matrices from which on a model is decoded so. For a smaller one the time that could be gained
is short beside the some three seconds that compiling takes, once on a machine."""
KINDS = ("gelu", "gelu_tanh", "relu2", "swiglu")
"""The MLP's, as blocks.hpp numbers them."""
PASSING = ("training", "p", "sparse")
"""What may differ from a new model's: the mode, dropout's share, and how gradients of tables are held."""


def find_kernel(model: nn.Module) -> "DecodingKernel | None":
    """What decodes ``model`` in one call; None where it is not worth it or cannot be, and torch does it.

    What is asked, and how often, plays no part: equal seeds give equal texts.
    """
    if os.environ.get(SWITCH) == "off" or torch.is_autocast_enabled("cpu"):
        return None
    if not type(model).__dict__.get("has_kernel", False):
        return None
    if sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2) < WORTH_IT or not _is_plain(model):
        return None
    library = decoder_library()
    return None if library is None else DecodingKernel(model, library)


def is_watched(modules: Iterable[nn.Module]) -> bool:
    """Whether somebody looks on when one of these runs, or has put another function in its place."""
    if torch.nn.modules.module._has_any_global_hook():
        return True
    return any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in modules)


def _is_plain(model: nn.Module) -> bool:
    """Whether the model is what its config says, part by part, in 32-bit floats in the machine's memory."""
    tensors = (*model.parameters(), *model.buffers())
    if not all(_is_readable(tensor) for tensor in tensors) or is_watched(model.modules()):
        return False
    return _anatomy(model) == _expected(type(model), model.config)


@functools.lru_cache(maxsize=4)
def _expected(kind: type[nn.Module], config: Any) -> list[Any]:
    with torch.device("meta"):
        return _anatomy(kind(config))


def _anatomy(model: nn.Module) -> list[Any]:
    """Of each part: its name, its class, what is set in it, and the shapes of its tensors."""
    return [
        (
            name,
            type(part),
            {n: v for n, v in vars(part).items() if n[0] != "_" and n not in PASSING},
            {n: t.shape for place in (part._parameters, part._buffers) for n, t in place.items() if t is not None},
        )
        for name, part in model.named_modules()
    ]


def _is_readable(tensor: Tensor) -> bool:
    """By its address: no subclass that keeps its numbers elsewhere, or in another form."""
    plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided and tensor.data_ptr() != 0
    return plain and tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous()


class DecodingKernel:
    """``kernel(idx, cache)`` -> scores (B, V) of what follows idx (B, 1): ``model(idx, cache)[:, -1]``, in one call.

    Equal to torch's up to rounding. To the last bit it does not depend on the number of threads. The model counts as in
    evaluation mode.
    """

    def __init__(self, model: nn.Module, library: ctypes.CDLL) -> None:
        self._model, self._library, self._process = model, library, os.getpid()
        weights = [w for part in _parts(model) for w in part]
        self._modules = list(model.modules())
        places = [(place, name) for m in self._modules for place in (m._parameters, m._buffers) for name in place]
        # They are read by address, so they live as long as this does; `still_fits` sees whether they are still there.
        held = [(place, name, place[name]) for place, name in places if place[name] is not None]
        self._tensors = [(place, name, tensor, tensor.data_ptr()) for place, name, tensor in held]
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
        # Not at the end of the process: another thread may be in the middle of a step, and all ends by itself.
        weakref.finalize(self, _free, library, self._decoder, self._process).atexit = False

    def still_fits(self) -> bool:
        """Whether the model is what it was: its parts, its weights where they were (values may change), no hooks."""
        if os.getpid() != self._process or torch.is_autocast_enabled("cpu"):  # a forked process has no threads
            return False
        for place, name, tensor, address in self._tensors:
            if place.get(name) is not tensor or tensor.data_ptr() != address or not tensor.is_contiguous():
                return False
        same = all(place.get(name) is child for place, name, child in self._children)
        return same and not is_watched(self._modules)

    def __call__(self, idx: Tensor, cache: Any) -> Tensor:
        self._check(idx, cache)
        x = self._model.embed(idx, cache).contiguous()  # (B, 1, C)
        logits = x.new_empty(len(idx), self._model.config.vocab_size)
        padding = cache.padding.to("cpu", torch.int64).contiguous() if hasattr(cache, "padding") else None
        failed = self._library.decoder_step(
            ctypes.c_void_p(self._decoder),
            _address(x),
            ctypes.c_int64(len(idx)),
            ctypes.c_int64(cache.length),
            None if padding is None else _address(padding),
            _address(cache.keys),
            _address(cache.values),
            _numbers(*cache.keys.stride()[:4]),
            _address(logits),
        )
        if failed:
            raise CourseError("There is not enough memory left to decode: ask for fewer streams at once.")
        cache.advance(1)
        return logits

    def _check(self, idx: Tensor, cache: Any) -> None:
        """Raise CourseError for what C++ would read past, or not see."""
        layers, streams, heads, places, width = cache.keys.shape
        config = self._model.config
        expected = (config.n_layer, config.n_head, config.block_size, config.n_embd // config.n_head)
        if idx.shape != (streams, 1) or (layers, heads, places, width) != expected:
            raise CourseError(
                f"The kernel expects one token for each stream of a cache of this model, {(streams, 1)}; it got "
                f"{tuple(idx.shape)}, and a cache of {layers} layers x {heads} heads x {places} places x {width}."
            )
        if not (cache.keys.dtype == cache.values.dtype == torch.float32 and cache.keys.is_cpu and cache.values.is_cpu):
            raise CourseError("The kernel expects a cache of 32-bit floats in the machine's memory; this one is not.")
        if cache.length >= places:
            raise CourseError(f"The cache is full: it holds {cache.length} tokens, as many as the model sees.")


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
