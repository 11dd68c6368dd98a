"""GPT-2 folders, as Hugging Face's transformers writes and reads them: to a GPT of the course, and back."""

import contextlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.interop.hf_config import course_config, hf_config
from course_lib.interop.hf_files import CONFIG, INDEX, WEIGHTS, HFTensors, read_json, some
from course_lib.models import GPT
from course_lib.paths import quoted, replace_file, sync, user_path
from course_lib.tokenizers import Tokenizer

HEAD = "lm_head.weight"
PREFIX = "transformer."
"""What GPT2LMHeadModel's names begin with; the folder of GPT-2 on the Hub is of a GPT2Model, which has none."""
REMEDY = f" Fetch the folder anew, or correct {CONFIG}."
BUFFERS = (".attn.bias", ".attn.masked_bias")
"""The causal mask, which older folders keep beside the weights."""
LAYERS = {
    "norm1": "ln_1", "attn.qkv": "attn.c_attn", "attn.proj": "attn.c_proj",
    "norm2": "ln_2", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj",
}  # fmt: skip
"""The parts of a block: the course's names, and OpenAI's, which transformers has kept."""


def load_hf_gpt2(folder: str | Path, dropout: float | None = None, tokenizer: Tokenizer | None = None) -> GPT:
    """The GPT-2 in a folder of transformers, in evaluation mode, in fp32: its logits are those of GPT2LMHeadModel.

    Args:
        folder: with ``config.json`` and ``model.safetensors``, or its shards and their index.
        dropout: for training on; None means as the folder says, whose three kinds of dropout must then be one.
        tokenizer: where it is given, its vocabulary must have the model's size.

    Raises:
        CourseError: where the folder cannot be read, holds another architecture, other settings than a `GPT` can have,
            other tensors than its settings ask for, or a vocabulary of another size than the tokenizer's.
    """
    folder = user_path(folder)
    config = course_config(folder / CONFIG, read_json(folder / CONFIG), dropout)
    if tokenizer is not None and tokenizer.vocab_size != config.vocab_size:
        raise CourseError(
            f"{quoted(folder)} has a vocabulary of {config.vocab_size} tokens, and the tokenizer ({tokenizer.kind}) "
            f"one of {tokenizer.vocab_size}. Use the tokenizer that the model was trained with; GPT-2's own has 50257 "
            "tokens."
        )
    tensors = HFTensors(folder)
    places = _checked_places(tensors, config)
    _check_head(tensors, config, places)
    _check_tables(tensors, config, places)
    with torch.device("meta"):  # sizes without memory: nothing is reserved before all shapes are right
        model = GPT(config)
    _check_shapes(tensors, model, places)
    model.to_empty(device="cpu")
    if config.tie_weights:  # the move has made two of one
        model.head.weight = model.token_embedding.weight
    for name, weight in model.named_parameters():
        hf_name, transposed = places[name]
        (weight.data.mT if transposed else weight.data).copy_(tensors.read(hf_name))
    return model.eval()


def hf_names(config: GPTConfig) -> dict[str, tuple[str, bool]]:
    """Each weight of a GPT with biases: OpenAI's name for it, and whether its matrix is kept the other way round.

    OpenAI's layers compute x W + b, nn.Linear x W^T + b.
    """
    names = {"token_embedding.weight": ("wte.weight", False), "position_embedding.weight": ("wpe.weight", False)}
    for layer in range(config.n_layer):
        for part, hf_part in LAYERS.items():
            here, there = f"blocks.{layer}.{part}.", f"h.{layer}.{hf_part}."
            names[here + "weight"] = (there + "weight", not part.startswith("norm"))
            names[here + "bias"] = (there + "bias", False)
    names |= {f"norm.{kind}": (f"ln_f.{kind}", False) for kind in ("weight", "bias")}
    names = {name: (PREFIX + there, turned) for name, (there, turned) in names.items()}
    return names if config.tie_weights else names | {"head.weight": (HEAD, False)}


def save_hf_gpt2(model: GPT, folder: str | Path) -> Path:
    """Write ``config.json`` and ``model.safetensors`` as transformers' GPT2LMHeadModel reads them; the folder.

    A model without biases gets biases of zero: GPT-2 has them always. A file that is there is replaced in one move.

    Raises:
        CourseError: for a model that GPT2LMHeadModel cannot compute (see `hf_config`), or a folder that cannot be
            written.
    """
    folder = user_path(folder)
    settings = hf_config(model.config)  # refuses what has no class there, before anything is written
    scratch = folder / f".{WEIGHTS}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_hf_tensors(model), scratch, metadata={"format": "pt"})  # transformers insists on that word
        scratch.chmod(0o644)  # safetensors lets the owner alone read
        sync(scratch)
        os.replace(scratch, folder / WEIGHTS)
        (folder / INDEX).unlink(missing_ok=True)  # of a model in shards that lay here
        replace_file(folder / CONFIG, json.dumps(settings, indent=2) + "\n")
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise CourseError(f"Cannot write {quoted(folder)}: {error}. Check its permissions and free space.") from error
    return folder


def _hf_tensors(model: GPT) -> dict[str, Tensor]:
    """The weights under OpenAI's names, fp32 on the CPU."""
    own = dict(model.named_parameters(remove_duplicate=False))
    tensors = {}
    for name, (hf_name, transposed) in hf_names(model.config).items():
        if name in own:
            tensor = own[name].detach().float().cpu()
        else:  # a bias that this model does without
            tensor = torch.zeros(own[name.removesuffix("bias") + "weight"].shape[0])
        tensors[hf_name] = (tensor.mT if transposed else tensor).contiguous()
    return tensors


def _checked_places(tensors: HFTensors, config: GPTConfig) -> dict[str, tuple[str, bool]]:
    """`hf_names`, as the folder spells them; CourseError where tensors are missing, or there are others."""
    found, folder = tensors.names, tensors.folder
    if config.n_layer > len(found):  # before so many names are made
        raise CourseError(
            f"{quoted(folder)} holds {len(found)} tensors, and {CONFIG} says n_layer {config.n_layer}.{REMEDY}"
        )
    has_prefix = any(name.startswith(PREFIX) for name in found)
    places = {
        name: (there if has_prefix else there.removeprefix(PREFIX), turned)
        for name, (there, turned) in hf_names(config).items()
    }
    wanted = {there for there, _ in places.values()}
    if missing := sorted(wanted - found):
        raise CourseError(
            f"{quoted(folder)} lacks {some(missing)}, which a GPT-2 of its {CONFIG} has.{REMEDY}"
        )
    extra = sorted(name for name in found - wanted if not name.endswith(BUFFERS) and name != HEAD)
    if extra:
        raise CourseError(
            f"{quoted(folder)} holds {some(extra)}, which a GPT-2 of its {CONFIG} does not have. It is a model of "
            f"another form or depth, or {CONFIG} belongs to another one."
        )
    return places


def _check_tables(tensors: HFTensors, config: GPTConfig, places: dict[str, tuple[str, bool]]) -> None:
    """Before a model is built: there are sizes for which torch cannot even describe one."""
    sizes = {"token_embedding.weight": config.vocab_size, "position_embedding.weight": config.block_size}
    for name, rows in sizes.items():
        _need_shape(tensors, places[name][0], (rows, config.n_embd))


def _check_shapes(tensors: HFTensors, model: GPT, places: dict[str, tuple[str, bool]]) -> None:
    for name, weight in model.named_parameters():
        hf_name, transposed = places[name]
        _need_shape(tensors, hf_name, tuple(weight.mT.shape if transposed else weight.shape))


def _need_shape(tensors: HFTensors, name: str, wanted: tuple[int, ...]) -> None:
    if (found := tensors.shape(name)) != wanted:
        raise CourseError(
            f"{quoted(tensors.file_of(name))}: {name} should have the shape {wanted} by {CONFIG}; it has {found}. The "
            "files are not of one model: fetch the folder anew."
        )


def _check_head(tensors: HFTensors, config: GPTConfig, places: dict[str, tuple[str, bool]]) -> None:
    """CourseError where the head is said to be the embedding, and is kept beside it with other numbers."""
    embedding = places["token_embedding.weight"][0]
    if not config.tie_weights or HEAD not in tensors.names:
        return
    if not torch.equal(tensors.read(HEAD), tensors.read(embedding)):
        raise CourseError(
            f"{quoted(tensors.folder)}: {HEAD} is not {embedding}, although {CONFIG} ties them. Write "
            f'"tie_word_embeddings": false in {quoted(tensors.folder / CONFIG)}, if the head is meant to be its own.'
        )
