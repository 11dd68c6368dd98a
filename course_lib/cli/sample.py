"""``course sample``: let a trained model write."""

import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from course_lib.cli.parse import parse
from course_lib.cli.runs import RUN_HELP, WHICH_HELP, find_run
from course_lib.cli.spellings import in_own_words, without, word_after
from course_lib.data.prompt import SAMPLE_HEAT, SAMPLE_SEED, SAMPLE_TOKENS, encode_start, encode_stop, read_start
from course_lib.errors import CourseError


@dataclass
class SampleSettings:
    run: Annotated[
        Positional[str | None], arg(help=f"{RUN_HELP} Or a ckpt.pt (nanoGPT: out_dir).", metavar="RUN")
    ] = None
    init_from: Annotated[
        str | None,
        arg(help="Other weights: a ckpt.pt, gpt2, gpt2-medium, ..., gpt2-xl or gpt2:PATH.", metavar="FILE|gpt2..."),
    ] = None
    start: Annotated[
        str | None, arg(help="The text to go on from; FILE:path takes it from a file. By default: as such texts begin.")
    ] = None
    num_samples: Annotated[int, arg(help="How many samples to write.")] = 1
    max_new_tokens: Annotated[int, arg(help="How many tokens each sample adds.")] = SAMPLE_TOKENS
    temperature: Annotated[float, arg(help="Below 1 surer, above 1 wilder, 0 always the likeliest.")] = SAMPLE_HEAT
    top_k: Annotated[int | None, arg(help="Draw from the k likeliest tokens only.")] = None
    top_p: Annotated[float | None, arg(help="Draw from the likeliest tokens that sum to p only.")] = None
    seed: Annotated[int, arg(help="Where the draws start; sample i uses seed + i.")] = SAMPLE_SEED
    stop: Annotated[str | None, arg(help="A token that ends a sample; it is written, and nothing after it.")] = None
    which: Annotated[str, arg(help=WHICH_HELP)] = "auto"
    device: Annotated[str, arg(help="auto, cpu, cuda or mps.")] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        arg(help="The arithmetic (nanoGPT: dtype=float32, bfloat16 or float16); auto: as the weights are, fp32."),
    ] = "auto"
    compile: Annotated[
        bool, arg(help="Whether torch.compile makes kernels first; on a card a CUDA graph serves anyway.")
    ] = False
    dataset: Annotated[
        str | None, arg(help="For a ckpt.pt: the folder with its meta.pkl, if it is not found.", metavar="bins:FOLDER")
    ] = None

    def check(self) -> None:
        """What the library does not see; raises CourseError."""
        for name, lowest in (("num_samples", 1), ("max_new_tokens", 0)):
            value = getattr(self, name)
            if value < lowest:
                raise CourseError(f"--{name.replace('_', '-')} should be at least {lowest}; it is {value}.")
        if (self.run is None) == (self.init_from is None):
            raise CourseError("course sample needs one of two: RUN, or --init-from with other weights.")


def sample(args: list[str]) -> None:
    """Let a trained model write: sample RUN [--start TEXT|FILE:path]."""
    args = of_nanogpt(in_own_words(args))
    s = parse(SampleSettings, args, "course sample", "Let a trained model write, token by token.")
    s.check()
    import torch

    from course_lib.recipes.starting import find_start, is_run, need_tokenizer
    from course_lib.sampling import stream

    name = s.run or s.init_from
    found = find_start(str(find_run(name)) if is_run(name) else name, s.which, s.dataset)
    tokenizer = need_tokenizer(found)
    start = found.text if s.start is None else read_start(s.start)
    prompt = torch.tensor([encode_start(tokenizer, start)], dtype=torch.long)
    stop = None if s.stop is None else encode_stop(tokenizer, s.stop)
    model = prepared_model(found.model, s)
    for i in range(s.num_samples):
        # First, as it refuses settings out of range: what was refused writes nothing.
        tokens = stream(model, prompt, s.max_new_tokens, s.temperature, s.top_k, s.top_p, seed=s.seed + i, stop=stop)
        if s.num_samples > 1:
            print(f"--- sample {i + 1} of {s.num_samples} ---")
        show(start)
        show_tokens(tokenizer, (int(token[0, 0]) for token in tokens))


def of_nanogpt(args: list[str]) -> list[str]:
    """``--init_from=resume --out_dir=RUN``, as nanoGPT's sample.py has it, and ``--out_dir=RUN`` alone, as RUN."""
    if word_after("--init-from", args) == "resume":
        args = without("--init-from", args)
    if (run := word_after("--out-dir", args)) is None:
        return args
    rest = without("--out-dir", args)
    return rest if word_after("--init-from", args) is not None else [run, *rest]


def prepared_model(model: Any, s: SampleSettings) -> Any:
    """``model`` on the device and in the arithmetic that are asked for, compiled where that is."""
    import torch

    from course_lib.device import DTYPES, select
    from course_lib.training.setup import need_compiler

    compute = select(s.device, s.precision)
    # Sampling changes no weight, so they can all be of the type that is computed in: there is less to read for a token.
    model = model.to(compute.device, DTYPES[compute.precision] if s.precision != "auto" else None)
    if s.compile and compute.kind != "cuda":
        need_compiler(torch.device(compute.device))
        model.compile(dynamic=True)
    return model


def show_tokens(tokenizer: Any, ids: Iterable[int]) -> None:
    """Write tokens as they come, and a line break after the last."""
    decoder = tokenizer.decoder()
    for token in ids:
        show(decoder.add([token]))
    show(decoder.finish() + "\n")


def show(text: str) -> None:
    """Write a model's text, as it is into a file or a pipe, and on a terminal without power over it.

    A model may write any character that it has seen. Some are commands to a terminal (ESC begins most of them): a
    terminal gets escapes for control characters, such as ``\\x1b``; tab and line feed stay.
    """
    if sys.stdout.isatty():
        text = "".join(escaped(c) for c in text)
    sys.stdout.write(text)
    sys.stdout.flush()


def escaped(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) != "Cc":
        return character
    return f"\\x{ord(character):02x}"
