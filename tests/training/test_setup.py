"""What a trainer refuses before it begins: two answers to one question, and ids that its model does not know."""

from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import checkpoint
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher, prepare
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

V, T = 11, 8
IDS = torch.randint(0, V, (300,), generator=torch.Generator().manual_seed(1))
QUICK = dict(max_steps=2, eval_every=0, device="cpu", precision="fp32")
DEFAULT = TrainConfig()


def model(vocab_size: int = V) -> GPT:
    torch.manual_seed(7)
    return GPT(GPTConfig(block_size=T, vocab_size=vocab_size, n_layer=1, n_head=2, n_embd=16))


# Given twice ----------------------------------------------------------------------------------------------

DRAWN = {"batch_size": 4, "grad_accum": 2, "seed": 99}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(
    "give",
    [
        lambda given: TrainConfig(**QUICK, **given),
        lambda given: TrainConfig(**QUICK).replace(**given),
        lambda given: TrainConfig.from_dict(QUICK | given),
        lambda given: TrainConfig.from_toml("".join(f"{name} = {value}\n" for name, value in given.items())),
    ],
    ids=["by name", "replace", "from_dict", "TOML"],
)
def test_a_setting_given_twice_is_the_same_both_times(name: str, give) -> None:
    """Also where the other value happens to be the default: it was written down, so it was meant."""
    for value in (getattr(DEFAULT, name), 3):
        with pytest.raises(CourseError, match=f"{name} is {DRAWN[name]} in the batches and {value} in the training"):
            Trainer(model(), Batcher(IDS, block_size=T, **DRAWN), give({name: value}))
    trainer = Trainer(model(), Batcher(IDS, block_size=T, **DRAWN), give({name: DRAWN[name]}))
    assert {n: getattr(trainer.config, n) for n in DRAWN} == DRAWN


def test_what_is_not_given_is_taken_from_the_batches() -> None:
    trainer = Trainer(model(), Batcher(IDS, block_size=T, **DRAWN), TrainConfig(**QUICK))
    assert {n: getattr(trainer.config, n) for n in DRAWN} == DRAWN
    assert [record.tokens for record in trainer] == [4 * 2 * T, 2 * 4 * 2 * T]
    other = Batcher(IDS, 5, T, seed=3)  # the settings of one trainer for another: nobody has chosen these three
    assert Trainer(model(), other, trainer.config.replace(max_steps=9)).config.batch_size == 5


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    numbers = {name: np.int64(value) for name, value in DRAWN.items()}
    trainer = Trainer(model(), Batcher(IDS, block_size=np.int32(T), **numbers), TrainConfig(**QUICK))
    assert {name: type(getattr(trainer.config, name)) for name in DRAWN} == dict.fromkeys(DRAWN, int)
    assert len(list(trainer)) == 2


def test_batches_of_another_kind_decide_nothing() -> None:
    class Own:
        def batch(self, step: int, micro: int = 0):
            return IDS[None, :T], IDS[None, 1 : T + 1]

    trainer = Trainer(model(), Own(), TrainConfig(batch_size=3, grad_accum=2, seed=5, **QUICK))
    assert (trainer.config.batch_size, trainer.config.grad_accum, trainer.config.seed) == (3, 2, 5)
    assert len(list(trainer)) == 2


@pytest.mark.parametrize("name", DRAWN)
def test_a_run_goes_on_with_the_batches_it_had(project: Path, name: str) -> None:
    """Others have to be asked for, as a change of that setting."""
    whole = DRAWN | {"grad_accum": 1}
    list(Trainer(model(), Batcher(IDS, block_size=T, **whole), TrainConfig(**QUICK), run_dir="run"))
    other = Batcher(IDS, block_size=T, **(whole | {name: 3}))
    with pytest.raises(CourseError, match=f"{name} is 3 in the batches and {whole[name]} in the training"):
        Trainer.resume("run", other, max_steps=3)
    trainer = Trainer.resume("run", other, max_steps=3, **{name: 3})
    assert len(list(trainer)) == 1
    assert checkpoint.load("run").state["train"][name] == 3


# Ids ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, V, V + 500])
@pytest.mark.parametrize("where", ["batches", "val_batches"])
def test_ids_that_the_model_does_not_know_are_refused_before_it_begins(bad: int, where: str) -> None:
    wrong = IDS.clone()
    wrong[123] = bad
    parts = {"batches": Batcher(IDS, 4, T), "val_batches": Batcher(IDS, 4, T)} | {where: Batcher(wrong, 4, T)}
    with pytest.raises(CourseError, match=f"knows the ids from 0 to {V - 1}; among the tokens is {bad}"):
        Trainer(model(), config=TrainConfig(**QUICK), **parts)


@pytest.mark.parametrize("resident", [True, False])
def test_a_file_of_another_tokenizer_is_refused(project: Path, resident: bool) -> None:
    (project / "a.txt").write_text("the cat sat on the mat\n" * 50)
    path = prepare("text:a.txt", tokenizer="byte") / "train.bin"
    with pytest.raises(CourseError, match="knows the ids from 0 to 99; among the tokens is 116"):
        Trainer(model(100), Batcher(path, 4, T, resident=resident), TrainConfig(**QUICK))
    assert len(list(Trainer(model(256), Batcher(path, 4, T, resident=resident), TrainConfig(**QUICK)))) == 2


def test_targets_that_are_not_whole_numbers_are_named() -> None:
    class Floats:
        def batch(self, step: int, micro: int = 0):
            return IDS[None, :T], IDS[None, 1 : T + 1].float()

    with pytest.raises(CourseError, match="Targets should be whole numbers"):
        next(Trainer(model(), Floats(), TrainConfig(**QUICK)))
