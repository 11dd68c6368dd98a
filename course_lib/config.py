"""Settings: frozen dataclasses that check themselves when they are made.

Every setting has one name and one meaning, whether it stands in a recipe (TOML), in a run's
``config.json`` or on the command line. The text under a field is its help text. Nothing here knows
torch.
"""

import dataclasses
import difflib
import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from course_lib.errors import CourseError


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """A half sentence that names the known word nearest to ``name``, or lists what there is."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known are " + ", ".join(sorted(known)) + "."


def _is_of_type(value: object, kind: object) -> bool:
    """Whether ``value`` fits the annotation ``kind`` (plain types, Literal, and unions with None)."""
    if kind is None or kind is type(None):
        return value is None
    if choices := get_args(kind):
        if all(isinstance(choice, str) for choice in choices):
            return value in choices
        return any(_is_of_type(value, choice) for choice in choices)
    if kind is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and abs(value) <= sys.float_info.max  # neither NaN nor a whole number beyond all floats
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)  # type: ignore[arg-type]


def _describe(kind: object) -> str:
    if choices := get_args(kind):
        return " or ".join(repr(c) if isinstance(c, str) else _describe(c) for c in choices)
    return {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}.get(
        kind, "nothing (None)"
    )


@dataclass(frozen=True)
class Config:
    """What all groups of settings share: type checks, and dict, JSON and TOML in and out."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not _is_of_type(value, field.type):
                raise CourseError(f"{field.name} should be {_describe(field.type)}; it is {value!r}.")
            if field.type is float and not isinstance(value, float):
                object.__setattr__(self, field.name, float(value))
        self._check()

    def _check(self) -> None:
        """Further rules of one group; raises CourseError."""

    def _need(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise CourseError(f"{name} should be {expected}; it is {getattr(self, name)!r}.")

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked again."""
        return type(self).from_dict(self.to_dict() | changes)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """From plain settings; an unknown or a missing one raises CourseError."""
        if not isinstance(settings, dict):
            raise CourseError(f"{cls.__name__} should come as names and values; this is {settings!r}.")
        for name in settings:
            if name not in cls.names():
                raise CourseError(f"{cls.__name__} has no setting {name!r}: {nearest(name, cls.names())}")
        required = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
        if missing := [name for name in required if name not in settings]:
            raise CourseError(f"{cls.__name__} also needs {', '.join(missing)}.")
        return cls(**settings)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of `to_json`; raises CourseError where the text is not JSON or a setting is wrong."""
        try:
            settings = json.loads(text)
        except ValueError as error:
            raise CourseError(f"These settings are not valid JSON: {error}.") from error
        return cls.from_dict(settings)

    def to_toml(self) -> str:
        """Lines of ``name = value``; a setting that is None is left out, as TOML has no null."""
        settings = ((name, value) for name, value in self.to_dict().items() if value is not None)
        # TOML takes characters as they are, where JSON writes some as two escapes; DEL alone has to be escaped.
        lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings)
        return "".join(lines).replace("\x7f", "\\u007f")

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """The reverse of `to_toml`; raises CourseError where the text is not TOML or a setting is wrong."""
        try:
            settings = tomllib.loads(text)
        except ValueError as error:
            raise CourseError(f"These settings are not valid TOML: {error}.") from error
        return cls.from_dict(settings)


@dataclass(frozen=True)
class DataConfig(Config):
    """Which text, and how it becomes numbers."""

    dataset: str = "tinytales"
    """What to train on: a corpus by name, text:PATH or bytes:PATH."""
    tokenizer: Literal["auto", "char", "byte"] = "auto"
    """How text becomes ids; auto takes what the corpus is meant for."""
    val_fraction: float = 0.1
    """The share of the text, at its end, that is kept for validation."""
    sha256: str | None = None
    """The sha256 of the text, as it was when the run began; None where it is not known yet."""

    def _check(self) -> None:
        self._need("val_fraction", 0 < self.val_fraction < 1, "between 0 and 1")


@dataclass(frozen=True)
class GPTConfig(Config):
    """The shape of a GPT. The defaults are GPT-2's form."""

    block_size: int
    """T: how many tokens the model sees at once."""
    vocab_size: int
    """V: how many different tokens there are."""
    n_layer: int
    """How many blocks stand one after another."""
    n_head: int
    """H: how many attention heads a block has."""
    n_embd: int
    """C: how many numbers represent one token inside the model."""
    dropout: float = 0.0
    """The share of activations set to zero while training."""
    bias: bool = False
    """Whether linear layers and LayerNorms have a bias."""
    position: Literal["learned", "rope"] = "learned"
    """How a token knows its place: a learned table, or rotary embedding (RoPE)."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    """Which normalization stands before attention, MLP and head."""
    qk_norm: bool = False
    """Whether queries and keys are RMS-normalized before they meet."""
    mlp: Literal["gelu", "relu2", "swiglu"] = "gelu"
    """The MLP's nonlinearity: GELU, squared ReLU or SwiGLU."""
    tie_weights: bool = True
    """Whether the output head shares the token embedding's weights."""
    zero_init: bool = False
    """Whether each block's output projections, and an untied head, start at zero."""

    def _check(self) -> None:
        for name in ("block_size", "vocab_size", "n_layer", "n_head", "n_embd"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        self._need("dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        if self.n_embd % self.n_head:
            raise CourseError(
                f"n_embd should be a multiple of n_head, so that each head gets its share; "
                f"{self.n_embd} is no multiple of {self.n_head}."
            )
        if self.position == "rope" and (self.n_embd // self.n_head) % 2:
            raise CourseError(f"RoPE turns pairs: n_embd / n_head should be even; it is {self.n_embd // self.n_head}.")


@dataclass(frozen=True)
class TrainConfig(Config):
    """How a model is trained."""

    max_steps: int = 1000
    """How many optimizer steps to take."""
    batch_size: int = 12
    """How many sequences a micro-batch holds."""
    grad_accum: int = 1
    """How many micro-batches one optimizer step adds up, over all processes."""
    max_lr: float = 1e-3
    """The highest learning rate; with Muon, that of the matrices."""
    min_lr: float = 0.0
    """Where the learning rate ends."""
    warmup_steps: int = 0
    """Steps in which the learning rate climbs to max_lr."""
    decay_steps: int | None = None
    """The step at which min_lr is reached; None means max_steps."""
    cooldown_steps: int | None = None
    """Trapezoid only: how many steps the fall takes; None means half of decay_steps."""
    schedule: Literal["constant", "cosine", "linear", "trapezoid"] = "cosine"
    """The learning rate's course after the warm-up."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW for all weights, or Muon for the hidden matrices and AdamW for the rest."""
    weight_decay: float = 0.1
    """AdamW's decoupled decay, on matrices only; with Muon, on its matrices."""
    beta1: float = 0.9
    """AdamW: how long the mean of gradients remembers."""
    beta2: float = 0.95
    """AdamW: how long the mean of squared gradients remembers."""
    momentum: float = 0.95
    """Muon: how long its momentum remembers."""
    embedding_lr_scale: float = 1.0
    """Muon: the embeddings' learning rate, as a multiple of max_lr."""
    head_lr_scale: float = 1.0
    """Muon: the untied head's learning rate, as a multiple of max_lr."""
    grad_clip: float = 1.0
    """The largest norm that a gradient may have; 0 turns clipping off."""
    eval_every: int = 250
    """Steps between two evaluations; 0 means only after the last step."""
    eval_batches: int | None = None
    """Batches per evaluation; None means the whole validation split."""
    save_every: int | None = None
    """Steps between two saves besides those at evaluations; None means at evaluations only."""
    log_every: int = 1
    """Steps between two readings of the loss; reading it makes a GPU wait."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """The arithmetic of the forward pass."""
    tf32: bool | None = None
    """Whether a card may multiply fp32 numbers as TF32, with 10 bits; None means yes, unless precision is fp32."""
    compile: bool = False
    """Whether torch.compile makes kernels for this model (pays on a GPU)."""
    seed: int = 1337
    """Where every random choice of the run starts."""
    tensorboard: bool = False
    """Whether the run also writes TensorBoard event files."""

    def _check(self) -> None:
        for name in ("max_steps", "batch_size", "grad_accum", "log_every"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_steps", "weight_decay", "grad_clip", "eval_every", "min_lr"):
            self._need(name, getattr(self, name) >= 0, "at least 0")
        self._need("seed", 0 <= self.seed < 2**63, "at least 0 and below 2**63")
        for name in ("decay_steps", "cooldown_steps", "eval_batches", "save_every"):
            self._need(name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or None")
        for name in ("beta1", "beta2", "momentum"):
            self._need(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        for name in ("max_lr", "embedding_lr_scale", "head_lr_scale"):
            self._need(name, getattr(self, name) > 0, "above 0")
        if self.min_lr > self.max_lr:
            raise CourseError(f"min_lr should not be above max_lr; {self.min_lr} is above {self.max_lr}.")


MODEL_CONFIGS: dict[str, type[Config]] = {"gpt": GPTConfig}
"""The settings class of each kind of model that a run directory may hold."""


@dataclass(frozen=True)
class RunConfig:
    """All settings of one run: what a run directory keeps as ``config.json``."""

    recipe: str
    data: DataConfig
    model: Config
    train: TrainConfig

    def to_json(self) -> str:
        kind = next(kind for kind, cls in MODEL_CONFIGS.items() if type(self.model) is cls)
        model = {"kind": kind} | self.model.to_dict()
        return json.dumps(dataclasses.asdict(self) | {"model": model}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises CourseError where the text is not JSON or not a run's settings."""
        try:
            parts = json.loads(text)
            model = dict(parts["model"])
            config_class = MODEL_CONFIGS[model.pop("kind")]
            if not isinstance(parts["recipe"], str):
                raise TypeError("recipe should be a text")
            return cls(
                recipe=parts["recipe"],
                data=DataConfig.from_dict(parts["data"]),
                model=config_class.from_dict(model),
                train=TrainConfig.from_dict(parts["train"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CourseError(f"This is not the configuration of a run: {error!r}.") from error


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict; CourseError names the file and the place of a mistake."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not UTF-8
        raise CourseError(f"{path} is not valid TOML: {error}.") from error
