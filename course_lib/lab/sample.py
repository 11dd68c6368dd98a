"""What the model writes while it learns, written in small pieces. How it looks: `course_lib.lab.sample_view`."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.corpora import Grade
from course_lib.data.prompt import encode_start
from course_lib.sampling import stream
from course_lib.tokenizers import Tokenizer

LENGTH = 240
"""Tokens in one sample: a few sentences."""
REST_SECONDS = 3.0
"""How long a finished sample stays before the next one begins: time to read its end."""


@dataclass(frozen=True)
class Sample:
    """What the model wrote after ``step`` steps of training, and what a judge said of it, where there is one."""

    step: int
    text: str
    grade: Grade | None = None


class SampleWriter:
    """Lets a model write token by token, one sample after another, in between other work.

    A sample is written by a copy of the model as it was when the sample began: a mixture of many states
    would be the text of no model at all. Every sample draws the same random numbers, from a generator of
    its own, so what differs is what was learned, and the training draws what it would have drawn anyway.

    Args:
        start: what the model is given to begin with.
        oldest: after so many steps of training a sample is given up for a new one, even where it is not whole;
            or after as many as the model had behind it, where that is more: at first it learns the fastest.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        start: str = "\n",
        length: int = LENGTH,
        temperature: float = 1.0,
        seed: int = 0,
        oldest: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._tokenizer, self._length = model, tokenizer, length
        self._temperature, self._seed, self._oldest, self._clock = temperature, seed, oldest, clock
        self._prompt = torch.tensor([encode_start(tokenizer, start)], dtype=torch.long)  # (1, T)
        # A start of line breaks is only where a text begins; a start in words belongs to the text.
        self._shown_start = start if start.strip() else ""
        self.step: int | None = None
        """After how many steps of training the model was what it was when this sample began."""
        self._decoder, self._text, self._count = tokenizer.decoder(), "", 0
        self._tokens: Iterator[Tensor] = iter(())
        self._ended: float | None = None

    @property
    def text(self) -> str:
        """The sample so far."""
        return self._shown_start + self._text

    @property
    def is_whole(self) -> bool:
        return self._count >= self._length

    def begin(self, step: int) -> None:
        """Start a new sample by the model as it is now, after ``step`` steps."""
        frozen = copy.deepcopy(self._model).eval()
        self.step, self._ended = step, None
        self._decoder, self._text, self._count = self._tokenizer.decoder(), "", 0
        self._tokens = stream(frozen, self._prompt, self._length, self._temperature, seed=self._seed)

    def write(self, step: int) -> bool:
        """Write one more token, or begin the next sample; False where neither is due.

        Args:
            step: how many steps the training has taken by now.
        """
        if self.step is None or step - self.step >= max(self._oldest, self.step):
            self.begin(step)
            return True
        token = next(self._tokens, None)
        if token is not None:
            self._add(token)
            return True
        if self._ended is None:
            self._ended = self._clock()
        if step == self.step or self._clock() - self._ended < REST_SECONDS:
            return False
        self.begin(step)
        return True

    def _add(self, token: Tensor) -> None:
        self._text += self._decoder.add([int(token[0, 0])])
        self._count += 1
        if self.is_whole:
            self._text += self._decoder.finish()

    def finish(self, step: int, stopped: Callable[[], bool] = lambda: False) -> None:
        """Write a whole sample by the model as it is now, token after token until ``stopped`` says so."""
        if self.step != step:
            self.begin(step)
        for token in self._tokens:
            self._add(token)
            if stopped():
                return
