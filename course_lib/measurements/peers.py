"""AGIFORMER beside GPTs of bytes and of byte pairs, at equal compute and with as many weights: bits per byte."""

import functools
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.data import prepared_for
from course_lib.data.opening import open_tokens
from course_lib.errors import CourseError
from course_lib.losses import bits_per_byte
from course_lib.measurements.names import Measured
from course_lib.measurements.partial import Partial
from course_lib.measurements.runs import Rows, rows_of, run_flops, steps_for, surprises
from course_lib.models import build_model
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe, load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.recipes.sweeping import lasting
from course_lib.reference import kept_rows
from course_lib.tokenizers import ByteTokenizer
from course_lib.training import Trainer

GPT_RECIPE = "tinytales_cpu"
"""Where the GPTs have their form and training from: the course's recipe whose run is about as long, 1,050 steps."""
MUON = ("optimizer", "momentum", "head_lr_scale", "weight_decay")
"""The settings of it that the AGIFORMER is tried with, too."""
LRS = {"adamw": (0.001, 0.003, 0.01), "muon": (0.01, 0.02, 0.04)}
"""The learning rates that a model is tried with from seed 0; then its best counts. In the middle stand the rates of the
recipes. GPTs are trained with Muon, at its best well ahead of AdamW (the record of chapter 04); of the AGIFORMER nobody
knows, so it is tried with its recipe's AdamW and with Muon."""
WITHIN = 0.03
"""How far the weights of a GPT that has as many may be from the AGIFORMER's."""


Kept = dict[str, Any]
"""What is kept of a run, see `_run_once`."""


@dataclass
class Peer:
    """A model that is compared: the recipe of its runs, the settings it is tried with, and what is known of it."""

    recipe: Recipe
    tried: list[dict[str, Any]]
    """Empty for a model that is trained with the settings that are best for the first."""
    found: dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """What is judged of a validation part: the ``n_bytes`` behind its first ``first`` bytes."""

    first: int
    n_bytes: int


def measure_peers(recipe: Recipe, n_seeds: int, name: str = "agiformer_peers") -> Measured:
    """The recipe's AGIFORMER beside itself without thinking, at equal compute, and beside four GPTs.

    These are of bytes and of byte pairs, each at equal compute and of equal size.

    How they are made comparable, see `peers`; how each is trained, `LRS`; how they are judged, `judged_by`.

    Details: ``judged``, by how many bytes; ``peers``, a list with an entry for each model, the AGIFORMER first:
    ``name``, ``kind``, ``tokenizer``, ``equal`` ("compute", "weights", None for the AGIFORMER), ``vocab_size``,
    ``n_layer``, ``n_embd``, ``block_size``, ``weights``, ``max_steps``, ``tokens``, ``bytes`` (seen in training, by the
    training part's bytes per token), ``flops``, ``tried`` (settings, and their bits_per_byte from seed 0), ``best``
    (settings), for each seed ``bits_per_byte`` and ``seconds``, and ``mean_bits_per_byte``. A loss that is not finite
    ends a run; its score stands as None. ``val_loss`` (nats per byte), ``rows`` and the seconds of the record are the
    AGIFORMER's.

    It can be cut off: runs that are over lie in ``data/partial``, and are not made again; see `Partial`.
    """
    judged = judged_by(recipe)
    run = functools.partial(_run_once, Partial(name, {"settings": recipe.settings}), judged)
    models = peers(recipe)
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "judged": judged.n_bytes}
    details |= {"seeds": list(range(1, n_seeds + 1)), "val_loss": [], "rows": []}
    with progress_bar(total=sum(len(peer.tried) + n_seeds for peer in models), unit="run") as bar:
        for peer in models:
            bar.set_description(f"{peer.found['name']}: learning rates")
            _choose(peer, run, bar, models[0])
        for seed in details["seeds"]:  # in turn, so that a machine that slows down slows all of them
            for peer in models:
                bar.set_description(f"seed {seed} of {n_seeds}: {peer.found['name']}")
                kept = run(peer, peer.found["best"], seed)
                bar.update()
                peer.found["bits_per_byte"].append(kept["bits_per_byte"])
                peer.found["seconds"].append(kept["seconds"])
                if peer is models[0]:
                    details["val_loss"].append(kept["val_loss"])
                    details["rows"].append(kept["rows"])
    for peer in models:
        scores = [score for score in peer.found["bits_per_byte"] if score is not None]
        peer.found["mean_bits_per_byte"] = round(statistics.fmean(scores), 4) if scores else None
    return models[0].found["seconds"], details | {"peers": [peer.found for peer in models]}


def _choose(peer: Peer, run: Callable[..., Kept], bar: Any, first: Peer) -> None:
    """Try a model's settings from seed 0 and keep the best; without any of its own, those of the first model."""
    if not peer.tried:
        peer.found["best"] = first.found["best"]
        return
    for settings in peer.tried:
        bits = run(peer, settings, 0)["bits_per_byte"]
        bar.update()
        peer.found["tried"].append(settings | {"bits_per_byte": bits})
    scores = [math.inf if tried["bits_per_byte"] is None else tried["bits_per_byte"] for tried in peer.found["tried"]]
    peer.found["best"] = peer.tried[scores.index(min(scores))]


def _run_once(partial: Partial, judged: Judged, peer: Peer, settings: dict[str, Any], seed: int) -> Kept:
    """What is kept of a run: ``bits_per_byte``, ``val_loss``, ``seconds`` and ``rows``; made where it is not there."""

    def make() -> Kept:
        bits, rows = _run(peer, settings, seed, judged)
        nats = None if bits is None else round(bits * math.log(2), 4)
        kept = kept_rows([*rows[:-1], rows[-1] | {"val_loss": nats}] if rows else [])
        seconds = rows[-1]["seconds"] if rows else 0.0
        return {"bits_per_byte": bits, "val_loss": nats, "seconds": seconds, "rows": kept}

    return partial.get(f"{peer.found['name']} {settings} {seed}", make)


def judged_by(recipe: Recipe) -> Judged:
    """The same bytes for all: those of the validation part but its first piece, as byte pairs cut it.

    Nobody guesses the first token of a text, and that of the byte pairs has several bytes. So a model of bytes is not
    judged by these, either. Nats are added up over the tokens that follow, and divided by the bytes they stand for.
    """
    prepared = prepared_for(recipe.data.replace(tokenizer="bpe"))
    first = int(open_tokens(prepared.path("val"))[0])
    size = len(prepared.tokenizer.vocab[first])  # type: ignore[attr-defined]
    return Judged(size, prepared.manifest["bytes"]["val"] - size)


def peers(recipe: Recipe) -> list[Peer]:
    """The recipe's own model; the same without thinking; then GPTs of bytes and of byte pairs, two of each.

    Without thinking it trains for as many steps as the thinking would have cost, with the settings that are best for
    the model that thinks.

    A GPT at equal compute: as wide and as deep, for as many steps as the AGIFORMER's floating-point operations pay for,
    within half a step (see `run_flops`). Of equal size: as deep but wider, with as many weights within 3%, tables and
    head included (see `shape_of`), and trained on as many bytes. A window covers about as many bytes in all of them,
    and a step as many windows: models of bytes see the same ones in the same order. Of byte pairs there are
    ``bpe_vocab_size``, learned from the training part.
    """
    own = build_trainer(recipe)
    n_bytes = own.config.max_steps * own.batches.tokens_per_step  # an AGIFORMER's tokens are bytes
    with_muon = [{name: load_recipe(GPT_RECIPE).settings[name] for name in MUON} | {"max_lr": lr} for lr in LRS["muon"]]
    tried = [{"optimizer": "adamw", "max_lr": lr} for lr in LRS["adamw"]]
    models = [_peer("AGIFORMER", recipe, None, tried + with_muon)]
    thoughtless = recipe.replace(thinking_steps=0)
    saved = lasting(thoughtless, steps_for(build_trainer(thoughtless), run_flops(own)))
    models.append(_peer("AGIFORMER, no thinking", saved, "compute", []))
    for name, tokenizer in (("GPT of bytes", "byte"), ("GPT of byte pairs", "bpe")):
        gpt = _gpt(recipe, tokenizer)
        prepared, trainer = prepared_for(gpt.data), build_trainer(gpt)
        paid = lasting(gpt, steps_for(trainer, run_flops(own)))
        models.append(_peer(f"{name}, equal compute", paid, "compute", with_muon))
        bytes_per_step = trainer.batches.tokens_per_step * prepared.bytes_per_token("train")
        sized = gpt.replace(**shape_of(own.model.num_parameters(), gpt, prepared.tokenizer.vocab_size))
        as_long = lasting(sized, max(1, round(n_bytes / bytes_per_step)))
        models.append(_peer(f"{name}, equal size", as_long, "weights", with_muon))
    return models


def _gpt(recipe: Recipe, tokenizer: str) -> Recipe:
    """A GPT as wide and as deep as the recipe's model, on the same text, its windows as long in bytes."""
    settings = recipe.all_settings()
    shared = (
        *("dataset", "val_fraction", "test_fraction", "bpe_vocab_size", "device"),
        *("n_layer", "n_embd", "n_head", "batch_size"),
    )
    gpt = load_recipe(GPT_RECIPE).replace(
        tokenizer=tokenizer, eval_every=0, **{name: settings[name] for name in shared}
    )
    return gpt.replace(block_size=round(settings["block_size"] / prepared_for(gpt.data).bytes_per_token("train")))


def shape_of(weights: int, gpt: Recipe, vocab_size: int) -> dict[str, int]:
    """The n_layer and n_embd with which a GPT has ``weights`` weights within 3%, as nearly as its widths allow.

    It is as deep as ``gpt``, and as wide as that takes; where no width that its heads can share comes so near, it is a
    layer deeper, and so on.

    Raises:
        CourseError: where up to three times as many layers none does.
    """
    n_layer, even = gpt.all_settings()["n_layer"], 2 * gpt.all_settings()["n_head"]  # RoPE turns pairs
    for layers in range(n_layer, 3 * n_layer + 1):
        shape, off = {"n_layer": layers, "n_embd": even}, -1.0
        found: dict[float, dict[str, int]] = {}
        while off < WITHIN:
            off = _num_parameters(gpt.replace(**shape), vocab_size) / weights - 1
            found[abs(off)] = shape
            shape = shape | {"n_embd": shape["n_embd"] + even}
        if min(found) <= WITHIN:
            return found[min(found)]
    raise CourseError(
        f"No GPT of {n_layer} to {3 * n_layer} layers has {weights} weights within {WITHIN:.0%}: widths come in steps "
        f"of {even}. Give the AGIFORMER more weights, or fewer heads."
    )


def _num_parameters(recipe: Recipe, vocab_size: int) -> int:
    with torch.device("meta"):  # counted, not drawn
        return build_model(recipe.model(vocab_size)).num_parameters()


def _peer(name: str, recipe: Recipe, equal: str | None, tried: list[dict[str, Any]]) -> Peer:
    """A model with what is known before it is trained."""
    whole = build_trainer(recipe)
    tokens, config = whole.config.max_steps * whole.batches.tokens_per_step, whole.model.config
    found = {
        "name": name, "kind": recipe.kind, "tokenizer": recipe.data.tokenizer, "equal": equal,
        "vocab_size": config.vocab_size, "n_layer": config.n_layer, "n_embd": config.n_embd,
        "block_size": config.block_size, "weights": whole.model.num_parameters(), "max_steps": whole.config.max_steps,
        "tokens": tokens, "bytes": round(tokens * prepared_for(recipe.data).bytes_per_token("train")),
        "flops": run_flops(whole), "tried": [], "best": None, "bits_per_byte": [], "seconds": [],
    }  # fmt: skip
    return Peer(recipe, tried, found)


def _run(peer: Peer, settings: dict[str, Any], seed: int, judged: Judged) -> tuple[float | None, Rows]:
    """Train with ``settings`` and score; None where a loss is not finite. Also the run's rows."""
    trainer = build_trainer(peer.recipe.replace(seed=seed, **settings))
    windows, trainer.val_batches = trainer.val_batches.windows(), None  # it is scored once, here
    rows = rows_of(trainer)
    if len(rows) < trainer.config.max_steps:
        return None, rows
    bits = bits_per_byte(nats_of(trainer, windows, judged), 1, judged.n_bytes)
    return (round(bits, 4) if math.isfinite(bits) else None), rows


def nats_of(trainer: Trainer, windows: Iterable[tuple[Tensor, Tensor]], judged: Judged) -> float:
    """The sum of a model's surprises at what is judged, in nats; ``windows`` hold every target once, in order."""
    first = judged.first if isinstance(trainer.tokenizer, ByteTokenizer) else 1  # in tokens: bytes, or the one piece
    each = torch.cat([batch.flatten() for batch in surprises(trainer, windows)])
    return each[first - 1 :].sum().item()  # the very first token is no target
