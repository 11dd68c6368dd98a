"""``course eval``: score a trained model on all of a split."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from course_lib.cli.parse import parse

DESCRIPTION = """Score a run's model on all of a split of its text, window by window, and print one line.

bits per byte does not depend on the tokenizer, so it compares runs of different ones on one text. Choose what to train
by val; look at test once, when all choices are made."""


@dataclass
class EvalSettings:
    run: Annotated[
        Positional[str],
        arg(help="A run: its folder, or its name under runs/. Or weights: a ckpt.pt, gpt2, gpt2:PATH.", metavar="RUN"),
    ]
    split: Annotated[Literal["val", "test", "train"], arg(help="Which part of its text to score.")] = "val"
    which: Annotated[str, arg(help="The save: best, last or a number of steps; auto: best, else last.")] = "auto"
    device: Annotated[str, arg(help="auto, cpu, cuda or mps.")] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"] | None, arg(help="The arithmetic; by default the run's own.")
    ] = None
    dataset: Annotated[
        str | None, arg(help="Where its text is now, if it has moved. For weights: any dataset.", metavar="text:PATH")
    ] = None
    batch_size: Annotated[int | None, arg(help="Windows scored at once; it changes the speed, not the loss.")] = None


def evaluate(args: list[str]) -> None:
    """Score a trained model on all of a split: eval RUN [--split val|test|train]."""
    s = parse(EvalSettings, args, "course eval", DESCRIPTION)
    from course_lib.recipes.evaluating import evaluate as score

    found = score(**vars(s))
    print(
        f"{found.loss:.4f} nats per token, {found.bits_per_byte:.4f} bits per byte, perplexity {found.perplexity:.4g} "
        f"per token: step {found.step} of {s.run} on {found.tokens:,} tokens ({found.n_bytes:,} bytes), all of the "
        f"{found.split} split of {found.dataset}"
    )
