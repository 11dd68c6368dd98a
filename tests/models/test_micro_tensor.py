"""microGPT on tensors: the same weights give the same logits, losses and gradients, and the same training."""

import pytest
import torch
from torch.nn import functional as F

from course_lib.data import load_text
from course_lib.models.micro import MicroGPT
from course_lib.models.micro.gpt import document_loss
from course_lib.models.micro.tensor import TensorMicroGPT

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [{}, {"n_layer": 2, "n_head": 3, "n_embd": 12, "block_size": 5}]


@pytest.fixture(scope="module")
def names() -> list[str]:
    return load_text("names").split()[:400]


def tokens_of(micro: MicroGPT, doc: str) -> list[int]:
    return [micro.boundary, *micro.encode(doc), micro.boundary][: micro.config.block_size + 1]


def tensor_loss(model: TensorMicroGPT, tokens: list[int]) -> torch.Tensor:
    logits = model(torch.tensor([tokens[:-1]]))
    return F.cross_entropy(logits[0], torch.tensor(tokens[1:]))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("engine", ["scalar", "vector"])
def test_the_same_weights_give_the_same_losses_and_gradients(names, sizes, engine):
    micro = MicroGPT(names, engine=engine, **sizes)
    micro.train(100, stop_after=12)  # so that no matrix is all zeros any more
    model = TensorMicroGPT(micro)
    for doc in ("o", "anna", "maximilian"):
        tokens = tokens_of(micro, doc)
        loss = document_loss(micro.parts, micro.weights, micro.config, tokens)
        loss.backward()
        theirs = tensor_loss(model, tokens)
        assert theirs.item() == pytest.approx(micro.parts.number(loss), abs=1e-6)
        model.zero_grad()
        theirs.backward()
        for i in range(micro.config.n_layer):
            parts = [gradients(micro, f"layer{i}.attn_w{part}") for part in "qkv"]
            close(model.attn[i].qkv.weight.grad, torch.cat(parts))
            close(model.attn[i].proj.weight.grad, gradients(micro, f"layer{i}.attn_wo"))
            close(model.mlp[i].up.weight.grad, gradients(micro, f"layer{i}.mlp_fc1"))
            close(model.mlp[i].down.weight.grad, gradients(micro, f"layer{i}.mlp_fc2"))
        for name in ("wte", "wpe", "lm_head"):
            close(getattr(model, name).weight.grad, gradients(micro, name))
        for rows in micro.weights.values():
            for row in rows:
                micro.parts.assign(row, micro.parts.numbers(row))  # its gradients are 0 again


def gradients(micro: MicroGPT, name: str) -> torch.Tensor:
    return torch.tensor([micro.parts.gradients(row) for row in micro.weights[name]])


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_the_same_guesses(names):
    micro = MicroGPT(names, engine="vector")
    micro.train(100, stop_after=30)
    model = TensorMicroGPT(micro)
    for start in ("", "e", "mar"):
        with torch.no_grad():
            logits = model(torch.tensor([[micro.boundary, *micro.encode(start)]]))[0, -1]
        assert logits.softmax(-1).tolist() == pytest.approx(list(micro.probabilities(start).values()), abs=1e-6)


def test_it_has_as_many_weights_and_shares_none_with_its_source(names):
    micro = MicroGPT(names, engine="vector")
    model = TensorMicroGPT(micro)
    assert sum(p.numel() for p in model.parameters()) == micro.num_params == 4064
    before = micro.probabilities("e")
    with torch.no_grad():
        model.wte.weight.zero_()
    assert micro.probabilities("e") == before


def test_with_torchs_adam_it_trains_as_the_other_two_do(names):
    """In float64, so that nothing but the order of additions differs."""
    micro = MicroGPT(names, engine="vector")
    losses = micro.train(40)
    again = MicroGPT(names, engine="vector")
    with torch.random.fork_rng():
        model = TensorMicroGPT(again).double()
    model.load(again)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    for step, expected in enumerate(losses):
        loss = tensor_loss(model, tokens_of(again, again.docs[step]))
        assert loss.item() == pytest.approx(expected, abs=1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
