"""A run that is stopped and resumed against the same run in one piece, for `test_card_saves`: python resumed.py cuda.

A process of its own, for what has to be set before CUDA starts. Prints a line for each form that came out the same.
"""

import os
import sys
import tempfile
from pathlib import Path

import torch
from cards import BATCH, BLOCK, MODERN, numbers, small_trainer, why_not

from course_lib import checkpoint
from course_lib.data import Batcher
from course_lib.training import Trainer

FORMS = {
    "adamw fp32": dict(),
    "adamw bf16": dict(precision="bf16"),
    "adamw fp16": dict(precision="fp16"),
    "muon bf16": dict(precision="bf16", optimizer="muon", max_lr=0.02),
}
STEPS, STOP = 20, 9


def forms(device: str) -> dict[str, dict]:
    return {name: form for name, form in FORMS.items() if why_not(device, form.get("precision", "fp32")) is None}


def whole(run: Path, device: str, form: dict, steps: int) -> None:
    for _ in small_trainer(device, MODERN | dict(dropout=0.1), run_dir=run, max_steps=steps, decay_steps=STEPS, **form):
        pass


def files(run: Path) -> dict[str, bytes]:
    save = checkpoint.find_save(run)
    return {path.name: path.read_bytes() for path in sorted(save.glob("*.safetensors"))}


def losses(run: Path) -> list[float]:
    return [row["train_loss"] for row in checkpoint.read_metrics(run)]


def same(folder: Path, device: str, form: dict) -> bool:
    """Whether all weights, all that the optimizer remembers, and all losses are equal, bit for bit."""
    whole(folder / "whole", device, form, STEPS)
    whole(folder / "resumed", device, form, STOP)
    batches = Batcher(numbers()[1], BATCH, BLOCK, 0, device)
    trainer = Trainer.resume(folder / "resumed", batches, max_steps=STEPS)
    assert trainer.step == STOP
    assert len(list(trainer)) == STEPS - STOP
    one, other = files(folder / "whole"), files(folder / "resumed")
    assert one.keys() == {"model.safetensors", "optimizer.safetensors"}
    return one == other and losses(folder / "whole") == losses(folder / "resumed")


if __name__ == "__main__":
    device = sys.argv[1]
    if device == "cuda":
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name, form in forms(device).items():
        with tempfile.TemporaryDirectory() as place:
            if same(Path(place), device, form):
                print(name)
