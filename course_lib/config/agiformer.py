"""The settings of an AGIFORMER: a byte model that works on patches of bytes."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from course_lib.config.base import Config
from course_lib.errors import CourseError

BYTES = 256
ORIGINAL = {"position": "patch", "own_start": False, "init": "torch"}
"""Where the original (github.com/inkbytefo/agi-former, commit f82263e) is otherwise than the defaults."""


@dataclass(frozen=True)
class AGIFormerConfig(Config):
    """The shape of an AGIFORMER. The defaults are the original's sizes, with its mistakes put right."""

    block_size: int = 1024
    """T: how many bytes a training window has. The model itself sees without limit."""
    vocab_size: int = BYTES
    """V: 256, the bytes."""
    n_layer: int = 6
    """How many hybrid blocks stand one after another."""
    n_head: int = 8
    """H: how many heads each of a block's two attentions has."""
    n_embd: int = 512
    """C: how many numbers represent one patch inside the model."""
    dropout: float = 0.1
    """The share of activations set to zero while training."""
    patch_size: int = 4
    """P: how many bytes become one patch."""
    window_size: int = 128
    """W: how many patches window attention looks at, the patch itself among them."""
    n_hidden: int = 256
    """How wide the byte decoder is."""
    thinking: Literal["fixed", "adaptive"] = "fixed"
    """Whether every patch thinks thinking_steps times, or at most so often, as its own gate decides."""
    thinking_steps: int = 3
    """How often a patch's latent is refined before its bytes are written; 0 turns thinking off."""
    ponder_cost: float = 0.01
    """Adaptive thinking: what a step adds to the training loss, in nats."""
    position: Literal["rope", "patch"] = "rope"
    """How a patch knows its place: rotary queries and keys in the window, or the original's rotated patch vectors."""
    own_start: bool = True
    """Whether a patch begins with a symbol of its own, and the text with a learned latent; else byte 0 and zeros."""
    init: Literal["scaled", "torch"] = "scaled"
    """First weights: a quieter residual stream and a louder byte decoder; or torch's defaults, as the original has."""
    recompute: bool = False
    """Whether the backward pass computes each part again: less memory for more time."""

    def _check(self) -> None:
        for name in ("block_size", "n_layer", "n_head", "n_embd", "patch_size", "window_size", "n_hidden"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("thinking_steps", "ponder_cost"):
            self._need(name, getattr(self, name) >= 0, "at least 0")
        self._need("dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        if self.vocab_size != BYTES:
            raise CourseError(
                f"An AGIFORMER reads bytes, so vocab_size should be {BYTES}; it is {self.vocab_size}. Set tokenizer to "
                "byte."
            )
        if self.n_embd % self.n_head:
            raise CourseError(
                f"n_embd should be a multiple of n_head, so that each head gets its share; "
                f"{self.n_embd} is no multiple of {self.n_head}."
            )
        turned = self.n_embd // self.n_head if self.position == "rope" else self.n_embd
        if turned % 2:
            what = "n_embd / n_head" if self.position == "rope" else "n_embd"
            raise CourseError(f"Rotary positions turn pairs: {what} should be even; it is {turned}.")

    @classmethod
    def small(cls, **settings: Any) -> Self:
        """4 layers x 256: 6.2 million weights."""
        return cls(**{"n_layer": 4, "n_embd": 256} | settings)

    @classmethod
    def medium(cls, **settings: Any) -> Self:
        """6 layers x 512: 31.2 million weights."""
        return cls(**settings)

    @classmethod
    def large(cls, **settings: Any) -> Self:
        """8 layers x 768: 89.1 million weights."""
        return cls(**{"n_layer": 8, "n_embd": 768} | settings)

    @classmethod
    def faithful(cls, **settings: Any) -> Self:
        """What the original computes, and the names of its weights; ``settings`` choose the size.

        The original has nothing that predicts the first patch. Here a latent of zeros stands for the patch before it.
        """
        return cls(**ORIGINAL | settings)
