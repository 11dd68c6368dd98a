"""The settings of each group: data, model, training. The text under a field is its help text."""

from dataclasses import dataclass
from typing import Literal

from course_lib.config.base import Config
from course_lib.errors import CourseError


@dataclass(frozen=True)
class DataConfig(Config):
    """Which text, and how it becomes numbers."""

    dataset: str = "tinytales"
    """What to train on: a corpus by name, text:PATH, bytes:PATH, or bins:PATH with nanoGPT's train.bin and val.bin."""
    tokenizer: Literal["auto", "char", "byte", "bpe", "gpt2"] = "auto"
    """How text becomes ids; auto takes what the corpus is meant for, bpe learns pairs from the training part."""
    bpe_vocab_size: int = 1024
    """V of a tokenizer that is learned by bpe: 256 bytes, and the rest merges."""
    val_fraction: float = 0.1
    """The share of the text that is kept for validation: at its end, or before the part for testing."""
    test_fraction: float = 0.0
    """The share at the text's very end that is kept for testing; 0 means that there is no such part."""
    sha256: str | None = None
    """The sha256 of the text, as it was when the run began; None where it is not known yet."""
    start: str = "\n"
    """What such a text begins with: a sample goes on from it where nothing else is asked for."""

    def _check(self) -> None:
        self._need("bpe_vocab_size", self.bpe_vocab_size >= 256, "at least 256, as there are so many bytes")
        self._need("val_fraction", 0 < self.val_fraction < 1, "above 0 and below 1")
        self._need("test_fraction", 0 <= self.test_fraction < 1, "at least 0 and below 1")
        if self.val_fraction + self.test_fraction >= 1:
            raise CourseError(
                f"val_fraction and test_fraction should leave a part of the text for training: together below 1; "
                f"{self.val_fraction:g} and {self.test_fraction:g} are not. Make one of them smaller."
            )


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
    mlp: Literal["gelu", "gelu_tanh", "relu2", "swiglu"] = "gelu"
    """The MLP's nonlinearity: GELU (gelu_tanh: as OpenAI's GPT-2 approximates it), squared ReLU or SwiGLU."""
    tie_weights: bool = True
    """Whether the output head shares the token embedding's weights."""
    zero_init: bool = False
    """Whether each block's output projections, and an untied head, start at zero."""
    ngrams: tuple[int, ...] = ()
    """Of how many last tokens together there are embeddings too, a table for each number: 2 3 4, say; none without."""
    ngram_rows: int = 32_768
    """The most rows that such a table has; n-grams of which there are more share rows, by a hash."""

    def _check(self) -> None:
        for name in ("block_size", "vocab_size", "n_layer", "n_head", "n_embd"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        self._need("dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        if self.n_embd % self.n_head:
            raise CourseError(
                f"n_embd should be a multiple of n_head, so that each head gets its share; "
                f"{self.n_embd} is no multiple of {self.n_head}."
            )
        self._need("ngrams", all(2 <= n <= 32 for n in self.ngrams), "numbers from 2 to 32")
        self._need("ngrams", list(self.ngrams) == sorted({*self.ngrams}), "in rising order, each of them once")
        self._need("ngram_rows", self.ngram_rows >= 1, "at least 1")
        if self.position == "rope" and (self.n_embd // self.n_head) % 2:
            raise CourseError(f"RoPE turns pairs: n_embd / n_head should be even; it is {self.n_embd // self.n_head}.")


@dataclass(frozen=True)
class TrainConfig(Config):
    """How a model is trained."""

    max_steps: int = 1000
    """How many optimizer steps to take (nanoGPT: max_iters)."""
    batch_size: int = 12
    """How many sequences a micro-batch holds."""
    grad_accum: int = 1
    """Micro-batches that one step adds up, over all processes (nanoGPT: gradient_accumulation_steps)."""
    max_lr: float = 1e-3
    """The highest learning rate; with Muon, that of the matrices (nanoGPT: learning_rate)."""
    min_lr: float = 0.0
    """Where the learning rate ends."""
    warmup_steps: int = 0
    """Steps in which the learning rate climbs to max_lr (nanoGPT: warmup_iters)."""
    decay_steps: int | None = None
    """The step at which min_lr is reached; None means max_steps (nanoGPT: lr_decay_iters)."""
    cooldown_steps: int | None = None
    """Trapezoid only: how many steps the fall takes; None means half of decay_steps."""
    schedule: Literal["constant", "cosine", "linear", "trapezoid"] = "cosine"
    """The learning rate's course after the warm-up (nanoGPT: decay_lr=True is cosine; False constant, no warm-up)."""
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
    ngram_lr_scale: float = 1.0
    """The learning rate of n-gram tables, as a multiple of max_lr."""
    grad_clip: float = 1.0
    """The largest norm that a gradient may have; 0 turns clipping off."""
    eval_every: int = 250
    """Steps between two evaluations; 0 means only after the last step (nanoGPT: eval_interval)."""
    eval_batches: int | None = None
    """Batches per evaluation; None means the whole validation split (nanoGPT: eval_iters)."""
    always_save: bool = True
    """Whether each evaluation is followed by a save, or only one of a new best (nanoGPT: always_save_checkpoint)."""
    save_every: int | None = None
    """Steps between two saves besides those at evaluations; None means at evaluations only."""
    save_minutes: float | None = None
    """Minutes of training after which a save is due, whatever the step; None means by steps only."""
    keep: int = 1
    """How many of its newest saves a run keeps, besides the best one; older ones are removed."""
    log_every: int = 1
    """Steps between two readings of the loss; reading it makes a GPU wait (nanoGPT: log_interval)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """The arithmetic of the forward pass (nanoGPT: dtype=float32, bfloat16 or float16)."""
    tf32: bool | None = None
    """Whether a card may multiply fp32 numbers as TF32, with 10 bits; None means yes, unless precision is fp32."""
    compile: bool = False
    """Whether torch.compile makes kernels for this model (pays on a GPU)."""
    seed: int = 1337
    """Where every random choice of the run starts."""
    tensorboard: bool = False
    """Whether the run also writes TensorBoard event files."""
    wandb: bool = False
    """Whether the run is also logged with Weights & Biases (nanoGPT: wandb_log)."""
    wandb_project: str = "course"
    """Weights & Biases: the project."""
    wandb_run_name: str | None = None
    """Weights & Biases: what the run is called; None means as its folder."""
    init_from: str = "scratch"
    """What the weights were before: scratch, a run, a ckpt.pt, gpt2, gpt2-medium, gpt2-large, gpt2-xl or gpt2:PATH."""

    def _check(self) -> None:
        for name in ("max_steps", "batch_size", "grad_accum", "log_every", "keep"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_steps", "weight_decay", "grad_clip", "eval_every", "min_lr"):
            self._need(name, getattr(self, name) >= 0, "at least 0")
        self._need("seed", 0 <= self.seed < 2**63, "at least 0 and below 2**63")
        for name in ("decay_steps", "cooldown_steps", "eval_batches", "save_every"):
            self._need(name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or None")
        self._need("save_minutes", self.save_minutes is None or self.save_minutes > 0, "above 0, or None")
        for name in ("beta1", "beta2", "momentum"):
            self._need(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        for name in ("max_lr", "embedding_lr_scale", "head_lr_scale", "ngram_lr_scale"):
            self._need(name, getattr(self, name) > 0, "above 0")
        if self.min_lr > self.max_lr and self.schedule != "constant":  # which never comes to min_lr
            raise CourseError(f"min_lr should not be above max_lr; {self.min_lr} is above {self.max_lr}.")


@dataclass(frozen=True)
class RunningConfig(Config):
    """What a recipe may say besides what is trained, and how."""

    out_dir: str | None = None
    """The folder for the run; by default runs/NAME-DATE-TIME."""
    eval_only: bool = False
    """Whether the model is only evaluated: no step is taken, and no folder is made."""
    backend: Literal["auto", "nccl", "gloo"] = "auto"
    """How processes of torchrun speak to one another; auto takes nccl for CUDA cards and gloo for CPUs."""
