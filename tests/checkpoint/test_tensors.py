"""How weights and optimizer state come to the CPU; what is then written, test_writing.py has."""

import types
from typing import Any

import pytest
import torch

from course_lib.checkpoint.optimizers import pack_optimizer
from course_lib.checkpoint.tensors import model_tensors, on_cpu
from course_lib.config import GPTConfig, TrainConfig
from course_lib.models import GPT
from course_lib.optim import build_optimizer


class OnCard:
    """A tensor on a card, as far as copying goes; its values come when the card has been waited for."""

    is_cuda = True

    def __init__(self, name: str, device: str, log: list[tuple[str, ...]]) -> None:
        self.name, self.device, self.log = name, device, log

    def detach(self) -> "OnCard":
        return self

    def contiguous(self) -> "OnCard":
        return self

    def to(self, device: str, non_blocking: bool = False) -> str:
        assert (device, non_blocking) == ("cpu", True)
        self.log.append(("copy", self.name))
        return f"{self.name} there"


def test_a_card_is_waited_for_once_when_all_copies_are_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, ...]] = []

    def stream(card: str) -> Any:
        return types.SimpleNamespace(synchronize=lambda: log.append(("wait", card)))

    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    tensors = {name: OnCard(name, "cuda:0" if name != "c" else "cuda:1", log) for name in "abcd"}
    here = torch.arange(6.0).view(2, 3)
    found = on_cpu(tensors | {"here": here})
    assert log[:4] == [("copy", name) for name in "abcd"]
    assert sorted(log[4:]) == [("wait", "cuda:0"), ("wait", "cuda:1")]
    assert found == {name: f"{name} there" for name in "abcd"} | {"here": found["here"]}
    assert list(found) == [*"abcd", "here"]


def test_on_the_cpu_nothing_is_copied_that_need_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_stream", None)
    row, turned = torch.arange(6.0), torch.arange(6.0).view(2, 3).T
    found = on_cpu({"row": row, "turned": turned})
    assert found["row"].data_ptr() == row.data_ptr()
    assert found["turned"].is_contiguous()
    assert torch.equal(found["turned"], turned)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_models_tensors_are_its_own(one_thread: None, optimizer: str) -> None:
    model = GPT(GPTConfig(block_size=8, vocab_size=11, n_layer=1, n_head=2, n_embd=8))
    built = build_optimizer(model, TrainConfig(optimizer=optimizer))
    model(torch.ones(2, 8, dtype=torch.long)).sum().backward()
    built.step()
    weights = model_tensors(model)
    assert "head.weight" not in weights  # tied: the first name has it
    assert {t.data_ptr() for t in weights.values()} == {p.data_ptr() for p in model.parameters()}
    kept = pack_optimizer(model, built)[0]
    assert {name.rpartition("/")[0] for name in kept} == {name for name, _ in model.named_parameters()}
