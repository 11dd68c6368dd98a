"""The trainer against hand-written loops, and against itself: resumed, stopped, steered, in trouble."""

import json
import math
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import checkpoint
from course_lib.config import GPTConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.optim import build_adamw
from course_lib.sampling import generate
from course_lib.tokenizers import CharTokenizer
from course_lib.training import StepRecord, Trainer, next_token_loss

V, T = 11, 8
SHAPE = GPTConfig(block_size=T, vocab_size=V, n_layer=2, n_head=2, n_embd=16)
MODERN = SHAPE.replace(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2", tie_weights=False)
TOKENIZER = CharTokenizer("abcdefghijk")
TRAIN = torch.randint(0, V, (600,), generator=torch.Generator().manual_seed(1))
VAL = torch.randint(0, V, (94,), generator=torch.Generator().manual_seed(2))  # 11 whole windows and a tail of 5
BASE = TrainConfig(max_steps=10, batch_size=4, max_lr=3e-3, eval_every=0, device="cpu", precision="fp32")
MUON = dict(optimizer="muon", max_lr=0.02, weight_decay=0.1, schedule="trapezoid", warmup_steps=2)


pytestmark = pytest.mark.usefixtures("one_thread")


def make_model(config: GPTConfig = SHAPE) -> GPT:
    torch.manual_seed(7)
    return GPT(config)


def train_batches(config: TrainConfig) -> Batcher:
    return Batcher(TRAIN, config.batch_size, T, config.seed, grad_accum=config.grad_accum)


def make(config: TrainConfig, shape: GPTConfig = SHAPE, **more) -> Trainer:
    return Trainer(make_model(shape), train_batches(config), config, **more)


def resume(run: Path, which: str | int = "last", loss: Callable | None = None, val: bool = True, **changes) -> Trainer:
    config = checkpoint.read_config(run)[0].train.replace(**changes)
    return Trainer.resume(run, train_batches(config), Batcher(VAL, 3, T) if val else None, loss, which, **changes)


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other))


def rows(run: Path) -> list[dict]:
    """What the log says, without what no two runs share."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in checkpoint.read_metrics(run)]


def tensors_of(run: Path, which: str = "last") -> tuple[bytes, bytes]:
    folder = checkpoint.find_save(run, which)
    return (folder / "model.safetensors").read_bytes(), (folder / "optimizer.safetensors").read_bytes()


# The five steps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_ten_steps_equal_the_five_lines_by_hand(clip: float) -> None:
    config = BASE.replace(schedule="constant", grad_clip=clip)
    trainer = make(config)
    records = list(trainer)

    model = make_model()
    optimizer = build_adamw(model, lr=3e-3, weight_decay=0.1, betas=(0.9, 0.95))
    batches = train_batches(config)
    losses = []
    for step in range(10):
        x, y = batches.batch(step)
        optimizer.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits.view(-1, V), y.reshape(-1))
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    assert [record.train_loss for record in records] == losses
    assert same(weights(trainer.model), weights(model))


def test_the_first_loss_is_that_of_knowing_nothing() -> None:
    record = next(make(BASE))
    assert abs(record.train_loss - math.log(V)) < 0.1
    assert (record.step, record.tokens) == (0, 4 * T)


def test_four_micro_batches_of_three_are_a_batch_of_twelve() -> None:
    small = make(BASE.replace(batch_size=3, grad_accum=4))
    large = make(BASE.replace(batch_size=12))
    one, other = list(small), list(large)
    assert [r.train_loss for r in one] == pytest.approx([r.train_loss for r in other], abs=1e-6)
    assert [r.grad_norm for r in one] == pytest.approx([r.grad_norm for r in other], abs=1e-5)
    assert [r.tokens for r in one] == [r.tokens for r in other] == [96 * (i + 1) for i in range(10)]
    for a, b in zip(weights(small.model), weights(large.model)):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_the_gradient_is_clipped_and_its_norm_before_that_is_told() -> None:
    trainer = make(BASE.replace(grad_clip=0.25))
    model = make_model()
    x, y = train_batches(BASE).batch(0)
    next_token_loss(model, x, y).backward()
    by_hand = math.sqrt(sum(p.grad.double().square().sum().item() for p in model.parameters()))
    record = next(trainer)
    assert by_hand > 0.25
    assert record.grad_norm == pytest.approx(by_hand, rel=1e-5)
    clipped = math.sqrt(sum(p.grad.double().square().sum().item() for p in trainer.model.parameters()))
    assert clipped == pytest.approx(0.25, rel=1e-4)


def test_without_clipping_no_norm_is_told() -> None:
    assert next(make(BASE.replace(grad_clip=0))).grad_norm is None


def test_the_schedule_reaches_every_group_with_its_scale() -> None:
    config = BASE.replace(**MUON, decay_steps=8, cooldown_steps=4, embedding_lr_scale=2.0, head_lr_scale=0.25)
    trainer = make(config, MODERN)
    scales = {"token_embedding.weight": 2.0, "head.weight": 0.25, "blocks.0.attn.qkv.weight": 1.0, "norm.weight": 1.0}
    # Warm-up to 0.02 in two steps, level, then four steps down to 0 at step 8.
    by_hand = [0.02 / 3, 0.04 / 3, 0.02, 0.02, 0.02, 0.015, 0.01, 0.005, 0.0, 0.0]
    found = {name: p for name, p in trainer.model.named_parameters() if name in scales}
    for record, lr in zip(trainer, by_hand, strict=True):
        assert record.lr == pytest.approx(lr, abs=1e-12)
        for name, scale in scales.items():
            (group,) = [g for g in trainer.optimizer.param_groups if any(p is found[name] for p in g["params"])]
            assert group["lr"] == pytest.approx(lr * scale, abs=1e-12), name


def test_a_step_with_learning_rate_zero_moves_nothing() -> None:
    trainer = make(BASE.replace(max_steps=3, decay_steps=1, schedule="linear"))
    next(trainer)
    before = weights(trainer.model)
    assert next(trainer).lr == 0
    assert same(weights(trainer.model), before)


def test_log_every_reads_the_loss_now_and_then_and_at_the_end() -> None:
    quiet, loud = make(BASE.replace(log_every=4)), make(BASE)
    told = [(r.train_loss, r.grad_norm) for r in quiet]
    assert [i for i, (loss, _) in enumerate(told) if loss is not None] == [0, 4, 8, 9]
    assert [i for i, (_, norm) in enumerate(told) if norm is not None] == [0, 4, 8, 9]
    full = [r.train_loss for r in loud]
    assert [told[i][0] for i in (0, 4, 8, 9)] == [full[i] for i in (0, 4, 8, 9)]
    assert same(weights(quiet.model), weights(loud.model))


# Evaluation ------------------------------------------------------------------------------------------------


def one_by_one(model: nn.Module, starts: list[int], end: int) -> float:
    """The mean loss over windows of VAL from each start, one target at a time, by -log of its probability."""
    losses = []
    model.eval()
    with torch.no_grad():
        for start in starts:
            for t in range(start + 1, min(start + T, end - 1) + 1):
                probabilities = model(VAL[None, start:t])[0, -1].double().softmax(-1)
                losses.append(-math.log(probabilities[VAL[t]].item()))
    model.train()
    return sum(losses) / len(losses)


def test_evaluation_on_the_whole_split_counts_every_target_once() -> None:
    trainer = make(BASE.replace(max_steps=3), SHAPE.replace(dropout=0.2), val_batches=Batcher(VAL, 4, T))
    *before, last = trainer
    assert [record.val_loss for record in before] == [None, None]
    assert last.val_loss == pytest.approx(one_by_one(trainer.model, list(range(0, len(VAL), T)), len(VAL)), abs=1e-6)


def test_evaluation_on_n_batches_takes_windows_from_the_whole_split() -> None:
    config = BASE.replace(max_steps=2, eval_batches=2)
    trainer = make(config, val_batches=Batcher(VAL, 2, T))
    *_, last = trainer
    starts = [i * 11 // 4 * T for i in range(4)]  # 2 batches x 2 windows, evenly over the 11
    assert last.val_loss == pytest.approx(one_by_one(trainer.model, starts, len(VAL)), abs=1e-6)


class Adapter:
    """Batches with nothing but ``batch``, as around a DataLoader; of uneven sizes."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batch(self, step: int, micro: int = 0) -> tuple[Tensor, Tensor]:
        self.asked.append(step)
        rows = torch.stack([VAL[i * T : i * T + T + 1] for i in range(2 * step, 3 * step + 1)])
        return rows[:, :-1], rows[:, 1:]


def test_evaluation_through_an_adapter_with_only_batch() -> None:
    adapter = Adapter()
    trainer = make(BASE.replace(max_steps=1, eval_batches=3), val_batches=adapter)
    (record,) = trainer
    assert adapter.asked == [0, 1, 2]
    starts = [T * i for i in (0, 2, 3, 4, 5, 6)]
    assert record.val_loss == pytest.approx(one_by_one(trainer.model, starts, len(VAL)), abs=1e-6)


def test_such_an_adapter_needs_a_number_of_batches() -> None:
    with pytest.raises(CourseError, match="needs eval_batches"):
        list(make(BASE.replace(max_steps=1), val_batches=Adapter()))


def test_an_empty_validation_split_is_explained() -> None:
    class Nothing:
        def windows(self, max_batches: int | None) -> list:
            return []

    with pytest.raises(CourseError, match="validation split is empty"):
        list(make(BASE.replace(max_steps=1), val_batches=Nothing()))


def scripted(values: list[float]) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    """The usual loss for training; for evaluation, the next of ``values``."""
    left = iter(values)

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return next_token_loss(model, x, y) if model.training else torch.tensor(next(left))

    return loss


def test_best_never_gets_worse_and_names_the_right_save(project: Path) -> None:
    config = BASE.replace(max_steps=6, eval_every=1, eval_batches=1)
    run = project / "run"
    trainer = make(config, val_batches=Batcher(VAL, 3, T), run_dir=run, loss=scripted([3.0, 2.0, 2.5, 2.0, 1.5, 4.0]))
    seen, best_weights = [], {}
    for record in trainer:
        best_weights[record.step + 1] = weights(trainer.model)
        seen.append((record.best, (run / "best").read_text().strip(), trainer.best_val_loss))
    assert seen == [
        (True, "1", 3.0), (True, "2", 2.0), (False, "2", 2.0), (False, "2", 2.0), (True, "5", 1.5), (False, "5", 1.5),
    ]  # fmt: skip
    assert same(weights(checkpoint.load(run, "best").model), best_weights[5])
    assert same(weights(checkpoint.load(run, "last").model), best_weights[6])

    more = resume(run, max_steps=9, loss=scripted([1.6, 1.5, 1.4]))
    assert [record.best for record in more] == [False, False, True]
    assert (run / "best").read_text() == "9\n"
    assert [row["best"] for row in rows(run)] == [True, True, False, False, True, False, False, False, True]


def test_nothing_between_two_steps_changes_the_run() -> None:
    shape = SHAPE.replace(dropout=0.2)
    plain = list(make(BASE, shape))
    trainer = make(BASE.replace(eval_every=1), shape, val_batches=Batcher(VAL, 3, T))
    losses = []
    for record in trainer:
        losses.append((record.train_loss, record.grad_norm))
        generate(trainer.model, torch.zeros(1, 1, dtype=torch.long), 3)
        generate(trainer.model, torch.zeros(1, 1, dtype=torch.long), 3, seed=1)
        trainer.evaluate()
        torch.rand(record.step + 1)
        trainer.model.eval()
        with torch.no_grad():
            trainer.model(VAL[None, :T])
    assert losses == [(record.train_loss, record.grad_norm) for record in plain]


def test_dropout_is_at_work_and_differs_between_micro_batches() -> None:
    """What the test above relies on: with dropout the losses are others, and follow the seed."""
    quiet = [r.train_loss for r in make(BASE)]
    noisy = [r.train_loss for r in make(BASE, SHAPE.replace(dropout=0.2))]
    other = [r.train_loss for r in make(BASE.replace(seed=2), SHAPE.replace(dropout=0.2))]
    assert quiet[0] != noisy[0] != other[0]

    masks = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        masks.append(F.dropout(torch.ones(64), 0.5))
        return next_token_loss(model, x, y)

    next(make(BASE.replace(grad_accum=2), loss=loss))
    assert not torch.equal(masks[0], masks[1])


# Stop, resume, steer ---------------------------------------------------------------------------------------

RESUMED = {
    "adamw": (BASE.replace(max_steps=12, warmup_steps=2), SHAPE.replace(dropout=0.2)),
    "muon": (BASE.replace(max_steps=12, **MUON), MODERN.replace(dropout=0.2)),
    "adamw, accumulated": (BASE.replace(max_steps=12, grad_accum=2), MODERN.replace(dropout=0.1, mlp="swiglu")),
}


@pytest.mark.parametrize("form", RESUMED)
def test_a_resumed_run_is_the_run_that_was_never_stopped(project: Path, form: str) -> None:
    config, shape = RESUMED[form]
    config = config.replace(save_every=5, eval_every=4, eval_batches=2)
    more = dict(val_batches=Batcher(VAL, 3, T), tokenizer=TOKENIZER)
    whole = make(config, shape, run_dir=project / "whole", **more)
    list(whole)
    cut = make(config, shape, run_dir=project / "cut", **more)
    for _ in range(7):  # and it is gone, with two steps after its last save
        next(cut)
    assert [row["step"] for row in rows(project / "cut")] == [0, 1, 2, 3, 4, 5, 6]
    del cut
    torch.manual_seed(99)  # another process would start anywhere
    again = resume(project / "cut")
    assert again.step == 5
    assert [record.step for record in again] == [5, 6, 7, 8, 9, 10, 11]
    assert same(weights(again.model), weights(whole.model))
    assert tensors_of(project / "cut") == tensors_of(project / "whole")
    assert tensors_of(project / "cut", "best") == tensors_of(project / "whole", "best")
    assert rows(project / "cut") == rows(project / "whole")
    assert len(rows(project / "whole")) == 12
    assert again.best_val_loss == whole.best_val_loss == min(r["val_loss"] for r in rows(project / "cut")[3::4])


def test_a_save_at_a_step_of_its_own(project: Path) -> None:
    config = BASE.replace(max_steps=7, save_every=3, eval_every=0)
    run = project / "run"
    found = [
        ((run / "last").exists(), sorted(p.name for p in (run / "saves").iterdir())) for _ in make(config, run_dir=run)
    ]
    assert found == [(False, []), (False, [])] + [(True, ["3"])] * 3 + [(True, ["6"]), (True, ["7"])]
    assert not (run / "best").exists()


def test_resume_from_an_earlier_save(project: Path) -> None:
    config = BASE.replace(max_steps=6, eval_every=2, eval_batches=1)
    run = project / "run"
    trainer = make(config, run_dir=run, val_batches=Batcher(VAL, 3, T), loss=scripted([2.0, 3.0, 4.0]))
    list(trainer)
    whole, log = weights(trainer.model), rows(run)
    again = resume(run, "best", loss=scripted([3.0, 4.0]))
    assert again.step == 2
    list(again)
    assert same(weights(again.model), whole)
    assert rows(run) == log


def test_a_run_that_is_done_stays_as_it_is(project: Path) -> None:
    run = project / "run"
    list(make(BASE.replace(max_steps=3), run_dir=run))
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert list(resume(run)) == []
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_a_run_can_be_made_longer(project: Path) -> None:
    longer = BASE.replace(max_steps=9, schedule="constant")
    whole = make(longer)
    list(whole)
    list(make(longer.replace(max_steps=4), run_dir=project / "run"))
    again = resume(project / "run", max_steps=9)
    assert [record.step for record in again] == [4, 5, 6, 7, 8]
    assert same(weights(again.model), weights(whole.model))


def test_changed_settings_are_logged_and_survive_a_resume(project: Path) -> None:
    config = BASE.replace(max_steps=9, save_every=3, min_lr=1e-3)

    def steered(run: Path) -> Iterator[tuple[StepRecord, Trainer]]:
        trainer = make(config, SHAPE.replace(dropout=0.1), run_dir=run)
        for record in trainer:
            yield record, trainer
            if record.step == 1:
                trainer.change(max_lr=5e-4, dropout=0.3)  # below min_lr, which gives way
            if record.step == 3:
                trainer.change(max_lr=6e-3)

    whole = [record for record, _ in steered(project / "whole")]
    assert [record.dropout for record in whole] == [0.1, 0.1] + [0.3] * 7
    by_hand = [1e-3 + 0.5 * (1 + math.cos(math.pi * step / 9)) * (max_lr - 1e-3)
               for step, max_lr in enumerate([3e-3] * 2 + [5e-4] * 2 + [6e-3] * 5)]  # fmt: skip
    by_hand[2:4] = [5e-4, 5e-4]
    assert [record.lr for record in whole] == pytest.approx(by_hand, rel=1e-9)
    assert [(row["lr"], row["dropout"]) for row in rows(project / "whole")] == [(r.lr, r.dropout) for r in whole]

    for stop_after in (4, 7):  # saves at 3 (lr lowered; the change at step 3 is made again) and at 6
        run = project / f"cut{stop_after}"
        for record, _ in steered(run):
            if record.step == stop_after:
                break
        again = resume(run, val=False)
        assert again.step == stop_after - 1
        for record in again:
            if record.step == 3:
                again.change(max_lr=6e-3)
        assert rows(run) == rows(project / "whole")
        assert tensors_of(run) == tensors_of(project / "whole")


def test_settings_given_at_resume_win(project: Path) -> None:
    run = project / "run"
    trainer = make(BASE.replace(max_steps=4, save_every=2, schedule="constant"), run_dir=run)
    next(trainer)
    trainer.change(max_lr=1e-4)
    next(trainer)
    again = resume(run, max_lr=2e-3)
    assert [record.lr for record in again] == [2e-3, 2e-3]


@pytest.mark.parametrize(
    ("setting", "value"), [("dropout", 1.0), ("dropout", -0.1), ("max_lr", 0.0), ("max_lr", math.nan)]
)
def test_a_change_out_of_range_is_refused(setting: str, value: float) -> None:
    trainer = make(BASE, SHAPE.replace(dropout=0.1))
    with pytest.raises(CourseError, match=setting):
        trainer.change(**{setting: value})
    record = next(trainer)
    assert (record.lr, record.dropout) == (3e-3, 0.1)


def stopping_at(step: int, micro: int, trainers: list[Trainer], training: bool = True) -> Callable:
    """The usual loss, during which at one micro-batch (or evaluation batch) another thread asks for a stop."""
    calls = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        if model.training == training and trainers[0].step == step:
            calls.append(step)
            if len(calls) == micro + 1:
                thread = threading.Thread(target=trainers[0].stop)
                thread.start()
                thread.join()
        return next_token_loss(model, x, y)

    loss.calls = calls
    return loss


def test_a_stop_from_another_thread_ends_within_the_step(project: Path) -> None:
    config = BASE.replace(max_steps=8, grad_accum=4)
    shape = SHAPE.replace(dropout=0.2)
    whole = make(config, shape, run_dir=project / "whole")
    list(whole)
    trainers: list[Trainer] = []
    loss = stopping_at(5, 1, trainers)
    trainers.append(make(config, shape, run_dir=project / "run", loss=loss))
    assert [record.step for record in trainers[0]] == [0, 1, 2, 3, 4]
    assert len(loss.calls) == 2  # of four micro-batches
    assert checkpoint.load(project / "run").state["step"] == 5
    assert list(trainers[0]) == []  # it stays stopped
    again = resume(project / "run", val=False)
    assert [record.step for record in again] == [5, 6, 7]
    assert tensors_of(project / "run") == tensors_of(project / "whole")
    assert rows(project / "run") == rows(project / "whole")


def test_a_stop_between_two_steps_saves_there(project: Path) -> None:
    trainer = make(BASE, run_dir=project / "run")
    for record in trainer:
        if record.step == 3:
            trainer.stop()
    assert checkpoint.load(project / "run").state["step"] == 4
    assert [row["step"] for row in rows(project / "run")] == [0, 1, 2, 3]


def test_a_stop_before_the_first_step_can_be_resumed(project: Path) -> None:
    whole = make(BASE, SHAPE.replace(dropout=0.2), run_dir=project / "whole")
    list(whole)
    trainer = make(BASE, SHAPE.replace(dropout=0.2), run_dir=project / "run")
    trainer.stop()
    assert list(trainer) == []
    assert checkpoint.load(project / "run").state["step"] == 0
    assert len(list(resume(project / "run"))) == 10
    assert tensors_of(project / "run") == tensors_of(project / "whole")


def test_a_stop_during_evaluation_ends_it_and_loses_no_step(project: Path) -> None:
    config = BASE.replace(max_steps=8, eval_every=4)
    shape = SHAPE.replace(dropout=0.2)
    whole = make(config, shape, run_dir=project / "whole", val_batches=Batcher(VAL, 3, T))
    list(whole)
    trainers: list[Trainer] = []
    loss = stopping_at(4, 1, trainers, training=False)
    trainers.append(make(config, shape, run_dir=project / "run", loss=loss, val_batches=Batcher(VAL, 3, T)))
    records = list(trainers[0])
    assert len(loss.calls) == 2  # of five batches
    assert records[-1].step == 3
    assert not any(record.best for record in records)
    assert checkpoint.load(project / "run").state["step"] == 4
    assert len(list(resume(project / "run"))) == 4
    assert tensors_of(project / "run") == tensors_of(project / "whole")
    assert rows(project / "run")[-1] == rows(project / "whole")[-1]


def test_a_resume_that_cannot_be_names_the_reason(project: Path) -> None:
    run = project / "run"
    list(make(BASE.replace(max_steps=2), run_dir=run))
    with pytest.raises(CourseError, match="no save 7; it has 2"):
        resume(run, 7)
    with pytest.raises(CourseError, match="this optimizer keeps"):
        resume(run, optimizer="muon")
    path = run / "saves" / "2" / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in state.items() if k not in ("train", "scaler")}))
    with pytest.raises(CourseError, match=r"saves/2/state\.json lacks scaler, train.*no other save"):
        resume(run)


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(project: Path) -> None:
    run = project / "run"
    list(make(BASE.replace(max_steps=2), run_dir=run))
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(CourseError, match=r"already holds a run.*--resume"):
        make(BASE, run_dir=run)
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


# Trouble ---------------------------------------------------------------------------------------------------


def poisoned(step: int, how: Callable[[Tensor, nn.Module], Tensor], trainers: list[Trainer]) -> Callable:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        usual = next_token_loss(model, x, y)
        return how(usual, model) if trainers[0].step == step and model.training else usual

    return loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_save(project: Path, value: float) -> None:
    run, trainers = project / "run", []
    config = BASE.replace(save_every=2, warmup_steps=3)
    trainers.append(make(config, run_dir=run, loss=poisoned(5, lambda usual, _: usual * value, trainers)))
    with pytest.raises(CourseError) as caught:
        list(trainers[0])
    message = str(caught.value)
    assert f"The training loss is {value} at step 5" in message
    assert f"last good save is {run}/saves/4" in message
    for remedy in ("lower max_lr (it is 0.003)", "warmup_steps (3)", "grad_clip (1)", "fp32"):
        assert remedy in message
    saved = checkpoint.load(run)
    assert saved.state["step"] == 4
    assert all(p.isfinite().all() for p in saved.model.parameters())
    assert len(list(resume(run, max_lr=1e-3))) == 6  # and so the remedy works


def test_a_validation_loss_that_is_not_finite_stops_the_run(project: Path) -> None:
    run = project / "run"
    config = BASE.replace(eval_every=2, eval_batches=1)
    trainer = make(config, run_dir=run, val_batches=Batcher(VAL, 3, T), loss=scripted([2.0, math.nan]))
    with pytest.raises(CourseError, match=r"The validation loss is nan after 4 steps.*saves/2.*max_lr"):
        list(trainer)
    assert checkpoint.load(run, "last").state["step"] == checkpoint.load(run, "best").state["step"] == 2


def test_weights_that_are_not_finite_are_never_saved(project: Path) -> None:
    """A finite loss with an infinite gradient: the loss gives no warning before the weights are spoiled."""
    run, trainers = project / "run", []

    def spoil(usual: Tensor, model: nn.Module) -> Tensor:
        return usual + (0 * model.norm.weight).sqrt().sum()  # + 0, of slope infinity

    trainers.append(make(BASE.replace(save_every=1), run_dir=run, loss=poisoned(3, spoil, trainers)))
    with pytest.raises(CourseError, match=r"A weight is no longer finite after 4 steps.*last good save is .*saves/3"):
        list(trainers[0])
    saved = checkpoint.load(run)
    assert saved.state["step"] == 3
    assert all(p.isfinite().all() for p in saved.model.parameters())


def out_of_memory(usual: Tensor, model: nn.Module) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")


def test_out_of_memory_says_which_setting_to_halve(project: Path) -> None:
    run, trainers = project / "run", []
    config = BASE.replace(batch_size=6, grad_accum=2, save_every=1)
    trainers.append(make(config, run_dir=run, loss=poisoned(2, out_of_memory, trainers)))
    with pytest.raises(CourseError) as caught:
        list(trainers[0])
    message = str(caught.value)
    assert "Halve batch_size from 6 to 3 and double grad_accum from 2 to 4" in message
    assert "Tried to allocate 2.00 GiB" in message
    assert "GPU 0 has" not in message  # the first line is enough
    assert checkpoint.load(run).state["step"] == 2


def test_out_of_memory_with_a_batch_of_one() -> None:
    trainers: list[Trainer] = []
    trainers.append(make(BASE.replace(batch_size=1), loss=poisoned(0, out_of_memory, trainers)))
    with pytest.raises(CourseError, match=r"out of memory. Halve block_size"):
        next(trainers[0])


def test_other_errors_pass_as_they_are() -> None:
    def broken(usual: Tensor, model: nn.Module) -> Tensor:
        raise RuntimeError("my own mistake")

    trainers: list[Trainer] = []
    trainers.append(make(BASE, loss=poisoned(0, broken, trainers)))
    with pytest.raises(RuntimeError, match=r"^my own mistake$"):
        next(trainers[0])


def test_tensorboard_without_its_package_names_the_remedy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    list(make(BASE.replace(max_steps=2), run_dir=project / "other"))
    with pytest.raises(CourseError, match="pip install tensorboard"):
        make(BASE.replace(tensorboard=True), run_dir=project / "run")
    assert not (project / "run").exists()
    with pytest.raises(CourseError, match="pip install tensorboard"):
        resume(project / "other", tensorboard=True)


# Precision and compilation ---------------------------------------------------------------------------------


def test_fp16_with_its_scaler_trains_on_a_cpu() -> None:
    whole = make(BASE.replace(precision="fp16"), SHAPE.replace(dropout=0.1))
    assert whole.scaler.is_enabled()
    half, full = list(whole), list(make(BASE, SHAPE.replace(dropout=0.1)))
    assert [r.train_loss for r in half] == pytest.approx([r.train_loss for r in full], abs=0.01)
    assert [r.grad_norm for r in half] == pytest.approx([r.grad_norm for r in full], rel=0.02)  # that of the true loss
    assert [r.train_loss for r in half] != [r.train_loss for r in full]


def test_the_scale_of_fp16_is_part_of_the_save(project: Path) -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return 300 * next_token_loss(model, x, y)  # too steep for the first scale

    config = BASE.replace(precision="fp16", save_every=4)
    whole = make(config, SHAPE.replace(dropout=0.1), run_dir=project / "whole", loss=loss)
    first = whole.scaler.get_scale()
    list(whole)
    cut = make(config, SHAPE.replace(dropout=0.1), run_dir=project / "cut", loss=loss)
    for _ in range(6):
        next(cut)
    again = resume(project / "cut", val=False, loss=loss)
    scale = json.loads((project / "cut" / "saves" / "4" / "state.json").read_text())["scaler"]["scale"]
    assert again.scaler.get_scale() == scale < first
    list(again)
    assert tensors_of(project / "cut") == tensors_of(project / "whole")
    assert rows(project / "cut") == rows(project / "whole")


@pytest.mark.parametrize("form", ["adamw", "muon"])
def test_an_overflow_in_fp16_skips_the_step_and_halves_the_scale(form: str) -> None:
    config, shape = RESUMED[form]
    config = config.replace(precision="fp16", max_steps=30)
    trainer = make(config, shape, loss=lambda m, x, y: next_token_loss(m, x, y) * 1e4)
    before, scale = weights(trainer.model), trainer.scaler.get_scale()
    record = next(trainer)
    assert not math.isfinite(record.grad_norm)
    assert same(weights(trainer.model), before)
    assert trainer.scaler.get_scale() == scale / 2
    for _ in trainer:
        pass
    assert not same(weights(trainer.model), before)  # with a smaller scale it learns after all
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def test_bf16_trains_on_a_cpu() -> None:
    trainer = make(BASE.replace(precision="bf16"))
    half = [record.train_loss for record in trainer]
    full = [record.train_loss for record in make(BASE)]
    assert half == pytest.approx(full, abs=0.05)
    assert half != full
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
    assert not trainer.scaler.is_enabled()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler's own imports
def test_a_compiled_run_is_the_same_training(project: Path) -> None:
    config = BASE.replace(compile=True, max_steps=6)
    shape = SHAPE.replace(dropout=0.0)
    compiled = make(config, shape, run_dir=project / "run", val_batches=Batcher(VAL, 3, T))
    plain = make(config.replace(compile=False), shape, val_batches=Batcher(VAL, 3, T))
    one, other = list(compiled), list(plain)
    assert [r.train_loss for r in one] == pytest.approx([r.train_loss for r in other], abs=1e-5)
    assert one[-1].val_loss == pytest.approx(other[-1].val_loss, abs=1e-5)
    saved = checkpoint.load(project / "run").model  # under plain names: no wrapper was saved
    assert same(weights(saved), weights(compiled.model))
    again = resume(project / "run", max_steps=8)
    assert [record.step for record in again] == [6, 7]


# Other models ----------------------------------------------------------------------------------------------


class Line:
    """y = 3 x - 1 with a little noise: 16 points for each step and micro-batch."""

    def batch(self, step: int, micro: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 * step + micro)
        x = torch.randn(16, 1, generator=generator)
        return x, 3 * x - 1 + 0.01 * torch.randn(16, 1, generator=generator)


def test_any_model_with_any_loss_trains() -> None:
    config = BASE.replace(max_steps=300, max_lr=0.05, weight_decay=0.0, grad_accum=2, eval_every=100, eval_batches=4)
    model = nn.Linear(1, 1)
    trainer = Trainer(model, Line(), config, loss=lambda m, x, y: F.mse_loss(m(x), y), val_batches=Line())
    records = list(trainer)
    assert model.weight.item() == pytest.approx(3, abs=0.02)
    assert model.bias.item() == pytest.approx(-1, abs=0.02)
    assert [r.step for r in records if r.val_loss is not None] == [99, 199, 299]
    assert records[-1].val_loss == pytest.approx(1e-4, abs=1e-4)
    assert records[-1].dropout is None
    assert records[-1].tokens == 300 * 2 * 16


# ---- what lasts, and what is made up for ---------------------------------------------------------------


def test_settings_given_at_a_resume_last_for_the_next_one(project):
    run = project / "run"
    list(make(BASE.replace(max_steps=4), run_dir=run))
    list(resume(run, max_steps=6, grad_clip=0.5))
    again = resume(run)
    assert (again.config.max_steps, again.config.grad_clip, again.step) == (6, 0.5, 6)


def test_an_evaluation_that_a_stop_cut_short_is_made_when_the_run_goes_on(project):
    """Cut short after the last step, where no further step would bring another evaluation."""
    whole, cut = project / "whole", project / "cut"
    config = BASE.replace(max_steps=4, eval_every=2)
    list(make(config, run_dir=whole, val_batches=Batcher(VAL, 3, T)))

    trainer = make(config, run_dir=cut, val_batches=Batcher(VAL, 3, T))
    windows = trainer.val_batches.windows

    def interrupted(max_batches):
        for batch in windows(max_batches):
            if trainer.step == 4:
                trainer.stop()
            yield batch

    trainer.val_batches.windows = interrupted
    assert [record.val_loss is None for record in trainer] == [True, False, True, True]
    assert list(resume(cut)) == []
    assert rows(whole) == rows(cut)
    assert rows(cut)[-1]["val_loss"] is not None
    assert [checkpoint.find_save(run, "best").name.split(".")[0] for run in (whole, cut)] == ["4", "4"]


def test_batches_for_another_number_of_processes_are_refused(project):
    batches = Batcher(list(range(20)) * 10, 4, 8, grad_accum=2, world_size=2)
    with pytest.raises(CourseError, match=r"There are 1 processes, and the batches are made for 2"):
        Trainer(make_model(), batches, BASE)
