"""GPT-2's settings as transformers writes them, and the course's: which are the same model, and which have no match."""

from pathlib import Path
from typing import Any

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.paths import quoted

ARCHITECTURE = "GPT2LMHeadModel"
GPT2_VOCABULARY = 50257
END_OF_TEXT = 50256
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
"""transformers' names, of which the first are GPT-2's, and the course's."""
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
ONLY = {
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
"""Settings of which the course's GPT has one value only. It is transformers' default as well."""
SIZES = {"block_size": "n_positions", "vocab_size": "vocab_size", "n_layer": "n_layer", "n_head": "n_head"}
SIZES |= {"n_embd": "n_embd"}
GPT2_FORM = {"position": "learned", "norm": "layernorm", "qk_norm": False}
"""What a GPT must be to be one of GPT-2's form, whatever its sizes."""


def course_config(path: Path, found: dict[str, Any], dropout: float | None = None) -> GPTConfig:
    """What a ``config.json`` of transformers describes.

    Raises:
        CourseError: for another architecture, a setting that is missing, or one that a `GPT` cannot have.
    """
    kind = found.get("model_type")
    if kind != "gpt2":
        raise CourseError(
            f"{quoted(path)} should describe a GPT-2 (model_type 'gpt2'); its model_type is {kind!r}. The course reads "
            "no other architecture of transformers."
        )
    for name, only in ONLY.items():
        if found.get(name, only) != only:
            raise CourseError(
                f"{quoted(path)}: {name} is {found[name]!r}, and the course's GPT has {only!r} there: its logits would "
                "be others. Use transformers for this model."
            )
    if missing := [hf_name for hf_name in SIZES.values() if hf_name not in found]:
        raise CourseError(f"{quoted(path)} lacks {', '.join(missing)}. Fetch the folder anew.")
    activation = found.get("activation_function", "gelu_new")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise CourseError(
            f"{quoted(path)}: activation_function is {activation!r}; the course's GPT has {', '.join(ACTIVATIONS)}. "
            "Use transformers for this model."
        )
    if dropout is None:
        dropout = _one_dropout(path, found)
    tied = found.get("tie_word_embeddings", True)
    try:
        config = GPTConfig.from_dict(
            {name: found[hf_name] for name, hf_name in SIZES.items()}
            | {"dropout": dropout, "bias": True, "mlp": ACTIVATIONS[activation], "tie_weights": tied}
        )
    except CourseError as error:
        raise CourseError(f"{quoted(path)}: {error}") from error
    if found.get("n_inner") not in (None, 4 * config.n_embd):
        raise CourseError(
            f"{quoted(path)}: n_inner is {found['n_inner']!r}; the course's MLP is four times as wide as the model, "
            f"{4 * config.n_embd}. Use transformers for this model."
        )
    return config


def _one_dropout(path: Path, found: dict[str, Any]) -> Any:
    shares = {name: found.get(name, 0.1) for name in DROPOUTS}
    if len(set(map(repr, shares.values()))) > 1:
        said = ", ".join(f"{name} {share}" for name, share in shares.items())
        raise CourseError(
            f"{quoted(path)} has {said}; the course's GPT has one dropout for all. Choose it: dropout=0.1, say."
        )
    return shares["resid_pdrop"]


def hf_problems(config: GPTConfig) -> list[str]:
    """What of a GPT is not as GPT-2 has it; an empty list where transformers can compute it."""
    others = [f"{name} {getattr(config, name)}" for name, old in GPT2_FORM.items() if getattr(config, name) != old]
    others += ["embeddings of n-grams"] if config.ngrams else []
    return others if config.mlp in ACTIVATIONS.values() else [*others, f"mlp {config.mlp}"]


def hf_config(config: GPTConfig) -> dict[str, Any]:
    """The ``config.json`` of transformers for the same model.

    Raises:
        CourseError: for a model that is not of GPT-2's form, which no class of transformers computes.
    """
    activations = {own: hf_name for hf_name, own in reversed(ACTIVATIONS.items())}  # of two names the first
    if modern := hf_problems(config):
        raise CourseError(
            f"transformers has no class for this model: its GPT-2 has learned positions, LayerNorm and GELU, and this "
            f"one has {', '.join(modern)}. What works instead: course export RUN --to cpp (a program without Python), "
            "--to pth (a state_dict), or its safetensors with course_lib itself."
        )
    is_gpt2s = config.vocab_size == GPT2_VOCABULARY
    end = dict.fromkeys(("bos_token_id", "eos_token_id"), END_OF_TEXT if is_gpt2s else None)
    return (
        {"architectures": [ARCHITECTURE], "model_type": "gpt2", "dtype": "float32", "torch_dtype": "float32"}
        | {hf_name: getattr(config, name) for name, hf_name in SIZES.items()}
        | {"n_inner": None, "activation_function": activations[config.mlp]}
        | dict.fromkeys(DROPOUTS, config.dropout)
        | ONLY
        | end
        | {"tie_word_embeddings": config.tie_weights, "use_cache": True}
    )
