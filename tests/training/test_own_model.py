"""A model of one's own in a run folder: trained, kept, gone on with bit for bit, and sampled from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from kept_run import kept
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.config import MODEL_KINDS, Config, DataConfig, GPTConfig, ModelKind, OwnModel, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.models import GPT, build_model
from course_lib.recipes.build import resume_trainer
from course_lib.sampling import generate
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

V, T = 11, 8
TRAIN = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
VAL = torch.randint(0, V, (94,), generator=torch.Generator().manual_seed(2))
TRAINED = TrainConfig(max_steps=10, eval_every=4, save_every=3, batch_size=4, device="cpu", precision="fp32")
TOKENIZER = CharTokenizer("abcdefghijk")


class Bag(nn.Module):
    """An MLP on the mean of all that came so far: it sees the whole past, as a bag of tokens."""

    context = None

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.table = nn.Embedding(V, width)
        self.mlp = nn.Sequential(nn.Linear(width, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.2), nn.Linear(9, V))

    def forward(self, idx: Tensor) -> Tensor:
        """(B, T) -> (B, T, V)."""
        B, T = idx.shape
        mean = self.table(idx).cumsum(dim=1) / torch.arange(1, T + 1, device=idx.device)[:, None]
        return self.mlp(mean.flatten(0, 1)).view(B, T, V)


@dataclass(frozen=True)
class BagConfig(Config):
    width: int = 6


class KnownBag(Bag):
    """The same with settings of its own, so that it can be built from them."""

    def __init__(self, config: BagConfig) -> None:
        super().__init__(config.width)
        self.config = config


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODEL_KINDS, "bag", ModelKind(BagConfig, KnownBag))


def new(kind: str) -> nn.Module:
    torch.manual_seed(7)
    return Bag() if kind == "own" else KnownBag(BagConfig(6))


def make(model: nn.Module, run: Path, config: TrainConfig = TRAINED, **more: Any) -> Trainer:
    batches, val = Batcher(TRAIN, 4, T, 1337), Batcher(VAL, 3, T)
    return Trainer(model, batches, config, None, val, TOKENIZER, run, **more)


def resume(run: Path, model: nn.Module | None = None, **more: Any) -> Trainer:
    return Trainer.resume(run, Batcher(TRAIN, 4, T, 1337), Batcher(VAL, 3, T), model=model, **more)


# ---- gone on with ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["own", "known", "known, given all the same"])
@pytest.mark.usefixtures("known")
def test_a_resumed_run_is_the_run_that_was_never_stopped(kind: str, project: Path) -> None:
    """Its buffers (the running means of BatchNorm) are kept as its weights are."""
    list(make(new(kind), project / "whole"))
    cut = make(new(kind), project / "cut")
    for _ in range(7):
        next(cut)
    del cut
    torch.manual_seed(99)
    again = resume(project / "cut", None if kind == "known" else new(kind))
    assert again.step == 6
    list(again)
    found, wanted = kept(project / "cut"), kept(project / "whole")
    for part in wanted:
        assert found[part] == wanted[part], part
    assert any("running_mean" in name for name in again.model.state_dict())


def test_model_and_optimizer_may_both_be_ones_own(project: Path) -> None:
    def own(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(model.parameters(), lr=0.01, momentum=0.5)

    list(make(new("own"), project / "whole", optimizer=own))
    cut = make(new("own"), project / "cut", optimizer=own)
    for _ in range(7):
        next(cut)
    del cut
    model = new("own")
    list(resume(project / "cut", model, optimizer=own(model)))
    assert kept(project / "cut") == kept(project / "whole")


# ---- loaded and sampled from -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["own", "known"])
@pytest.mark.usefixtures("known")
def test_what_was_trained_is_loaded_and_writes(kind: str, project: Path) -> None:
    trainer = make(new(kind), project / "run")
    list(trainer)
    before = torch.get_rng_state()
    loaded = checkpoint.load(project / "run", model=Bag() if kind == "own" else None)
    if kind == "known":
        assert torch.get_rng_state().equal(before)
        assert loaded.config.model == BagConfig(6)
    assert not loaded.model.training
    idx = [1, 2, 3]
    found = generate(loaded.model, idx, 20, seed=3)  # the whole past counts: it has no context to crop to
    assert found.equal(generate(trainer.model, idx, 20, seed=3))
    assert found.shape == (1, 23)
    assert loaded.tokenizer.decode(found[0].tolist())[:3] == "bcd"


class Counting(nn.Module):
    """Says how long each idx was; the next token is always 0."""

    def __init__(self, context: int | None) -> None:
        super().__init__()
        self.context, self.lengths = context, list[int]()

    def forward(self, idx: Tensor) -> Tensor:
        self.lengths.append(idx.shape[1])
        return torch.nn.functional.one_hot(torch.zeros_like(idx), V).float()


@pytest.mark.parametrize(("context", "lengths"), [(None, [3, 4, 5, 6]), (4, [3, 4, 4, 4]), (2, [2, 2, 2, 2])])
def test_a_model_reads_as_many_tokens_as_its_context_says(context: int | None, lengths: list[int]) -> None:
    model = Counting(context)
    assert generate(model, [1, 2, 3], 4, temperature=0).tolist() == [[1, 2, 3, 0, 0, 0, 0]]
    assert model.lengths == lengths


def test_a_model_that_does_not_say_how_far_it_sees_is_told_to(project: Path) -> None:
    with pytest.raises(CourseError, match="Linear does not say how many tokens it sees"):
        generate(nn.Linear(1, 1), [1], 4)


def test_a_gpt_says_its_block_size() -> None:
    assert GPT(GPTConfig(T, V, 1, 1, 4)).context == T


# ---- what the folder says ----------------------------------------------------------------------------


def test_a_known_kind_is_in_the_folder_by_its_name(known: None, project: Path) -> None:
    make(new("known"), project / "run")
    assert json.loads((project / "run" / "config.json").read_text())["model"] == {"kind": "bag", "width": 6}


def test_a_model_that_no_registry_knows_is_in_the_folder_by_its_class(project: Path) -> None:
    make(new("own"), project / "run")
    assert checkpoint.read_config(project / "run")[0].model == OwnModel("own:Bag")


@pytest.mark.parametrize("kind", ["own", "known"])
def test_whoever_cannot_build_it_is_told_how_to_give_it(
    kind: str, known: None, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the program that named the kind is another one; what it kept of the model is not lost."""
    data = DataConfig(dataset="numbers")
    list(make(new(kind), project / "run", data=data))
    before = (project / "run" / "config.json").read_bytes()
    monkeypatch.delitem(MODEL_KINDS, "bag")
    name = "own:Bag" if kind == "own" else "bag"
    with pytest.raises(CourseError, match=rf"kind '{name}', which course_lib cannot build.*checkpoint.load\(.*model"):
        checkpoint.load(project / "run")
    with pytest.raises(CourseError, match=rf"kind '{name}'.*Trainer.resume\('.*run', batches.*model=") as caught:
        resume(project / "run")
    assert ("MODEL_KINDS['bag'] = ModelKind(" in str(caught.value)) is (kind == "known")
    with pytest.raises(CourseError, match=r"model of its own.*Trainer.resume\('.*run', batches.*model=your_model"):
        resume_trainer(project / "run")
    assert checkpoint.load(project / "run", model=new(kind)).state["step"] == 10
    again = resume(project / "run", new(kind), max_steps=12)
    assert [record.step for record in again] == [10, 11]
    about = checkpoint.read_config(project / "run")[0]
    checkpoint.record_data(project / "run", about)
    assert (project / "run" / "config.json").read_bytes() == before


def test_a_kind_that_is_named_after_the_settings_were_read_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = OwnModel("bag", {"width": 3})
    with pytest.raises(CourseError, match="of the kind 'bag'; it knows gpt"):
        build_model(settings)
    monkeypatch.setitem(MODEL_KINDS, "bag", ModelKind(BagConfig, KnownBag))
    assert build_model(settings).config == BagConfig(3)


def test_a_kind_may_be_named_by_its_place_and_is_imported_when_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODEL_KINDS, "bag", ModelKind(BagConfig, f"{__name__}:KnownBag"))
    assert type(build_model(BagConfig(2))) is KnownBag
    assert MODEL_KINDS["bag"].model is KnownBag


def test_settings_of_no_kind_are_named() -> None:
    with pytest.raises(CourseError, match="of the kind 'BagConfig'; it knows gpt"):
        build_model(BagConfig(2))


def test_a_model_of_another_form_is_refused(project: Path, known: None) -> None:
    list(make(new("own"), project / "own"))
    with pytest.raises(CourseError, match=r"mlp\.0\.weight should have the shape \(9, 5\)"):
        checkpoint.load(project / "own", model=Bag(5))
    with pytest.raises(CourseError, match="model of another form"):
        resume(project / "own", nn.Linear(2, 2))
    list(make(new("known"), project / "known"))
    with pytest.raises(CourseError, match=r"built from BagConfig\(width=6\).*a KnownBag, from BagConfig\(width=5\)"):
        resume(project / "known", KnownBag(BagConfig(5)))
    with pytest.raises(CourseError, match="a Bag, from settings that nobody knows"):
        checkpoint.load(project / "known", model=Bag())
