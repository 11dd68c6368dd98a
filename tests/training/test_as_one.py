"""What is done for a card, held to the plain form of it on a CPU."""

import threading

import pytest
import torch
from torch import nn

from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher, load_prepared, prepare, prepared
from course_lib.errors import CourseError
from course_lib.locks import system_lock
from course_lib.losses import chunked_cross_entropy, cross_entropy
from course_lib.models import GPT
from course_lib.models.linear import padded_linear
from course_lib.training import Trainer, next_token_loss, scoring, setup

pytestmark = pytest.mark.usefixtures("one_thread")


def small(**changes) -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(**dict(block_size=8, vocab_size=13, n_layer=1, n_head=2, n_embd=16) | changes))


# Losses in chunks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows_at_once", [1, 5, 24, 1000])
def test_a_loss_in_chunks_is_the_loss_of_the_whole(rows_at_once):
    model, idx = small(), torch.arange(24).view(3, 8) % 13
    targets = idx.roll(-1, 1)
    whole = cross_entropy(model(idx), targets)
    whole.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    loss = chunked_cross_entropy(model.hidden(idx), model.scores, targets, rows_at_once)
    loss.backward()
    assert loss.item() == pytest.approx(whole.item(), rel=1e-6)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, expected[name], rtol=1e-4, atol=1e-7)


def test_only_many_logits_come_in_chunks(monkeypatch):
    model, idx = small(), torch.arange(24).view(3, 8) % 13
    seen = []
    scores = model.scores
    monkeypatch.setattr(model, "scores", lambda hidden: seen.append(hidden.shape[-2]) or scores(hidden))
    whole = next_token_loss(model, idx, idx)
    assert seen == [8]  # T
    monkeypatch.setattr(scoring, "MOST_LOGITS", 7 * 13)
    seen.clear()
    with torch.no_grad():
        assert next_token_loss(model, idx, idx).item() == pytest.approx(whole.item(), rel=1e-6)
    assert seen == [7, 7, 7, 3]  # of 24 tokens

    class Bare(nn.Module):  # a model that is no GPT has no hidden()
        config = model.config

        def forward(self, idx):
            return torch.zeros(*idx.shape, 13)

    assert next_token_loss(Bare(), idx, idx).item() == pytest.approx(2.564949, rel=1e-6)  # ln 13


# The head, padded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 13, 63, 64, 65, 128, 200])
def test_a_padded_product_is_the_product(rows):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 8, requires_grad=True), torch.randn(rows, 8, requires_grad=True)
    y, plain = padded_linear(x, weight), nn.functional.linear(x, weight)
    assert y.shape == (2, 3, rows)
    torch.testing.assert_close(y, plain, rtol=1e-6, atol=1e-6)
    weights = torch.randn_like(plain)
    ours = torch.autograd.grad((y * weights).sum(), (x, weight))
    theirs = torch.autograd.grad((plain * weights).sum(), (x, weight))
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


# Compiled as one ------------------------------------------------------------------------------------------


@pytest.fixture
def compiling(monkeypatch) -> list[object]:
    """What is given to torch.compile, which here gives it back as it is."""
    given: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda what, **how: given.append(what) or what)
    monkeypatch.setattr(setup, "need_compiler", lambda device: None)
    return given


def trainer(**changes) -> Trainer:
    config = TrainConfig(max_steps=4, eval_every=0, device="cpu", **changes)
    return Trainer(small(dropout=0.1), Batcher(torch.arange(60) % 13, 2, 8), config)


def test_model_and_loss_are_compiled_as_one(compiling):
    assert len(list(trainer(compile=True))) == 4
    assert compiling == [next_token_loss]


def test_a_compiled_run_keeps_its_dropout(compiling):
    run = trainer(compile=True)
    run.change(dropout=0.2)  # nothing is compiled yet
    next(run)
    run.change(dropout=0.2, max_lr=1e-4)  # as it is
    with pytest.raises(CourseError, match="A compiled model keeps its dropout while it trains"):
        run.change(dropout=0.3)
    assert next(run).dropout == 0.2
    plain = trainer()
    next(plain)
    plain.change(dropout=0.3)
    assert next(plain).dropout == 0.3


# One wait for many numbers --------------------------------------------------------------------------------


def test_an_evaluation_reads_its_losses_at_the_end(monkeypatch):
    """The host asks a device for a number by item(), tolist() or bool(): here it is counted."""
    model, reads = small(), []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, real=real, name=name: reads.append(name) or real(self))
    windows = list(Batcher(torch.arange(400) % 13, 2, 8).windows())
    reads.clear()
    value = scoring.mean_loss(model, windows)
    assert reads == ["tolist"]
    assert len(windows) > 20
    each = [(cross_entropy(model(x), y).double().item(), y.numel()) for x, y in windows]
    assert value == pytest.approx(sum(loss * n for loss, n in each) / sum(n for _, n in each), rel=1e-12)


def test_a_weight_that_is_not_finite_is_found_wherever_it_is(project):
    for i in range(len(list(small().parameters()))):
        run = Trainer(small(), Batcher(torch.arange(60) % 13, 2, 8), TrainConfig(max_steps=2, device="cpu"),
                      run_dir=project / f"run{i}")  # fmt: skip
        with torch.no_grad():
            list(run.model.parameters())[i].view(-1)[-1] = float("nan")
        with pytest.raises(CourseError, match="A weight is no longer finite"):
            run.save()


# One process prepares, the others wait --------------------------------------------------------------------


def test_who_comes_second_waits_and_finds_the_files(project, monkeypatch):
    (project / "a.txt").write_text("the cat sat on the mat. " * 50)
    (project / "data").mkdir()
    lock = system_lock(project / "data" / ".preparing.lock")
    lock.acquire()
    folders: list[object] = []
    written: list[object] = []
    write = prepared.put_in_place
    monkeypatch.setattr(prepared, "put_in_place", lambda *args: written.append(args[0]) or write(*args))
    others = [threading.Thread(target=lambda: folders.append(prepare("text:a.txt"))) for _ in range(3)]
    for thread in others:
        thread.start()
    others[0].join(0.3)
    assert folders == written == []  # they wait
    lock.release()
    for thread in others:
        thread.join(30)
    assert len(folders) == 3
    assert written == [folders[0]]
    assert load_prepared(folders[0]).manifest["corpus"] == "text:a.txt"
