"""What its document promises of a training: one batch by heart, clipped steps, exact resumes, 16 bits, processes."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from slow_agiformer import text

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import AGIFormerConfig, TrainConfig
from course_lib.data import Batcher, load_text
from course_lib.errors import CourseError
from course_lib.models import AGIFormer
from course_lib.tokenizers import ByteTokenizer
from course_lib.training import Trainer

SMALL = AGIFormerConfig(block_size=64, n_embd=64, n_head=2, n_layer=2, n_hidden=64, window_size=8, dropout=0.0)
CONSTANT = TrainConfig(max_steps=12, max_lr=3e-3, schedule="constant", warmup_steps=4, grad_clip=0.5, device="cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


def trainer_of(config: TrainConfig, tokens: torch.Tensor, model: AGIFormerConfig = SMALL, **more) -> Trainer:
    torch.manual_seed(0)
    return Trainer(AGIFormer(model), Batcher(tokens, 4, model.block_size), config, **more)


def test_one_batch_is_learned_by_heart():
    """Four windows that are one: the loss falls under 0.1 nats per byte, the document's own mark."""
    one = torch.tensor(ByteTokenizer().encode(load_text("tinytales"))[:65])  # (65,): a window and its last target
    config = CONSTANT.replace(max_steps=250)
    losses = [record.train_loss for record in trainer_of(config, one)]
    assert losses[0] > 5
    assert losses[-1] < 0.1


def test_the_rate_climbs_and_stays_and_steps_are_clipped():
    records = list(trainer_of(CONSTANT, text(500).view(-1)))
    assert [record.lr for record in records] == pytest.approx([3e-3 * min(1, (i + 1) / 5) for i in range(12)])
    assert all(record.grad_norm > 0.5 for record in records[:3])  # as it was before the clip


@pytest.mark.parametrize("thinking", ["fixed", "adaptive"])
def test_a_resumed_run_is_the_run(tmp_path: Path, thinking: str):
    """Bit for bit, with dropout: weights and every number that is recorded."""
    model, tokens = dataclasses.replace(SMALL, dropout=0.1, thinking=thinking), text(2000).view(-1)
    config = CONSTANT.replace(save_every=5)
    whole = trainer_of(config, tokens, model, run_dir=tmp_path / "whole")
    rows = list(whole)
    list(trainer_of(config.replace(max_steps=5), tokens, model, run_dir=tmp_path / "parts"))
    again = Trainer.resume(tmp_path / "parts", Batcher(tokens, 4, SMALL.block_size), max_steps=12)
    rest = list(again)
    assert [row.step for row in rest] == list(range(5, 12))
    for row, other in zip(rest, rows[5:], strict=True):
        assert (row.train_loss, row.lr, row.grad_norm) == (other.train_loss, other.lr, other.grad_norm)
    for p, q in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_in_16_bits_it_learns_nearly_the_same():
    """The first steps; after that, rounding goes its own way."""
    tokens = torch.tensor(ByteTokenizer().encode(load_text("tinytales"))[:5000])
    config = CONSTANT.replace(max_steps=30, max_lr=1e-3)
    losses = {
        precision: [record.train_loss for record in trainer_of(config.replace(precision=precision), tokens)]
        for precision in ("fp32", "bf16")
    }
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"][:8] == pytest.approx(losses["fp32"][:8], rel=0.02)
    assert losses["bf16"][-1] == pytest.approx(losses["fp32"][-1], rel=0.1)


def test_a_rate_that_is_much_too_high_is_named():
    wild = CONSTANT.replace(max_lr=1e30, warmup_steps=0)
    with pytest.raises(CourseError, match=r"training has diverged.*Try a lower max_lr \(it is 1e\+30\)"):
        list(trainer_of(wild, text(500).view(-1)))


@pytest.mark.slow
def test_two_processes_train_the_run_of_one(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    small = (
        "--block-size 32 --n-layer 1 --n-head 2 --n-embd 32 --n-hidden 16 --window-size 4 --batch-size 2 --max-steps 8 "
        "--grad-accum 4 --warmup-steps 2 --eval-every 4 --eval-batches 4 --schedule constant --device cpu --out-dir"
    ).split()
    assert course(["train", "agiformer_cpu", *small, "runs/one"]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*torchrun, "-m", "course_lib", "train", "agiformer_cpu", *small, "runs/two"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    rows, others = checkpoint.read_metrics("runs/one"), checkpoint.read_metrics("runs/two")
    assert [row["step"] for row in others] == list(range(8))
    assert [row["tokens"] for row in others] == [row["tokens"] for row in rows]
    assert [row["train_loss"] for row in others] == pytest.approx([row["train_loss"] for row in rows], abs=1e-4)
    for p, q in zip(
        checkpoint.load("runs/one").model.parameters(), checkpoint.load("runs/two").model.parameters(), strict=True
    ):
        torch.testing.assert_close(p, q, atol=1e-3, rtol=0)
