"""``course eval``: score a trained model on all of a split."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from course_lib.cli.parse import parse
from course_lib.cli.runs import RUN_HELP, WHICH_HELP, find_run
from course_lib.cli.spellings import in_own_words

if TYPE_CHECKING:
    from course_lib.recipes.evaluating import Evaluation

DESCRIPTION = """\
Score a run's model on all of a split of its text, window by window, and print one line; where a grammar wrote the text
(tinytales), two more: the loss that no reader can beat, and how many sentences of samples are grammatical.

bits per byte does not depend on the tokenizer, so it compares runs of different ones on one text. Choose what to train
by val; look at test once, when all choices are made."""


@dataclass
class EvalSettings:
    run: Annotated[
        Positional[str], arg(help=f"{RUN_HELP} Or weights: a ckpt.pt, gpt2, gpt2:PATH.", metavar="RUN")
    ]
    split: Annotated[Literal["val", "test", "train"], arg(help="Which part of its text to score.")] = "val"
    which: Annotated[str, arg(help=WHICH_HELP)] = "auto"
    device: Annotated[str, arg(help="auto, cpu, cuda or mps.")] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"] | None,
        arg(help="The arithmetic (nanoGPT: dtype=float32, bfloat16 or float16); by default the run's own."),
    ] = None
    dataset: Annotated[
        str | None, arg(help="Where its text is now, if it has moved. For weights: any dataset.", metavar="text:PATH")
    ] = None
    batch_size: Annotated[int | None, arg(help="Windows scored at once; it changes the speed, not the loss.")] = None
    samples: Annotated[int, arg(help="How many samples to judge, where a grammar wrote the text; 0 for none.")] = 8


def evaluate(args: list[str]) -> None:
    """Score a trained model on all of a split: eval RUN [--split val|test|train]."""
    s = parse(EvalSettings, in_own_words(args), "course eval", DESCRIPTION)
    from course_lib.checkpoint import LATEST
    from course_lib.recipes.evaluating import evaluate as score

    s.run = str(s.run if s.run != LATEST else find_run(s.run))
    found = score(**vars(s))
    print(
        f"{found.loss:.4f} nats per token, {found.bits_per_byte:.4f} bits per byte, perplexity {found.perplexity:.4g} "
        f"per token: step {found.step} of {s.run} on {found.tokens:,} tokens ({found.n_bytes:,} bytes), all of the "
        f"{found.split} split of {found.dataset}"
    )
    for line in _by_the_grammar(found):
        print(line)


def _by_the_grammar(found: "Evaluation") -> Iterator[str]:
    """What is known only of a text that a grammar wrote."""
    if found.floor is not None:
        above = found.loss - found.floor
        yield f"floor: {found.floor:.4f} nats per token; no reader of such windows can do better (this is {above:+.4f})"
    if found.sentences is not None:
        good, whole = found.sentences
        share = f", {good / whole:.1%}" if whole else ""
        yield f"samples: {good} of {whole} whole sentences are grammatical{share}"
