"""The ladder's models: each has the parts that its rung names and no others, and the last is the whole GPT."""

import itertools
from dataclasses import fields

import pytest
import torch
from torch import nn

from course_lib.models import GPT, GPTConfig
from course_lib.models.partial import LADDER, WITHOUT_POSITIONS, PartialGPT, Rung

CONFIG = GPTConfig(block_size=8, vocab_size=11, n_layer=2, n_head=4, n_embd=16)
each_rung = pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)


def model_of(rung: Rung) -> PartialGPT:
    torch.manual_seed(0)
    model = PartialGPT(CONFIG, rung)
    for p in model.parameters():
        nn.init.normal_(p, std=0.4)
    return model


def moved(model: nn.Module, place: int) -> list[bool]:
    """At which positions the logits move when the token at ``place`` is exchanged."""
    idx = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    other = idx.clone()
    other[0, place] = 10
    with torch.no_grad():
        far = (model(other) - model(idx)).abs().amax(dim=(0, 2))
    return [one > 1e-4 for one in far.tolist()]


def test_each_rung_adds_one_thing():
    for before, after in itertools.pairwise(LADDER):
        settings = [f.name for f in fields(Rung) if f.name != "name"]
        assert len([name for name in settings if getattr(before, name) != getattr(after, name)]) == 1
    changed = [f.name for f in fields(Rung) if getattr(WITHOUT_POSITIONS, f.name) != getattr(LADDER[-1], f.name)]
    assert changed == ["name", "positions"]


def test_the_last_rung_is_the_whole_gpt():
    model, whole = model_of(LADDER[-1]), GPT(CONFIG)
    whole.load_state_dict(model.state_dict())
    idx = torch.randint(11, (3, 8))
    assert torch.equal(model(idx), whole(idx))
    torch.manual_seed(5)
    fresh = PartialGPT(CONFIG, LADDER[-1]).state_dict()
    torch.manual_seed(5)
    assert all(torch.equal(fresh[name], weight) for name, weight in GPT(CONFIG).state_dict().items())


@each_rung
def test_only_attention_brings_the_past_and_nothing_the_future(rung):
    sees_past = [place >= 4 for place in range(8)]
    assert moved(model_of(rung), 4) == (sees_past if rung.heads else [place == 4 for place in range(8)])


@each_rung
def test_positions_count_only_where_they_are_named(rung):
    same = torch.full((1, 8), 3)
    logits = model_of(rung)(same)[0]
    assert torch.allclose(logits, logits[:1].expand_as(logits), atol=1e-4) == (not rung.positions)


@each_rung
def test_it_has_the_weights_of_its_parts(rung):
    V, T, C, L = 11, 8, 16, rung.layers
    expected = V * C * (1 if rung.tied else 2) + C  # tables, the last norm
    expected += T * C if rung.positions else 0
    expected += L * (4 * C * C + C) if rung.heads else 0
    expected += L * (8 * C * C + C) if rung.mlp else 0
    assert sum(p.numel() for p in model_of(rung).parameters()) == expected


def test_without_the_residual_a_part_replaces_what_came_in():
    rung = next(rung for rung in LADDER if rung.mlp)
    model = model_of(rung)
    for block in model.blocks:
        nn.init.zeros_(block.mlp.down.weight)
    assert model(torch.arange(8)[None]).abs().max() == 0
    kept = model_of(LADDER[-1])
    for block in kept.blocks:
        nn.init.zeros_(block.mlp.down.weight)
    assert kept(torch.arange(8)[None]).abs().max() > 0.1
