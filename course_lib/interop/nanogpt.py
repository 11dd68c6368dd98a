"""A ``ckpt.pt`` of nanoGPT (github.com/karpathy/nanoGPT), and a model that computes with it what nanoGPT computes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.interop.hf_config import GPT2_VOCABULARY
from course_lib.interop.torch_files import read_torch_file
from course_lib.models import GPT, build_blank_model
from course_lib.paths import quoted, user_path

COMPILED = "_orig_mod."
"""What torch.compile puts before a name."""
FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
PADDED_TO = (64, 128)
"""GPT-2's 50,257 tokens are often padded to a multiple of one of these, in nanoGPT to 50,304 rows. Other vocabularies
are not: where one of them has another size than the model, the two do not belong together."""
MASK = r"\.attn\.(masked_)?bias$"
"""Where torch has no attention of its own, a checkpoint holds the triangle of what each token may see, too."""
SHAPE = ("block_size", "vocab_size", "n_layer", "n_head", "n_embd")
NAMES = {
    "transformer.wte": "token_embedding", "transformer.wpe": "position_embedding", "transformer.ln_f": "norm",
    "lm_head": "head",
}  # fmt: skip
IN_A_BLOCK = {
    "ln_1": "norm1", "attn.c_attn": "attn.qkv", "attn.c_proj": "attn.proj", "ln_2": "norm2", "mlp.c_fc": "mlp.up",
    "mlp.c_proj": "mlp.down",
}  # fmt: skip
"""What nanoGPT calls a part, and what `GPT` does."""


@dataclass(frozen=True)
class NanoGPT:
    """What a ``ckpt.pt`` tells: the model, in evaluation mode on the CPU, and what is known of its run."""

    model: GPT
    step: int
    """How many steps it was trained for (``iter_num``)."""
    best_val_loss: float | None
    """The lowest loss on its validation batches; None where the file does not say."""
    settings: dict[str, Any]
    """The settings of train.py, as it had them: ``config``; empty where the file has none."""


def load_nanogpt(path: str | Path) -> NanoGPT:
    """The ``ckpt.pt`` that nanoGPT's train.py keeps in its out_dir; it is read without running what a pickle may hold.

    A model that was compiled has ``_orig_mod.`` before its names: with it or without, the weights are the same.

    Args:
        path: the file, or the folder that holds a ``ckpt.pt``.

    Raises:
        CourseError: where it cannot be read, carries code, or holds another model than it says.
    """
    path = user_path(path)
    path = path / "ckpt.pt" if path.is_dir() else path
    found = read_torch_file(path, "a ckpt.pt of nanoGPT's train.py")
    if not (isinstance(found, dict) and all(isinstance(found.get(part), dict) for part in ("model", "model_args"))):
        raise _other(path, "it is no dict with model and model_args")
    weights = {str(name).removeprefix(COMPILED): tensor for name, tensor in found["model"].items()}
    if not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise _other(path, "not everything in its model is a tensor")
    weights = {name: tensor for name, tensor in weights.items() if not re.search(MASK, name)}
    for name, tensor in weights.items():  # before any is converted, which for some would take all memory there is
        if problem := _problem(tensor):
            raise _other(path, f"{name[:80]} {problem}")
    weights = {name: tensor.float() for name, tensor in weights.items()}
    model = _built(path, weights, found["model_args"])
    step, best = found.get("iter_num", 0), found.get("best_val_loss")
    if isinstance(best, Tensor) and best.numel() == 1:
        best = best.item()
    return NanoGPT(
        model.eval(), step if isinstance(step, int) and step >= 0 else 0,
        float(best) if isinstance(best, int | float) and abs(best) < 1e9 else None,  # 1e9: none was measured yet
        found["config"] if isinstance(found.get("config"), dict) else {},
    )  # fmt: skip


def _problem(tensor: Tensor) -> str | None:
    """What makes a tensor none of numbers that lie one beside another in the file; None where nothing does."""
    if tensor.layout != torch.strided or tensor.is_nested:
        kind = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        return f"should be a dense tensor; it is {kind}"
    if tensor.dtype not in FLOATS:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATS)
        return f"should have numbers of the kinds {allowed}; it has {str(tensor.dtype).removeprefix('torch.')}"
    if tensor.device.type != "cpu":
        return f"should come with its numbers; it is on the device {tensor.device.type}, and has none"
    if tensor.ndim == 0:
        return "should be a vector or a matrix; it is a single number"
    held = tensor.untyped_storage().nbytes() // tensor.element_size()
    if held < tensor.numel():
        return f"should hold {tensor.numel():,} numbers by its shape {tuple(tensor.shape)}; the file has {held:,}"
    return None


def _built(path: Path, weights: dict[str, Tensor], args: dict[str, Any]) -> GPT:
    """A model of the shape that ``args`` say, with ``weights``; CourseError where the two do not belong together."""
    try:
        shape = {name: args[name] for name in SHAPE}
        rows, width = weights["transformer.wte.weight"].shape
        places = weights["transformer.wpe.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise _other(path, f"{error} is missing or has another form") from error
    layers = {match[1] for name in weights if (match := re.match(r"transformer\.h\.(\d+)\.", name))}
    there = {"block_size": places, "vocab_size": rows, "n_layer": len(layers), "n_embd": width}
    for name, value in there.items():  # before a model is built: a wrong number could ask for all memory there is
        if shape[name] != value:
            raise _other(path, f"its model_args say {name} {shape[name]!r}, and its weights {value}")
    head = weights.setdefault("lm_head.weight", weights["transformer.wte.weight"])
    config = GPTConfig(
        **shape, bias=bool(args.get("bias", True)), dropout=args.get("dropout", 0.0),
        tie_weights=torch.equal(head, weights["transformer.wte.weight"]),
    )  # fmt: skip
    model: Any = build_blank_model(config)
    try:
        model.load_state_dict({_ours(name): tensor for name, tensor in weights.items()})
    except RuntimeError as error:
        raise _other(path, " ".join(str(error).split())[:300]) from error
    return model


def _ours(name: str) -> str:
    """The name that `GPT` has for one of nanoGPT's weights; a name that it does not know stays."""
    part, _, kind = name.rpartition(".")
    if match := re.fullmatch(r"transformer\.h\.(\d+)\.(.+)", part):
        return f"blocks.{match[1]}.{IN_A_BLOCK.get(match[2], match[2])}.{kind}"
    return f"{NAMES.get(part, part)}.{kind}"


def is_padded(rows: int, vocab_size: int) -> bool:
    """Whether ``rows`` are those of a vocabulary of that size; GPT-2's may have some more that stand for no token."""
    padded = [-(-vocab_size // multiple) * multiple for multiple in PADDED_TO] if vocab_size == GPT2_VOCABULARY else []
    return rows in (vocab_size, *padded)


def without_padding(model: GPT, vocab_size: int) -> GPT:
    """``model`` with the first ``vocab_size`` rows of its vocabulary, where the few above them only pad GPT-2's.

    They stand for no token. Without them no such token can be drawn, and their little share of probability goes to the
    others.

    Raises:
        CourseError: where the two sizes differ by more than padding.
    """
    rows = model.config.vocab_size
    if rows == vocab_size:
        return model
    if not is_padded(rows, vocab_size):
        raise CourseError(
            f"The model has a vocabulary of {rows}, its tokenizer one of {vocab_size}. They do not belong together: "
            "give the tokenizer, or the text, that the model was trained with."
        )
    smaller: Any = build_blank_model(model.config.replace(vocab_size=vocab_size))
    tables = ("token_embedding.weight", "head.weight")
    smaller.load_state_dict({n: t[:vocab_size] if n in tables else t for n, t in model.state_dict().items()})
    return smaller.train(model.training)


def _other(path: Path, why: str) -> CourseError:
    return CourseError(f"{quoted(path)} should be a ckpt.pt of nanoGPT's train.py; {why}.")
