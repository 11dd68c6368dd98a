"""A run with its gradients averaged over one process, for `test_card_processes`: torchrun ... shared.py cuda.

One process averages with nobody; but DistributedDataParallel, NCCL (or gloo) and the course's sums over processes all
do their part. Prints the losses of the run without them, and of the run with them.
"""

import contextlib
import os
import sys

import torch
import torch.distributed as dist
from cards import MODERN, small_trainer
from torch import nn

from course_lib.device import World, current_world
from course_lib.training import Trainer

STEPS = 10


def alone(device: str, **form) -> Trainer:
    return small_trainer(device, MODERN | dict(dropout=0.1), max_steps=STEPS, grad_accum=2, **form)


class Shared(World):
    """A world of one that does not spare itself the work of several."""

    def sum(self, values: list[float]) -> list[float]:
        total = torch.tensor(values, dtype=torch.float64, device="cuda" if self.backend == "nccl" else "cpu")
        dist.all_reduce(total)
        return total.tolist()


def shared(device: str, **form) -> Trainer:
    """`alone`, wrapped as several processes have it."""
    trainer = alone(device, **form)
    assert trainer.world == current_world()
    cards = [trainer.world.local_rank] if device == "cuda" else None
    trainer.forward_model = nn.parallel.DistributedDataParallel(trainer.forward_model, device_ids=cards)
    world = trainer.world
    trainer.world = Shared(world.rank, world.local_rank, world.size, world.backend)
    trainer._gradients_shared = lambda last: _syncing(trainer.forward_model, last)
    return trainer


def _syncing(model: nn.parallel.DistributedDataParallel, last: bool) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext() if last else model.no_sync()


if __name__ == "__main__":
    device = sys.argv[1]
    torch.set_num_threads(1)
    if device == "cuda":
        torch.use_deterministic_algorithms(True)
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        for optimizer in ("adamw", "muon"):
            for run in (alone, shared):
                losses = [record.train_loss for record in run(device, optimizer=optimizer)]
                print(optimizer, run.__name__, *(loss.hex() for loss in losses))
    finally:
        dist.destroy_process_group()
