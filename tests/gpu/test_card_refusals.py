"""What a card must never see: ids that it does not know, and, of Apple's, numbers of 64 bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cards import BLOCK, EVERYWHERE, PretendCard, build, numbers, settings, small_trainer

from course_lib import sampling
from course_lib.data import Batcher, load_prepared, prepare
from course_lib.errors import CourseError
from course_lib.sampling import generate, stream
from course_lib.training import Trainer


def everything(device: str, batches_on: str | None = None, **changes) -> None:
    """Each thing once that a card is asked to do: train, log, evaluate, sample."""
    vocab_size = numbers()[0].vocab_size
    ids = numbers()[1]
    where = batches_on or device
    config = settings(device if device != "meta" else "cpu", max_steps=3, eval_every=2, eval_batches=2, **changes)
    val = Batcher(ids[:999], 4, BLOCK, device=where)
    trainer = Trainer(build(dropout=0.1), Batcher(ids, 16, BLOCK, device=where), config, val_batches=val)
    assert len(list(trainer)) == 3
    for how in (dict(temperature=0), dict(top_k=5, top_p=0.9), dict(use_cache=False)):
        tokens = list(stream(trainer.model, [[1, 2], [3, 4]], 3, **how))
        assert [token.shape for token in tokens] == [(2, 1)] * 3
        assert all(token.device.type == "meta" or 0 <= token.min() <= token.max() < vocab_size for token in tokens)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_a_card_does_all_that_is_asked_of_it(device: str, optimizer: str) -> None:
    """On Apple's GPU this fails where anything wants float64."""
    everything(device, optimizer=optimizer)
    everything(device, batches_on="cpu", optimizer=optimizer)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_card_is_given_no_float64(pretend_card: PretendCard, monkeypatch, optimizer: str) -> None:
    """The same on a card that only pretends to be one, so that a fault shows where Apple's GPU is not."""
    monkeypatch.setattr(sampling, "_as_float64", lambda logits: logits)  # asks for the CPU on MPS by its name
    with pretend_card:
        everything("meta", optimizer=optimizer)
    assert pretend_card.float64 == []
    assert pretend_card.reads  # the loss of the first step, to name one: it does notice


def test_the_pretended_card_sees_float64(pretend_card: PretendCard) -> None:
    with pretend_card:
        torch.ones(3, device="meta").double()
        torch.zeros(3, dtype=torch.float64, device="meta")
        torch.zeros(3, dtype=torch.float64)
    assert len(pretend_card.float64) == 2


@pytest.mark.parametrize("wrong", [-1, 24, 70_000])
@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_ids_outside_the_vocabulary_are_refused_before_the_card_sees_them(
    device: str, wrong: int, project: Path
) -> None:
    """On CUDA such an id ends all work of the process, without words; after the refusal it works on."""
    tokenizer, ids = numbers()
    assert tokenizer.vocab_size == 24
    spoiled = ids.astype(np.int64)
    spoiled[-1] = wrong
    with pytest.raises(CourseError, match=f"from 0 to 23; among the tokens is {wrong}"):
        Trainer(build(), Batcher(spoiled, 16, BLOCK, device=device), settings(device))
    with pytest.raises(CourseError, match=f"from 0 to 23, as this model knows them; there is {wrong}"):
        generate(build().to(device), [[1, wrong]], 3)
    assert len(list(small_trainer(device, max_steps=2))) == 2


@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_so_are_those_of_a_file_that_is_read_piece_by_piece(device: str, project: Path) -> None:
    """Its manifest may not tell the truth: each batch is looked at before it leaves for the card."""
    prepared = load_prepared(prepare("numbers", "char"))
    path = prepared.path("train")
    ids = np.memmap(path, dtype="<u2", mode="r+")
    ids[:] = 24
    ids.flush()
    trainer = Trainer(build(), Batcher(path, 16, BLOCK, device=device, resident=False), settings(device))
    with pytest.raises(CourseError, match="from 0 to 23; among the tokens is 24"):
        next(trainer)
    assert len(list(small_trainer(device, max_steps=2))) == 2
