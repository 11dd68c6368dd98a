"""What the card's tests share: which devices a test runs on, a small run for each, and a card that cannot be read.

A test says where it runs by the list that it hands to ``parametrize("device", ..., indirect=True)``. On the CPU the
same body runs among the ordinary tests (or the slow ones), in a small form: so it cannot rot where no card is.
"""

import functools
import gc
import os
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher, load_text
from course_lib.device import choose, find
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer

ROOT = Path(__file__).resolve().parents[2]
CUDA = [pytest.param("cuda", marks=pytest.mark.gpu)]
CARDS = [*CUDA, pytest.param("mps", marks=pytest.mark.gpu)]
EVERYWHERE = ["cpu", *CARDS]
SLOWLY = [pytest.param("cpu", marks=pytest.mark.slow), *CARDS]

GPT2 = dict(bias=True)
MODERN = dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2", tie_weights=False)
BLOCK, BATCH = 32, 16


def on(device: str) -> pytest.MarkDecorator:
    """For what one device alone has."""
    return pytest.mark.parametrize("device", [pytest.param(device, marks=pytest.mark.gpu)], indirect=True)


@functools.cache
def numbers() -> tuple[CharTokenizer, np.ndarray]:
    """A text that a small model learns quickly: its tokenizer and its ids."""
    text = load_text("numbers")[:200_000]
    tokenizer = CharTokenizer.train(text)
    return tokenizer, tokenizer.encode_array(text)


def build(seed: int = 0, block_size: int = BLOCK, **form: Any) -> GPT:
    """A small model, of GPT-2's form where ``form`` names no other; the same weights wherever it goes afterward."""
    torch.manual_seed(seed)
    shape = dict(n_layer=2, n_head=4, n_embd=64) | form
    return GPT(GPTConfig(block_size=block_size, vocab_size=numbers()[0].vocab_size, **shape))


def lively(form: dict[str, Any], block_size: int = BLOCK) -> GPT:
    """Weights so large that the choices vary and are not near a tie."""
    model = build(block_size=block_size, **form)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            # A tied head prefers the token it has just seen, unless the blocks outweigh the embedding.
            size = 0.5 if model.config.tie_weights and name == "token_embedding.weight" else 1.5
            if p.ndim == 2:
                p.copy_(torch.randn(p.shape, generator=generator) * size / p.shape[1] ** 0.5)
    return model.eval()


def settings(device: str, **changes: Any) -> TrainConfig:
    usual = dict(max_steps=100, batch_size=BATCH, max_lr=3e-3, warmup_steps=10, eval_every=0, precision="fp32")
    return TrainConfig(device=device, **(usual | changes))


def small_trainer(device: str, form: dict[str, Any] | None = None, seed: int = 0, **changes: Any) -> Trainer:
    """A run on `numbers`; what a run directory needs is among ``changes`` as well."""
    more = {name: changes.pop(name) for name in ("run_dir", "val_batches", "loss") if name in changes}
    config = settings(device, **changes)
    batches = Batcher(numbers()[1], config.batch_size, BLOCK, seed, device, config.grad_accum)
    return Trainer(build(seed, **(form or {})), batches, config, tokenizer=numbers()[0], **more)


def why_not(device: str, precision: str) -> str | None:
    """Why ``device`` has no such arithmetic, or None where it has."""
    try:
        choose(find(device), precision)
    except CourseError as error:
        return str(error)
    return None


def exact() -> None:
    """No TF32: fp32 with all its 24 bits. To be called when the trainer stands: building one may switch TF32 on."""
    torch.set_float32_matmul_precision("highest")


def wait_for(device: str) -> None:
    """Until the card has done all that it was given."""
    if device != "cpu":
        getattr(torch, device).synchronize()


def held_bytes(device: str) -> int:
    """The bytes of all tensors that are alive on ``device``."""
    gc.collect()
    wait_for(device)
    if device == "cuda":
        return torch.cuda.memory_allocated()
    if device == "mps":
        return torch.mps.current_allocated_memory()
    storages = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), Tensor) and thing.device.type == "cpu" and thing.layout == torch.strided:
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def reserved_bytes(device: str) -> int:
    """What torch has taken from the driver, and gives back only when it must; of a CPU nobody keeps an account."""
    return torch.cuda.memory_reserved() if device == "cuda" else 0


def scores(model: GPT, ids: list[int]) -> Tensor:
    """What ``model`` gives each token to follow ``ids`` (V,), computed on the CPU."""
    with torch.no_grad():
        return model.cpu().eval()(torch.tensor([ids[-model.config.block_size :]]))[0, -1]


def assert_same_tokens(model: GPT, one: list[int], other: list[int], prompt: int) -> None:
    """Two greedy continuations of the first ``prompt`` tokens are the same up to a tie, from where either is right.

    Two scores are tied within 1e-5, of the largest score where that is above 1: as near as fp32 can tell.
    """
    assert len(one) == len(other)
    assert one[:prompt] == other[:prompt]
    place = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), None)
    if place is not None:
        found = scores(model, one[:place])
        gap = abs(found[one[place]] - found[other[place]]).item()
        assert gap <= 1e-5 * max(1.0, found.abs().max().item()), f"token {place} differs, by {gap} in its score"


def run_script(name: str, *words: object, seconds: float = 150, launcher: tuple[str, ...] = (), **environment: str):
    """A script of this folder in a process of its own, as a checkout that is not installed has it; what it printed."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "gpu")])
    around = os.environ | {"PYTHONPATH": path, "COURSE_OFFLINE": "1"} | environment
    command = [sys.executable, *launcher, str(ROOT / "tests" / "gpu" / name), *map(str, words)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(command, env=around, start_new_session=True, **pipes) as script:
        try:
            out, err = script.communicate(timeout=seconds)
        except BaseException:
            os.killpg(script.pid, signal.SIGKILL)  # a launcher's processes, too: they hold the pipes open
            raise
    assert script.returncode == 0, f"{name} {words}:\n{out[-2000:]}\n{err[-4000:]}"
    return out


@dataclass
class PretendCard(TorchDispatchMode):
    """Within it torch's device ``meta`` is a card whose memory the host cannot see: it has shapes, and no values.

    So every reading of a value, for which a step on a card would wait, is noted, and answered with zero; and every
    float64 is noted, which Apple's GPU does not have. Each note says where in the library it was.
    """

    reads: list[str] = field(default_factory=list)
    float64: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # in inference mode operations come whole that elsewhere come in parts
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        if _on_meta(args):
            if func.name() == "aten::_local_scalar_dense":
                self.reads.append(_where())
                return _zero(args[0].dtype)
            if func.name() == "aten::_to_copy" and torch.device(kwargs.get("device") or "meta").type == "cpu":
                self.reads.append(_where())
                self.note_float64(args)
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
            kwargs = {name: value for name, value in kwargs.items() if name != "generator"}  # there is nothing to draw
        result = func(*args, **kwargs)
        self.note_float64(result)
        return result

    def note_float64(self, tensors: Any) -> None:
        if any(tensor.dtype == torch.float64 for tensor in _on_meta(tensors)):
            self.float64.append(_where())


def _on_meta(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.device.type == "meta"]


def _zero(dtype: torch.dtype) -> Any:
    return True if dtype == torch.bool else 0.0 if dtype.is_floating_point else 0


def _where() -> str:
    """The line of the library that is at work; of torch, where the library is not on the way there."""
    stack = traceback.extract_stack()[:-2]
    mine = [frame for frame in stack if "course_lib" in frame.filename] or stack
    return f"{Path(mine[-1].filename).name}:{mine[-1].lineno} {mine[-1].line}"
