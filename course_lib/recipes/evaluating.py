"""A run's model scored on all of a split: `evaluate`, which reads the run's folder and writes nothing into it."""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.config import DataConfig, RunConfig, TrainConfig
from course_lib.corpora.grade import Part
from course_lib.data import Batcher, Prepared, prepared_for
from course_lib.data.datasets import find_corpus, floor_of
from course_lib.data.prompt import SAMPLE_HEAT, SAMPLE_SEED, SAMPLE_TOKENS, encode_start
from course_lib.device import Compute, seed_for, select
from course_lib.errors import CourseError, need_whole
from course_lib.losses import bits_per_byte
from course_lib.paths import quoted
from course_lib.progress import progress_bar
from course_lib.recipes.again import refuse_made_in_python, text_of_run
from course_lib.recipes.build import open_split, scoring_batch_size
from course_lib.recipes.starting import find_start, is_run
from course_lib.sampling import stream
from course_lib.training.borrowed import Borrowed
from course_lib.training.record import EVALUATION
from course_lib.training.scoring import is_out_of_memory, mean_loss

SPLITS = ("val", "test", "train")


@dataclass(frozen=True)
class Evaluation:
    """What a save of a run scores on a split of its text.

    ``loss`` is in nats per token, the mean over ``tokens`` of them: all but the first, which nothing comes before.
    The split has ``n_bytes`` bytes of text.
    """

    loss: float
    bits_per_byte: float
    tokens: int
    n_bytes: int
    split: str
    dataset: str
    step: int
    floor: float | None = None
    """Where a grammar wrote the text and a token is a letter: the loss that no reader of so many tokens can beat."""
    sentences: tuple[int, int] | None = None
    """Of samples, where a grammar wrote the text and they were asked for: how many whole sentences are grammatical, and
    how many there are."""

    @property
    def perplexity(self) -> float:
        """Among how many tokens, equally likely, a choice would be as hard as the next one is; exp(loss)."""
        return math.inf if self.loss > 700 else math.exp(self.loss)  # Python's exp raises an error beyond 709


def evaluate(
    run: str | Path, split: str = "val", which: str | int = "auto", device: str = "auto", precision: str | None = None,
    dataset: str | None = None, batch_size: int | None = None, samples: int = 0,
) -> Evaluation:  # fmt: skip
    """Cross-entropy on all of a split, in windows of the run's block_size side by side, the last one shorter.

    Args:
        run: its folder, or its name under ``runs/``; it may be training meanwhile. Or weights of others, see
            `find_start`: their text is ``dataset``.
        split: ``val``, ``test`` or ``train``.
        which: the save: ``best``, ``last``, a number of steps, or ``auto``, the best where one was measured.
        precision: of the forward pass, as in `TrainConfig`; None takes the run's own, so that the loss is the one that
            its log has.
        dataset: where the run's text is now, if it has moved.
        batch_size: windows scored at once; None takes as many as suit the device. The loss does not depend on it.
        samples: of a text that a grammar wrote, how many samples to let the model write and judge: those that
            ``course sample`` writes by its own settings.

    Raises:
        CourseError: where the folder is no run or has no such save, its text is not there or not the same, it has no
            such split, or only the run's program can make its batches or its model.
    """
    if split not in SPLITS:
        raise CourseError(f"split should be {', '.join(SPLITS)}; it is {split!r}.")
    if batch_size is not None:
        need_whole("batch_size", batch_size, 1)
    need_whole("samples", samples, 0)
    if not is_run(str(run)):
        return _evaluate_weights(str(run), split, which, device, precision, dataset, batch_size)
    run_dir = checkpoint.find_run(run)
    about, tokenizer = checkpoint.read_config(run_dir)
    _refuse_what_is_not_there(run_dir, about, split)
    loaded = checkpoint.load(run_dir, which)
    data, prepared = text_of_run(run_dir, about, tokenizer, dataset, f"course eval {quoted(run_dir)}")
    settings = TrainConfig.from_dict(about.train.to_dict() | loaded.state.get("train", {}))  # those of the save
    # A card without TF32 refuses it; None takes it where it is.
    compute = select(device, precision or settings.precision, None if settings.tf32 else settings.tf32)
    block_size = about.model.block_size
    size = batch_size or scoring_batch_size(prepared, split, compute.device, block_size)
    batches = open_split(prepared, split, size, block_size, device=compute.device)
    batches.check_ids(getattr(about.model, "vocab_size", prepared.tokenizer.vocab_size))
    loss = _scored(loaded.model, batches, compute, seed_for(settings.seed, loaded.state["step"], EVALUATION))
    found = _evaluation(loss, prepared, split, data.dataset, loaded.state["step"])
    floor = floor_of(data.dataset, data.tokenizer, block_size)
    return dataclasses.replace(found, floor=floor, sentences=_judged(loaded, data, samples))


def _evaluate_weights(
    name: str, split: str, which: str | int, device: str, precision: str | None, dataset: str | None,
    batch_size: int | None,
) -> Evaluation:  # fmt: skip
    """As `evaluate`, for weights that are no run: a checkpoint's of nanoGPT, GPT-2's."""
    start = find_start(name, which, dataset)
    dataset = dataset or start.dataset
    if dataset is None:
        raise CourseError(f"{quoted(name)} does not tell its text. Say what to score it on: --dataset NAME")
    if split == "test":
        raise CourseError(f"{quoted(dataset)} is split into train and val here. Score {quoted(name)} with --split val.")
    prepared = prepared_for(DataConfig(dataset=dataset), start.tokenizer)
    compute = select(device, precision or "auto")
    block_size = start.model.config.block_size
    size = batch_size or scoring_batch_size(prepared, split, compute.device, block_size)
    batches = open_split(prepared, split, size, block_size, device=compute.device)
    batches.check_ids(start.model.config.vocab_size)
    loss = _scored(start.model, batches, compute, seed_for(0, start.step, EVALUATION))
    return _evaluation(loss, prepared, split, dataset, start.step)


def _refuse_what_is_not_there(run_dir: Path, about: RunConfig, split: str) -> None:
    """CourseError for a run whose batches or model only its program makes, and for one without that split."""
    here, windows = f"mean_loss(checkpoint.load({str(run_dir)!r}", ".model, batches.windows())"
    refuse_made_in_python(run_dir, about, "Score it", f"{here}){windows}", f"{here}, model=your_model){windows}")
    assert about.data is not None
    if split == "test" and not about.data.test_fraction:
        raise CourseError(
            f"{quoted(run_dir)} has no test part: its text was split into training and validation only. Score it with "
            "--split val, or train a new run with a part that is kept for testing: course train RECIPE "
            "--test-fraction 0.05"
        )


def _scored(model: nn.Module, batches: Batcher, compute: Compute, seed: int) -> float:
    """The mean loss over all windows, as the run's own evaluations compute it; ``seed`` is for models that draw."""
    borrowed = Borrowed(compute)
    model = model.to(compute.device)
    with progress_bar(total=len(batches.tokens) - 1, unit="token", unit_scale=True) as bar:

        def work() -> float | None:
            borrowed.seed(seed)
            return mean_loss(model, _counted(batches.windows(), bar), compute=compute)

        try:
            loss = borrowed.during(work)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            remedy = f"--batch-size {batches.batch_size // 2}" if batches.batch_size > 1 else "--device cpu"
            raise CourseError(f"The device is out of memory. Try {remedy}. ({str(error).splitlines()[0]})") from error
    assert loss is not None  # nothing stops it between two batches
    return loss


def _counted(windows: Iterable[tuple[Tensor, Tensor]], bar: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """``windows``, and the bar moves."""
    for x, y in windows:
        yield x, y
        bar.update(y.numel())


def _judged(loaded: checkpoint.Run, data: DataConfig, samples: int) -> tuple[int, int] | None:
    """How many whole sentences of ``samples`` samples the grammar of a run's text could have written, and of how many.

    None without a grammar, or without samples.
    """
    judge = find_corpus(data.dataset).grade
    if judge is None or not samples or loaded.tokenizer is None:
        return None
    parts: list[Part] = []
    for i in range(samples):
        start = [encode_start(loaded.tokenizer, data.start)]
        ids = stream(loaded.model, start, SAMPLE_TOKENS, SAMPLE_HEAT, seed=SAMPLE_SEED + i)
        parts += judge(data.start + loaded.tokenizer.decode([int(token[0, 0]) for token in ids])).sentences
    return sum(part.is_grammatical for part in parts), len(parts)


def _evaluation(loss: float, prepared: Prepared, split: str, dataset: str, step: int) -> Evaluation:
    tokens, n_bytes = prepared.manifest["counts"][split], prepared.manifest["bytes"][split]
    return Evaluation(loss, bits_per_byte(loss, tokens, n_bytes), tokens - 1, n_bytes, split, dataset, step)
