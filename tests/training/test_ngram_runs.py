"""Runs with embeddings of n-grams: what is kept of them comes back, and training goes on as if it had not stopped."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_lib import checkpoint
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.optim import OptimizerSet, build_optimizer
from course_lib.row_adam import RowAdam
from course_lib.tokenizers import CharTokenizer
from course_lib.training import Trainer

V, T = 11, 8
SHAPE = GPTConfig(block_size=T, vocab_size=V, n_layer=2, n_head=2, n_embd=16, dropout=0.1, ngrams=(2, 3), ngram_rows=60)
TOKENS = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
BASE = TrainConfig(max_steps=12, batch_size=4, max_lr=3e-3, eval_every=0, device="cpu", precision="fp32")
FORMS = {
    "adamw": dict(ngram_lr_scale=5.0),
    "muon": dict(optimizer="muon", max_lr=0.02, weight_decay=0.1, warmup_steps=2),
    "accumulated, not clipped": dict(grad_accum=3, grad_clip=0.0),
    "clipped short": dict(grad_accum=2, grad_clip=0.05),
    "fp16": dict(precision="fp16", grad_accum=2),
    "bf16, not clipped": dict(precision="bf16", grad_clip=0.0, optimizer="muon", max_lr=0.02),
}
TABLE = "ngram_embedding.tables.1.weight"

pytestmark = pytest.mark.usefixtures("one_thread")


def batches(config: TrainConfig) -> Batcher:
    return Batcher(TOKENS, config.batch_size, T, config.seed, grad_accum=config.grad_accum)


def make(config: TrainConfig, run: Path | None = None, shape: GPTConfig = SHAPE, **more) -> Trainer:
    torch.manual_seed(7)
    return Trainer(GPT(shape), batches(config), config, tokenizer=CharTokenizer("abcdefghijk"), run_dir=run, **more)


def resume(run: Path, **changes) -> Trainer:
    return Trainer.resume(run, batches(checkpoint.read_config(run)[0].train), **changes)


def remembered(trainer: Trainer) -> list[Tensor]:
    """Weights, and what the optimizers keep of them."""
    assert isinstance(trainer.optimizer, OptimizerSet)
    kept = [m.state[p] for m in trainer.optimizer.optimizers for g in m.param_groups for p in g["params"]]
    return [p.detach() for p in trainer.model.parameters()] + [v for state in kept for _, v in sorted(state.items())]


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_stops_and_goes_on_is_bit_for_bit_the_one_that_never_stopped(tmp_path: Path, form: str) -> None:
    config = BASE.replace(**FORMS[form])
    whole = make(config, tmp_path / "whole")
    losses = [record.train_loss for record in whole]
    stopped = make(config.replace(max_steps=5, decay_steps=12), tmp_path / "run")
    assert [record.train_loss for record in stopped] == losses[:5]
    again = resume(tmp_path / "run", max_steps=12, decay_steps=None)
    assert [record.train_loss for record in again] == losses[5:]
    for one, other in zip(remembered(again), remembered(whole), strict=True):
        assert torch.equal(one, other)
    for name in ("model.safetensors", "optimizer.safetensors"):
        folders = [checkpoint.find_save(tmp_path / run) for run in ("run", "whole")]
        tensors = [load_file(folder / name) for folder in folders]
        assert tensors[0].keys() == tensors[1].keys()
        assert all(torch.equal(tensor, tensors[1][key]) for key, tensor in tensors[0].items())
    assert tensors[0][f"{TABLE}/row_avg_sq"].shape == (60, 1)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_rows_train_as_those_in_full(form: str, tmp_path: Path) -> None:
    rows, full = make(BASE.replace(**FORMS[form])), make(BASE.replace(**FORMS[form]))
    for table in full.model.ngram_embedding.tables:
        table.sparse = False
    losses = [[record.train_loss for record in trainer] for trainer in (rows, full)]
    near = 1e-5 if rows.config.precision == "fp32" else 1e-2  # half the numbers' digits are kept
    assert losses[0] == pytest.approx(losses[1], abs=near)
    assert rows.model.ngram_embedding.tables[0].weight.grad.is_sparse
    assert rows.model.get_parameter(TABLE).abs().max() > 1e-3


def test_what_is_loaded_is_the_model_that_was_saved(tmp_path: Path) -> None:
    trainer = make(BASE, tmp_path / "run")
    list(trainer)
    loaded = checkpoint.load(tmp_path / "run")
    assert loaded.model.config == SHAPE
    assert loaded.model.config.ngrams == (2, 3)
    idx = TOKENS[None, :T]
    with torch.no_grad():
        assert torch.equal(loaded.model.eval()(idx), trainer.model.eval()(idx))


def changed(name: str, value: Tensor | None) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        tensors = load_file(path) | {name: value}
        save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, path)

    return change


DAMAGED = {
    "another number of rows": (changed(f"{TABLE}/row_avg_sq", torch.zeros(61, 1)),
                               rf"{TABLE}/row_avg_sq should have the shape \(60, 1\); it has \(61, 1\)"),
    "a number for each entry": (changed(f"{TABLE}/row_avg_sq", torch.zeros(60, 16)),
                                rf"{TABLE}/row_avg_sq should have the shape \(60, 1\); it has \(60, 16\)"),
    "no axis": (changed(f"{TABLE}/row_avg_sq", torch.zeros(60)), r"should have the shape \(60, 1\); it has \(60,\)"),
    "a count for each row": (changed(f"{TABLE}/step", torch.zeros(60)), rf"{TABLE}/step should have the shape \(\)"),
    "no memory": (changed(f"{TABLE}/row_avg_sq", None), rf"{TABLE} has \['step'\]; this optimizer keeps "),
    "AdamW's memory": (changed(f"{TABLE}/exp_avg", torch.zeros(60, 16)), "It belongs to another optimizer"),
    "a table too many": (changed("ngram_embedding.tables.2.weight/step", torch.tensor(1.0)),
                         "unknown weight 'ngram_embedding.tables.2.weight'"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_optimizer_file_is_refused(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    list(make(BASE.replace(max_steps=2), tmp_path / "run"))
    damage(checkpoint.find_save(tmp_path / "run") / "optimizer.safetensors")
    with pytest.raises(CourseError, match=words):
        resume(tmp_path / "run", max_steps=4)


@pytest.mark.parametrize("ngrams", [(), (2,), (2, 4), (2, 3, 4)], ids=str)
def test_weights_of_other_tables_are_refused(tmp_path: Path, ngrams: tuple[int, ...]) -> None:
    """The settings of one run beside the weights of another one."""
    for name, shape in (("run", SHAPE), ("other", SHAPE.replace(ngrams=ngrams, ngram_rows=70))):
        list(make(BASE.replace(max_steps=1), tmp_path / name, shape))
    weights = [checkpoint.find_save(tmp_path / name) / "model.safetensors" for name in ("other", "run")]
    shutil.copy(*weights)
    with pytest.raises(CourseError, match="ngram_embedding"):
        checkpoint.load(tmp_path / "run")


@pytest.mark.parametrize(
    "own",
    [
        lambda model: torch.optim.AdamW(model.parameters(), lr=3e-3),
        lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        lambda model: build_optimizer(model, TrainConfig()),
    ],
    ids=["torch's AdamW", "SGD", "the library's"],
)
def test_an_optimizer_of_ones_own_moves_the_tables(tmp_path: Path, own: Callable) -> None:
    """Most of them refuse a gradient of rows, so they get it in full; also one that is made before the trainer is."""
    torch.manual_seed(7)
    model = GPT(SHAPE)
    build_optimizer(model, TrainConfig())  # as a cell that ran before
    trainer = Trainer(model, batches(BASE), BASE, optimizer=own(model))
    list(trainer)
    assert all(table.weight.abs().max() > 0 for table in model.ngram_embedding.tables)
    members = trainer.optimizer.optimizers if isinstance(trainer.optimizer, OptimizerSet) else [trainer.optimizer]
    assert any(isinstance(member, RowAdam) for member in members) is isinstance(trainer.optimizer, OptimizerSet)


def test_a_loss_that_is_no_number_moves_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a card, where the device decides."""
    for module in ("update", "overflow"):
        monkeypatch.setattr(f"course_lib.training.{module}.reading_is_free", lambda device: False)
    trainer = make(BASE)
    for _ in range(3):
        next(trainer)
    before = [tensor.clone() for tensor in remembered(trainer)]
    trainer.loss = lambda model, x, y: model(x).sum() * float("nan")
    with pytest.raises(CourseError):
        next(trainer)
    for one, other in zip(remembered(trainer), before, strict=True):
        assert torch.equal(one, other)


def test_an_update_that_fp16_skips_moves_no_table() -> None:
    """Nor their memory, nor the count of steps; and the next one goes on."""
    trainer = make(BASE.replace(precision="fp16"))
    for _ in range(3):
        next(trainer)
    assert trainer.overflows.total == 0
    usual, before = trainer.loss, [tensor.clone() for tensor in remembered(trainer)]
    trainer.loss = lambda model, x, y: usual(model, x, y) * 1e37
    next(trainer)
    assert trainer.overflows.total == 1
    for one, other in zip(remembered(trainer), before, strict=True):
        assert torch.equal(one, other)
    trainer.loss = usual
    next(trainer)
    table = [name for name, _ in trainer.model.named_parameters()].index(TABLE)
    assert not torch.equal(remembered(trainer)[table], before[table])
