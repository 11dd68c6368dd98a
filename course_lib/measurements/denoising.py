"""Denoisers trained by the squared and by the absolute difference: each scored by both, with pictures."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_lib.config import TrainConfig
from course_lib.corpora.sprites import KINDS
from course_lib.data import LoaderBatches, NoisyPictures, SpriteDataset
from course_lib.measurements.names import Measured
from course_lib.models import Denoiser
from course_lib.progress import progress_bar
from course_lib.reference import kept_rows
from course_lib.training import Loss, Trainer, l1_loss, mse_loss

SIZES = {"sprites": 5000, "held_out": 500, "steps": 800, "batch_size": 32, "noise": 0.3}
LR = 3e-3
LOSSES: dict[str, Loss] = {"mse": mse_loss, "l1": l1_loss}
"""What is trained by, and what is scored by."""
NEAR = 0.1
"""So far from the true one, at most, each of its three colors is in a pixel that counts as right."""


def train_denoiser(loss: Loss, seed: int, told: Callable[[], Any] = lambda: None) -> tuple[nn.Module, list[Any]]:
    """A denoiser of sprites, and its rows; ``told`` is called after each step."""
    noisy = NoisyPictures(SpriteDataset(SIZES["sprites"], seed), SIZES["noise"])
    batches = LoaderBatches(DataLoader(noisy, SIZES["batch_size"], shuffle=True), seed)
    config = TrainConfig(
        max_steps=SIZES["steps"], max_lr=LR, schedule="cosine", weight_decay=0.0, beta2=0.999, grad_clip=0.0,
        eval_every=0, device="cpu", precision="fp32",
    )  # fmt: skip
    torch.manual_seed(seed)
    model, rows = Denoiser(), []
    for record in Trainer(model, batches, config, loss):
        rows.append(dataclasses.asdict(record))
        told()
    return model.eval(), rows


def near_share(cleaned: Tensor, clean: Tensor) -> float:
    """The share of pixels that are right: red, green and blue within `NEAR` of the true ones."""
    return ((cleaned - clean).abs().amax(dim=1) < NEAR).float().mean().item()


def measure_denoising(n_seeds: int) -> Measured:
    """A denoiser for each of `LOSSES`, scored by both on held-out sprites whose noise is the same for all.

    Details, one entry for each seed: ``rows`` and ``scores``, a dictionary from the loss that it was trained by to its
    ``mse`` and ``l1`` on held-out sprites and the ``near_share``; ``noisy``, the same of the pictures as they come.
    ``pictures``, by the name of the loss, are what the first seed's models make of one held-out sprite of each kind,
    as hex digits: red, green and blue of each pixel, row by row; ``clean`` and ``noisy`` are among them.
    """
    details: dict[str, Any] = {"sizes": SIZES, "near": NEAR, "seeds": [], "rows": [], "scores": [], "noisy": []}
    seconds = []
    with progress_bar(total=n_seeds * len(LOSSES) * SIZES["steps"], unit="step") as bar:
        for seed in range(1, n_seeds + 1):
            start = time.perf_counter()
            held_out = NoisyPictures(SpriteDataset(SIZES["held_out"], seed, "held_out"), SIZES["noise"])
            scored = list(LoaderBatches(DataLoader(held_out, 250), seed).windows())
            found: dict[str, Any] = {"rows": {}, "scores": {}, "noisy": _scores(nn.Identity(), scored)}
            models: dict[str, nn.Module] = {"noisy": nn.Identity()}
            for name, loss in LOSSES.items():
                models[name], rows = train_denoiser(loss, seed, bar.update)
                found["rows"][name], found["scores"][name] = kept_rows(rows), _scores(models[name], scored)
            for what, value in found.items():
                details[what].append(value)
            if seed == 1:
                noisy, clean = (torch.cat(part)[:: SIZES["held_out"] // len(KINDS)] for part in zip(*scored))
                details["pictures"] = {"clean": _hex(clean)}
                with torch.no_grad():
                    details["pictures"] |= {name: _hex(model(noisy)) for name, model in models.items()}
            details["seeds"].append(seed)
            seconds.append(time.perf_counter() - start)
    return seconds, details


def _scores(model: nn.Module, scored: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    found = {}
    with torch.no_grad():
        cleaned, clean = torch.cat([model(x) for x, _ in scored]), torch.cat([y for _, y in scored])
    for name, loss in LOSSES.items():
        found[name] = round(loss(nn.Identity(), cleaned, clean).item(), 5)
    return found | {"near_share": round(near_share(cleaned, clean), 4)}


def _hex(images: Tensor) -> list[str]:
    """Each picture (3, H, W) as the hex digits of its bytes, a pixel after the other."""
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [bytes(picture.flatten().tolist()).hex() for picture in pixels]
