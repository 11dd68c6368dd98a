"""fp32 on a card is fp32: as near to the truth as a CPU's, where TF32 is off.

The truth is float64. Rounding puts fp32 on the CPU at some distance from it, which grows with the number of terms in a
sum, the depth, and the steps: nobody derives it by hand, but it can be measured, for this very model and these very
numbers. A card adds up in another order, with the same unit u = 2**-24, so its distance is of the same size: which of
two orders is the better one is chance. A CPU's narrowest instructions were 0.4 to 1.3 times as far from the truth as
its widest. `FACTOR` gives a card 32. TF32 keeps 10 bits of a factor where fp32 keeps 23: its unit is 2**13 = 8192 times
as large, and the last test sees that it is found out.
"""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cards import EVERYWHERE, GPT2, MODERN, exact, small_trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.training import Trainer

FACTOR = 32
UNIT = 2.0**-24
"""What a result of about 1 is off for being rounded once, and half of it, at the least."""
FORMS = {"gpt2": GPT2, "modern": MODERN, "swiglu": MODERN | dict(mlp="swiglu", qk_norm=False, norm="layernorm")}


def loss_in_its_type(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The library's loss, which would make float32 of float64."""
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def results(
    device: str, form: dict[str, Any], dtype: torch.dtype = torch.float32, steps: int = 10
) -> dict[str, Tensor]:
    """Logits, gradients, and the losses and weights of ten steps, as float64 on the CPU."""
    trainer = small_trainer(device, form, loss=loss_in_its_type, max_steps=steps)
    exact()
    model: nn.Module = trainer.model
    if dtype is torch.float64:
        trainer = _doubled(trainer)
        model = trainer.model
    x, y = trainer.batches.batch(0)
    logits = model(x)
    F.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
    before = _row(model.parameters())
    found = {"logits": _row([logits]), "gradients": _row(p.grad for p in model.parameters())}
    found["losses"] = torch.tensor([record.train_loss for record in trainer], dtype=torch.float64)
    return found | {"movements": _row(model.parameters()) - before}


def _doubled(trainer: Trainer) -> Trainer:
    return Trainer(copy.deepcopy(trainer.model).double(), trainer.batches, trainer.config, loss=loss_in_its_type)


def _row(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().cpu().double().flatten() for tensor in tensors])


def distances(device: str, form: dict[str, Any]) -> dict[str, float]:
    """How far ``device`` is from float64, as a multiple of how far the CPU's fp32 is."""
    truth, usual, here = results("cpu", form, torch.float64), results("cpu", form), results(device, form)

    def off(one: Tensor, other: Tensor) -> float:
        return ((one - other).norm() / other.norm()).item()

    return {name: off(here[name], truth[name]) / max(off(usual[name], truth[name]), UNIT) for name in truth}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_fp32_is_as_near_to_float64_as_on_a_cpu(device: str, form: str) -> None:
    found = distances(device, FORMS[form])
    assert found.keys() == {"logits", "gradients", "losses", "movements"}
    assert max(found.values()) <= FACTOR, found


class Tf32(TorchDispatchMode):
    """Matrix products as TF32 makes them: of each factor the first 10 bits after the leading one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name() in ("aten::mm", "aten::bmm", "aten::addmm"):
            args = [_ten_bits(a) if isinstance(a, Tensor) and a.dtype == torch.float32 else a for a in args]
        return func(*args, **(kwargs or {}))


def _ten_bits(x: Tensor) -> Tensor:
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


@contextlib.contextmanager
def only_on_the_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The third of three computations is the card's."""
    turns = iter((contextlib.nullcontext, contextlib.nullcontext, Tf32))
    plain = results

    def one_of_them(*args: Any) -> dict[str, Tensor]:
        with next(turns)():
            return plain(*args)

    with monkeypatch.context() as patch:
        patch.setitem(globals(), "results", one_of_them)
        yield


@pytest.mark.parametrize("form", FORMS)
def test_tf32_would_be_found_out(monkeypatch: pytest.MonkeyPatch, one_thread: None, form: str) -> None:
    with only_on_the_card(monkeypatch):
        found = distances("cpu", FORMS[form])
    found.pop("losses")  # means over many tokens, in which much cancels
    assert min(found.values()) > FACTOR, found
