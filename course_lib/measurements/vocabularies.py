"""Characters, bytes and byte pairs of several vocabularies at equal compute, in bits per byte: chapter 08's record."""

import math
import sys
from dataclasses import dataclass
from typing import Any

from course_lib.data import load_bytes
from course_lib.errors import CourseError
from course_lib.losses import bits_per_byte
from course_lib.measurements.names import Measured
from course_lib.measurements.runs import run_flops, steps_for
from course_lib.progress import progress_bar
from course_lib.recipes import Recipe
from course_lib.recipes.build import build_trainer, val_bytes_per_token
from course_lib.recipes.sweeping import lasting

VOCABULARIES: dict[str, tuple[int, ...]] = {
    "tinytales": (512, 1024),
    "shakespeare_char": (320, 512, 1024, 2048, 4096, 8192),
}
"""The texts that are compared on, and the vocabularies of byte pairs learned from each. TinyTales has so few different
words that each is a token of its own with 1,131; more pairs there are none."""


@dataclass
class Form:
    """One way of cutting a text: the recipe of its runs, which all cost about the same, and what is known of them."""

    recipe: Recipe
    found: dict[str, Any]


def measure_vocabularies(recipe: Recipe, n_seeds: int) -> Measured:
    """Each text of `VOCABULARIES` cut in several ways, each way trained at equal compute from the seeds 1 on.

    Equal compute: the floating-point operations of the recipe's own run, which are its model's `flops_per_token` (the
    head included; looking up an embedding multiplies nothing) times the tokens it is trained on. Every other run takes
    as many steps as this pays for, and warms up and cools down in the same shares of them. All else is as the recipe
    has it, block_size in tokens, too: the longer a token, the more text a model sees. So there are characters twice,
    once with a block_size that covers as many bytes as the recipe's own, and so many sequences fewer in a step.

    A text that cannot be had is left out, with a word on standard error.

    Details: ``flops``, what a run may cost; ``forms``, for each text a list with an entry for each way of cutting it:
    name, tokenizer, vocab_size, bytes_per_token (of the validation part), block_size, weights, max_steps, tokens (seen
    in training), flops, head_share (of those), and for each seed bits_per_byte, nats_per_token and seconds.
    ``val_loss`` and the seconds of the record are those of the recipe's own run.
    """
    flops = run_flops(build_trainer(recipe))
    forms = {text: _forms(recipe.replace(dataset=text), sizes, flops) for text, sizes in VOCABULARIES.items()
             if text == recipe.data.dataset or _is_there(text)}  # fmt: skip
    details: dict[str, Any] = {"recipe": recipe.name, "settings": recipe.settings, "seeds": [], "flops": flops}
    every = [(text, form) for text, cuts in forms.items() for form in cuts]
    with progress_bar(total=n_seeds * len(every), unit="run") as bar:
        for seed in range(1, n_seeds + 1):
            details["seeds"].append(seed)
            for text, form in every:
                bar.set_description(f"seed {seed} of {n_seeds}: {text}, {form.found['name']}")
                _run(form, seed)
                bar.update()
    details["forms"] = {text: [form.found for form in cuts] for text, cuts in forms.items()}
    own = next(form.found for text, form in every if text == recipe.data.dataset and form.recipe.data == recipe.data)
    return own["seconds"], details | {"val_loss": own["nats_per_token"]}


def _is_there(text: str) -> bool:
    try:
        load_bytes(text)
    except CourseError as error:
        print(f"note: {text} is left out. {error}", file=sys.stderr)
        return False
    return True


def _forms(recipe: Recipe, vocabularies: tuple[int, ...], flops: float) -> list[Form]:
    """All ways of cutting the recipe's text, in order, each with the steps that ``flops`` pay for."""
    block_size, batch_size = recipe.all_settings()["block_size"], recipe.train.batch_size
    as_long = round(block_size * val_bytes_per_token(build_trainer(recipe)))  # a character is about a byte
    longer = {"block_size": as_long, "batch_size": max(1, round(batch_size * block_size / as_long))}
    ways: list[tuple[str, dict[str, Any]]] = [
        ("characters", {"tokenizer": "char"}),
        ("characters, longer view", {"tokenizer": "char", **longer}),
        ("bytes", {"tokenizer": "byte"}),
        *((f"byte pairs, {size}", {"tokenizer": "bpe", "bpe_vocab_size": size}) for size in vocabularies),
    ]
    return [_form(name, recipe.replace(**changes, eval_every=0), flops) for name, changes in ways]


def _form(name: str, recipe: Recipe, flops: float) -> Form:
    whole = build_trainer(recipe)
    per_token, steps = whole.model.flops_per_token(), steps_for(whole, flops)
    tokens = steps * whole.batches.tokens_per_step
    found = {
        "name": name, "tokenizer": recipe.data.tokenizer, "vocab_size": whole.model.config.vocab_size,
        "bytes_per_token": round(val_bytes_per_token(whole), 4), "block_size": whole.batches.block_size,
        "weights": whole.model.num_parameters(), "max_steps": steps, "tokens": tokens, "flops": per_token * tokens,
        "head_share": round(6 * whole.model.head.weight.numel() / per_token, 4),
    }  # fmt: skip
    measured: dict[str, list[float]] = {"bits_per_byte": [], "nats_per_token": [], "seconds": []}
    return Form(lasting(recipe, steps), found | measured)


def _run(form: Form, seed: int) -> None:
    """Train from ``seed`` and score the whole validation part; what comes out is added to the form's lists."""
    trainer = build_trainer(form.recipe.replace(seed=seed))
    last = list(trainer)[-1]
    nats = math.nan if last.val_loss is None else last.val_loss
    form.found["bits_per_byte"].append(round(bits_per_byte(nats, 1, val_bytes_per_token(trainer)), 4))
    form.found["nats_per_token"].append(round(nats, 4))
    form.found["seconds"].append(round(last.seconds, 2))
