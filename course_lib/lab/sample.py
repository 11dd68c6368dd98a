"""What the model writes while it learns: whole samples between two steps. How they look: `sample_view`."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from course_lib.corpora import Grade
from course_lib.data.prompt import encode_start
from course_lib.sampling import stream
from course_lib.tokenizers import Tokenizer

LENGTH = 240
"""Tokens in the sample that closes a run: a few sentences."""
SHORT_LENGTH = 120
"""Tokens in a sample that is written on the way."""
SHORTEST = 12
"""Fewer tokens are no sample: a moment that has no time for them is left out."""


@dataclass(frozen=True)
class Sample:
    """What the model wrote after ``step`` steps of training, and what a judge said of it, where there is one."""

    step: int
    text: str
    grade: Grade | None = None


class Writer(Protocol):
    """Lets a model make samples: texts, or what else it learns; see `SampleWriter`."""

    text: str

    def fits(self, seconds: float) -> bool: ...

    def write(
        self, step: int, length: int = LENGTH, seconds: float = math.inf, stopped: Callable[[], bool] = lambda: False
    ) -> Sample | None: ...


class SampleWriter:
    """Lets a model write a sample at once, in between two steps of its training.

    Every sample draws the same random numbers, from a generator of its own, so what differs is what was learned, and
    the training draws what it would have drawn anyway.

    Args:
        start: what the model is given to begin with.
        grade: judges a text.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        start: str = "\n",
        grade: Callable[[str], Grade] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model, self._tokenizer, self._grade = model, tokenizer, grade
        self._temperature, self._seed, self._clock = temperature, seed, clock
        self._prompt = torch.tensor([encode_start(tokenizer, start)], dtype=torch.long)  # (1, T)
        # A start of line breaks is only where a text begins; a start in words belongs to the text.
        self._shown_start = start if start.strip() else ""
        self.text = ""
        """The sample that is being written, or the last one."""
        self._per_token = 0.0

    def fits(self, seconds: float) -> bool:
        """Whether that is enough for a sample; before the first one, any time is.

        Where it is not, a token is believed to take half as long the next time it is asked: the model may have been
        slow because the machine was busy, or its first tokens because nothing was warm, and who never tries again
        never finds out.
        """
        does = seconds >= SHORTEST * self._per_token
        if not does:
            self._per_token /= 2
        return does

    def write(
        self,
        step: int,
        length: int = LENGTH,
        seconds: float = math.inf,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Sample | None:
        """What the model as it is now writes: ``length`` tokens, or fewer where ``seconds`` are over before.

        Args:
            step: after how many steps of training.
            stopped: asked after each token; where it says so, the sample is given up, and ``text`` is what there is.

        Returns:
            The sample; None where it was given up, also by a model so slow that ``seconds`` are not enough for one.
        """
        start, decoder, count = self._clock(), self._tokenizer.decoder(), 0
        self.text = self._shown_start
        with contextlib.closing(stream(self._model, self._prompt, length, self._temperature, seed=self._seed)) as ids:
            for count, token in enumerate(ids, 1):
                self.text += decoder.add([int(token[0, 0])])
                self._per_token = (self._clock() - start) / count
                if stopped() or (count == SHORTEST // 4 and seconds < SHORTEST * self._per_token):
                    return None
                if count >= SHORTEST and self._clock() - start >= seconds:
                    break
        self.text += decoder.finish()
        return Sample(step, self.text, self._grade(self.text) if self._grade is not None else None)
