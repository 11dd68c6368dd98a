"""`MicroGPT`: training, one document at a time, and writing new ones."""

import math
import random
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

from course_lib.errors import CourseError, need_whole
from course_lib.models.micro import scalar, vector
from course_lib.models.micro.adam import Adam, cosine
from course_lib.models.micro.gpt import Cache, MicroConfig, document_loss, draw_weights, forward, rows_of
from course_lib.models.micro.value import Value

ENGINES = {"scalar": scalar, "vector": vector}


def clean_documents(docs: Iterable[str]) -> list[str]:
    """The documents without white space around them, and without empty ones.

    Raises:
        CourseError: if none is left, if ``docs`` is one text, or if a document is no text.
    """
    if isinstance(docs, str):
        raise CourseError("docs should be a list of documents; it is one text. Take docs.splitlines().")
    docs = list(docs)
    strangers = [doc for doc in docs if not isinstance(doc, str)]
    if strangers:
        raise CourseError(f"Each document should be a text, such as 'anna'; one is {strangers[0]!r}.")
    kept = [doc.strip() for doc in docs if doc.strip()]
    if not kept:
        raise CourseError("docs should hold at least one document with a letter; it holds none.")
    return kept


class MicroGPT:
    """A GPT of 4,064 numbers that learns to write documents such as names, in plain Python.

    >>> model = MicroGPT(["anna", "nana", "hanna"], engine="vector")
    >>> losses = model.train(num_steps=50)
    >>> losses[-1] < losses[0]
    True

    Args:
        docs: the documents, in any order; white space around them is taken off, empty ones are left out.
        seed: of the one generator that shuffles the documents, draws the weights, and samples.
        engine: "scalar", one `Value` for each number, as in the original program and with its losses to
            the last bit; or "vector", one node for each vector, several times as fast.
        n_layer, n_head, n_embd, block_size: the sizes; see `MicroConfig`.

    Raises:
        CourseError: if no document has a letter, for an unknown engine, or sizes that do not fit.
    """

    def __init__(
        self,
        docs: Iterable[str],
        seed: int = 42,
        engine: str = "scalar",
        *,
        n_layer: int = 1,
        n_head: int = 4,
        n_embd: int = 16,
        block_size: int = 8,
    ) -> None:
        if engine not in list(ENGINES):  # a list, so that what cannot be hashed is refused in words too
            raise CourseError(f"engine should be 'scalar' or 'vector'; it is {engine!r}.")
        self.parts = ENGINES[engine]
        self.docs = clean_documents(docs)
        self.letters = sorted(set("".join(self.docs)))
        self.boundary = len(self.letters)  # the token before and after each document
        self.config = MicroConfig(len(self.letters) + 1, block_size, n_layer, n_head, n_embd)
        # The order of the draws is the original's: documents, weights, and later the samples.
        self.generator = random.Random(seed)
        self.generator.shuffle(self.docs)
        drawn = draw_weights(self.config, self.generator)
        self.weights = {name: self.parts.matrix(rows) for name, rows in drawn.items()}
        self.num_params = sum(len(row) for rows in drawn.values() for row in rows)
        self.adam = Adam(self.num_params)

    def encode(self, doc: str) -> list[int]:
        """The letters' ids, without the boundary token.

        Raises:
            CourseError: for a letter that is in none of the documents.
        """
        unknown = sorted(set(doc) - set(self.letters))
        if unknown:
            known = "".join(self.letters)
            raise CourseError(f"The model knows the letters {known!r} only; {doc!r} has {unknown[0]!r}.")
        return [self.letters.index(letter) for letter in doc]

    def train_step(self, num_steps: int, max_lr: float = 1e-2) -> float:
        """One step of ``num_steps``: a document, its loss, the gradients, Adam. Returns the loss in nats.

        Raises:
            CourseError: if all of these steps were made before, or for a rate not above 0.
        """
        step = self.adam.steps
        self.need_steps_left(num_steps)
        if not 0 < max_lr < math.inf:
            raise CourseError(f"max_lr should be above 0, such as 0.01; it is {max_lr}.")
        doc = self.docs[step % len(self.docs)]
        tokens = [self.boundary, *self.encode(doc), self.boundary]
        loss = document_loss(self.parts, self.weights, self.config, tokens)
        loss.backward()
        self.update(cosine(step, num_steps, max_lr))
        return self.parts.number(loss)

    def update(self, lr: float) -> None:
        """Let Adam move every weight, and set the gradients back to 0."""
        rows = list(rows_of(self.weights))
        data = list(chain.from_iterable(map(self.parts.numbers, rows)))
        gradients = list(chain.from_iterable(map(self.parts.gradients, rows)))
        moved = iter(self.adam.step(data, gradients, lr))
        for row in rows:
            size = len(self.parts.numbers(row))
            self.parts.assign(row, list(islice(moved, size)))

    def train(self, num_steps: int = 500, stop_after: int | None = None, max_lr: float = 1e-2) -> list[float]:
        """Train, and return the loss of each step, in nats per token.

        Args:
            num_steps: the steps over which the learning rate falls to 0.
            stop_after: stop after so many of them in all; a later call goes on from there.
            max_lr: the learning rate of the first step.

        Raises:
            CourseError: for numbers below 1, a rate not above 0, or if all of these steps were made before.
        """
        need_whole("num_steps", num_steps, low=1)
        last = num_steps
        if stop_after is not None:
            last = min(num_steps, need_whole("stop_after", stop_after, low=1, otherwise=", or None for all steps"))
        self.need_steps_left(last)
        return [self.train_step(num_steps, max_lr) for _ in range(self.adam.steps, last)]

    def need_steps_left(self, last: int) -> None:
        """Refuse to go on where the learning rate has come to its end."""
        if self.adam.steps >= last:
            asked = f"This model has made {self.adam.steps} steps, and was asked for {last} in all."
            raise CourseError(f"{asked} Ask for more, or make a new one.")

    def probabilities(self, start: str = "", temperature: float = 1.0) -> dict[str, float]:
        """What may follow ``start`` at the beginning of a document: each letter's probability; "" is the end.

        Raises:
            CourseError: for an unknown letter, a start that fills the block, or a temperature not above 0.
        """
        longest = self.config.block_size - 1
        if len(start) > longest:
            raise CourseError(f"The model sees {longest} letters at most; {start!r} has {len(start)}.")
        cache = Cache(self.config.n_layer)
        for token in [self.boundary, *self.encode(start)]:
            logits = forward(self.parts, self.weights, self.config, token, cache)
        return dict(zip([*self.letters, ""], self.guess(logits, temperature)))

    def score(self, docs: Iterable[str]) -> float:
        """The mean loss in nats per prediction over ``docs``; nothing is learned from them.

        Of each document the first ``block_size`` predictions count, as in training.

        Raises:
            CourseError: for no document, or a letter that the model does not know.
        """
        total = 0.0
        count = 0
        for doc in clean_documents(docs):
            tokens = [self.boundary, *self.encode(doc), self.boundary]
            predictions = min(len(tokens) - 1, self.config.block_size)
            total += predictions * self.parts.number(document_loss(self.parts, self.weights, self.config, tokens))
            count += predictions
        return total / count

    def guess(self, logits: Any, temperature: float) -> list[float]:
        """(V,) logits -> (V,) probabilities. Below a temperature of 1 the likely becomes likelier still."""
        if not temperature > 0:
            raise CourseError(f"temperature should be above 0; it is {temperature}.")
        # Through Values for both engines: plain numbers would need a second softmax.
        scaled = [Value(number) / temperature for number in self.parts.numbers(logits)]
        return scalar.numbers(scalar.softmax(scaled))

    def generate(self, count: int = 20, temperature: float = 0.5) -> list[str]:
        """New documents of up to ``block_size`` letters each.

        Each call goes on with the model's generator, so a second one writes others.

        Raises:
            CourseError: for a count below 1, or a temperature not above 0.
        """
        need_whole("count", count, low=1)
        return [self.write_one(temperature) for _ in range(count)]

    def write_one(self, temperature: float) -> str:
        """One new document: draw a letter, look at it, draw the next, until the boundary is drawn."""
        cache = Cache(self.config.n_layer)
        token = self.boundary
        written = ""
        for _ in range(self.config.block_size):
            logits = forward(self.parts, self.weights, self.config, token, cache)
            chances = self.guess(logits, temperature)
            token = self.generator.choices(range(self.config.vocab_size), weights=chances)[0]
            if token == self.boundary:
                break
            written += self.letters[token]
        return written
