"""Two processes under torchrun (gloo, CPU) share the epochs of a DataLoader, and train the run of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_lib import checkpoint

pytestmark = pytest.mark.slow

PROGRAM = """
import os
import sys
import torch
from torch.utils.data import DataLoader, Subset
from course_lib.config import TrainConfig
from course_lib.data import LoaderBatches, SpriteDataset
from course_lib.device import joined_world
from course_lib.models import ConvClassifier
from course_lib.training import Trainer, class_loss

class Telling(SpriteDataset):
    def __getitem__(self, index):
        os.write(1, f"item {index}\\n".encode())  # at once: two processes write to one pipe
        return super().__getitem__(index)

torch.set_num_threads(1)
run, steps, go_on = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "go on"
with joined_world("cpu") as world:
    share = dict(grad_accum=2, rank=world.rank, world_size=world.size)
    batches = LoaderBatches(DataLoader(Telling(50), 4, shuffle=True, num_workers=int(sys.argv[4])), seed=3, **share)
    val = LoaderBatches(DataLoader(SpriteDataset(22, part="held_out"), 5), **share)
    torch.manual_seed(7)
    model = ConvClassifier(width=4)
    if go_on:
        trainer = Trainer.resume(run, batches, val, loss=class_loss, model=model, max_steps=steps)
    else:
        config = TrainConfig(max_steps=steps, decay_steps=14, eval_every=7, device="cpu", precision="fp32")
        trainer = Trainer(model, batches, config, class_loss, val, run_dir=run)
    list(trainer)
    if world.size > 1:
        os.write(1, f"means are the main process's: {trainer.forward_model.broadcast_buffers}\\n".encode())
"""
STEPS = 14
"""Two epochs: 50 sprites, 8 in a step, and 2 in the last one."""


@pytest.fixture
def program(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=os.pathsep)
    return project


def train(processes: int, run: str, steps: int = STEPS, go_on: bool = False, workers: int = 0) -> list[int]:
    """Trains, and returns which items were loaded for it, in whatever order. BatchNorm's means are shared."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    start = torchrun if processes > 1 else [sys.executable]
    done = subprocess.run(
        [*start, "program.py", run, str(steps), "go on" if go_on else "begin", str(workers)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("means are the main process's: True") == (processes if processes > 1 else 0)
    return [int(line.split("item ")[1]) for line in done.stdout.splitlines() if "item " in line]


def assert_same_run(run: str, reference: str) -> None:
    rows, wanted = checkpoint.read_metrics(run), checkpoint.read_metrics(reference)
    for row, other in zip(rows, wanted, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], abs=1e-4)
        assert (row["step"], row["lr"], row["tokens"]) == (other["step"], other["lr"], other["tokens"])
    weights, theirs = (torch_weights(name) for name in (run, reference))
    for name, value in weights.items():
        if "running" not in name and "batches" not in name:  # of BatchNorm each process knows its own batches
            torch.testing.assert_close(value, theirs[name], atol=1e-4, rtol=0, msg=name)


def torch_weights(run: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(checkpoint.find_save(Path(run)) / "model.safetensors")


def test_two_processes_train_the_run_of_one_and_load_every_sprite_once_an_epoch(program: Path) -> None:
    assert sorted(train(1, "out-one")) == sorted([*range(50)] * 2)
    assert sorted(train(2, "out-two")) == sorted([*range(50)] * 2)
    assert_same_run("out-two", "out-one")
    assert checkpoint.read_metrics("out-one")[-1]["tokens"] == 100


def test_a_run_goes_on_in_the_middle_of_an_epoch_with_another_number_of_processes(program: Path) -> None:
    train(1, "out-one")
    for first, then in ((2, 1), (1, 2)):
        run = f"out-{first}-{then}"
        train(first, run, steps=10)
        train(then, run, go_on=True, workers=1)
        assert_same_run(run, "out-one")
