"""Weights to begin with: a run's, a checkpoint's of nanoGPT, GPT-2's. For training, sampling and scoring."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from course_lib import checkpoint
from course_lib.config import GPTConfig, kind_of
from course_lib.data import bins
from course_lib.errors import CourseError
from course_lib.interop import find_hf_gpt2, load_hf_gpt2, load_nanogpt
from course_lib.interop.hf_config import GPT2_VOCABULARY
from course_lib.interop.hf_find import FOLDER, GPT2_SIZES, is_gpt2_name
from course_lib.interop.hf_tokenizer import MERGES, OWN_FILE, VOCAB, WHOLE, load_hf_tokenizer
from course_lib.interop.nanogpt import NanoGPT, is_padded, without_padding
from course_lib.models import GPT, build_blank_model
from course_lib.paths import quoted, user_path
from course_lib.recipes import Recipe
from course_lib.tokenizers import BPETokenizer, Tokenizer, load_tokenizer


@dataclass
class Start:
    """Weights that are there already, and what belongs to them."""

    name: str
    model: Any
    """In evaluation mode, on the CPU."""
    tokenizer: Tokenizer | None
    """None where nobody knows it: the text that it is used with brings it along."""
    step: int = 0
    """For how many steps they were trained, as far as that is known."""
    text: str = "\n"
    """What a sample goes on from where nothing else is asked for."""
    dataset: str | None = None
    """Where what they were trained on is, as far as that is known."""


def find_start(name: str, which: str | int = "auto", dataset: str | None = None) -> Start:
    """What ``name`` stands for.

    Args:
        name: a run (its folder, or its name under ``runs/``); a ``ckpt.pt`` of nanoGPT, or the folder that holds one;
            ``gpt2``, ``gpt2-medium``, ``gpt2-large``, ``gpt2-xl``, or ``gpt2:PATH`` for a folder with such weights.
        which: the save of a run.
        dataset: ``bins:FOLDER``, whose tokenizer is that of nanoGPT's checkpoint; by default it is looked for.

    Raises:
        CourseError: where there is nothing of that name, or it cannot be read.
    """
    _refuse_which(name, which)
    if is_gpt2_name(name):
        return _gpt2(name)
    path = user_path(name)
    if path.is_file() or (path / "ckpt.pt").is_file():
        return _nanogpt(path if path.is_file() else path / "ckpt.pt", dataset)
    if path.suffix == ".pt":
        raise CourseError(f"There is no file {quoted(path)}; the path is taken from {quoted(Path.cwd())}.")
    run_dir = _run_dir(name)
    if not (run_dir / "saves").is_dir() and _is_hugging_face(run_dir):
        meant = quoted(f"gpt2:{run_dir}")
        raise CourseError(f"{quoted(run_dir)} is no run; it looks like a folder of transformers: {meant}")
    run = checkpoint.load(run_dir, which)
    text = run.config.data.start if run.config.data else "\n"
    return Start(str(run_dir), run.model, run.tokenizer, run.state["step"], text)


def _run_dir(name: str) -> Path:
    """`checkpoint.find_run`, which of what may be meant for a name of the Hub says what there is instead."""
    try:
        return checkpoint.find_run(name)
    except CourseError as error:
        owner = re.fullmatch(r"([\w-]+)/[\w.-]+", name)
        if user_path(name).exists() or not ("gpt" in name.lower() or (owner and not user_path(owner[1]).exists())):
            raise
        known = f"{', '.join(GPT2_SIZES)}, and {FOLDER}PATH for a folder of transformers with another GPT-2"
        raise CourseError(f"{error} Weights from elsewhere are {known}.") from error


def is_run(name: str) -> bool:
    """Whether ``name`` is a run's, as opposed to weights from elsewhere; what is nothing at all counts as a run."""
    path = user_path(name)
    return not (is_gpt2_name(name) or path.is_file() or path.suffix == ".pt" or (path / "ckpt.pt").is_file())


def _refuse_which(name: str, which: str | int) -> None:
    """CourseError for a save that is asked for of weights from elsewhere, which have one state only."""
    if which != "auto" and not is_run(name):
        raise CourseError(
            f"--which names a save of a run, and {quoted(name)} is no run; it is {str(which)!r}. Leave --which out."
        )


def _is_hugging_face(folder: Path) -> bool:
    try:
        return "model_type" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _gpt2(name: str) -> Start:
    folder = find_hf_gpt2(name)
    model = load_hf_gpt2(folder, dropout=0.0)  # how much there is while it trains is the recipe's to say
    own = folder / OWN_FILE
    tokenizer = load_tokenizer(own) if own.is_file() else load_hf_tokenizer(folder)
    if tokenizer is None and _is_gpt2s(model):
        tokenizer = BPETokenizer.gpt2()
    model = model if tokenizer is None else without_padding(model, tokenizer.vocab_size)
    return Start(name, model, tokenizer)


def _nanogpt(path: Path, dataset: str | None) -> Start:
    found = load_nanogpt(path)
    tokenizer, home = _tokenizer_of(path, found, dataset)
    model = found.model if tokenizer is None else without_padding(found.model, tokenizer.vocab_size)
    return Start(str(path), model, tokenizer, found.step, dataset=home)


def _tokenizer_of(path: Path, found: NanoGPT, dataset: str | None) -> tuple[Tokenizer | None, str | None]:
    """A checkpoint's tokenizer, and the dataset that it comes from.

    nanoGPT's sample.py looks for ``data/<dataset>/meta.pkl`` in the working folder; here it is looked for beside the
    out_dir as well. Without one the tokenizer is GPT-2's, where the size is.
    """
    if dataset is not None and dataset.startswith("bins:"):
        return bins.Bins(dataset.partition(":")[2]).tokenizer, dataset
    name = found.settings.get("dataset")
    if isinstance(name, str) and name:
        for home in (Path("data") / name, path.resolve().parent.parent / "data" / name):
            try:
                whole = all((home / f"{part}.bin").is_file() for part in bins.PARTS)
                has_meta = (home / "meta.pkl").is_file()
            except (OSError, ValueError):  # no name of a folder, such as one that is too long, or one that is shut
                continue
            if has_meta:
                return bins.meta_tokenizer(home / "meta.pkl"), f"bins:{home.resolve()}" if whole else None
            if whole and _is_gpt2s(found.model):
                return BPETokenizer.gpt2(), f"bins:{home.resolve()}"
    return (BPETokenizer.gpt2() if _is_gpt2s(found.model) else None), None


def _is_gpt2s(model: GPT) -> bool:
    return is_padded(model.config.vocab_size, GPT2_VOCABULARY)


def need_tokenizer(start: Start) -> Tokenizer:
    """CourseError where nobody knows how ids become text."""
    if start.tokenizer is None and is_run(start.name):
        raise CourseError(f"{quoted(start.name)} has no tokenizer.json, so its ids cannot become text.")
    if start.tokenizer is None and is_gpt2_name(start.name):
        raise CourseError(
            f"{quoted(start.name)} does not hold its vocabulary, so its ids cannot become text. Such a folder needs "
            f"{WHOLE}, or {VOCAB} and {MERGES}: put those of the model there."
        )
    if start.tokenizer is None:
        raise CourseError(
            f"{quoted(start.name)} does not hold its vocabulary, so its ids cannot become text. Of a checkpoint of "
            "nanoGPT the folder of ids has it, in meta.pkl: --dataset bins:FOLDER"
        )
    return start.tokenizer


def need_kind(start: Start, recipe: Recipe) -> None:
    """CourseError where the weights are those of another kind of model than the recipe is for."""
    if (kind := kind_of(start.model.config)) != recipe.kind:
        here = quoted(start.name)
        raise CourseError(f"{here} holds a model of the kind {kind}; the recipe is for one of {recipe.kind}.")


def fitted(start: Start, recipe: Recipe, tokenizer: Tokenizer, asked: frozenset[str] = frozenset()) -> nn.Module:
    """The model to train: the start's weights, with the dropout and the block_size of ``recipe``.

    The rest of the shape is that of the weights, whatever the recipe says.

    Args:
        tokenizer: of the text that it is trained on.
        asked: settings that somebody chose by name, besides those of the recipe.

    Raises:
        CourseError: where such a setting is another than that of the weights; for a block_size that is longer than they
            have positions for, and for a tokenizer of another size.
    """
    model, own = start.model, start.tokenizer
    if "tokenizer" in asked and own is not None and not _is_called(own, recipe.data.tokenizer):
        raise CourseError(
            f"The weights of {quoted(start.name)} know the ids of {own}; the tokenizer {recipe.data.tokenizer} would "
            "make others. Leave it out."
        )
    model = without_padding(model, tokenizer.vocab_size) if isinstance(model, GPT) else model
    wanted = recipe.model(tokenizer.vocab_size)
    for name in sorted(asked & {*model.config.names()} - {"dropout", "block_size"}):
        if getattr(wanted, name) != (there := getattr(model.config, name)):
            raise CourseError(
                f"The weights of {quoted(start.name)} have {name} {there!r}, and {getattr(wanted, name)!r} is asked "
                "for. Leave it out: they decide their shape."
            )
    changes = {"dropout": wanted.dropout}
    if "block_size" in recipe.settings:
        longer = wanted.block_size > model.config.block_size and isinstance(model.config, GPTConfig)
        if not longer:
            changes["block_size"] = wanted.block_size
        elif "block_size" in asked:
            model.cropped(wanted.block_size)  # which says why not
    return _changed(model, changes)


def _is_called(tokenizer: Tokenizer, kind: str) -> bool:
    """Whether ``kind`` is a name of that tokenizer."""
    is_gpt2s = isinstance(tokenizer, BPETokenizer) and tokenizer.vocab_size == GPT2_VOCABULARY
    return kind in ("auto", tokenizer.kind) or (kind == "gpt2" and is_gpt2s)


def _changed(model: Any, changes: dict[str, Any]) -> nn.Module:
    """``model`` with other settings, and its weights."""
    if isinstance(model, GPT):
        model = model.cropped(changes.get("block_size", model.config.block_size))
    other = build_blank_model(model.config.replace(**changes))
    other.load_state_dict(model.state_dict())
    return other
