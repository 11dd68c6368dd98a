"""What a lab has to know of a text: its tokens, what no reader of it can beat, and the words for it."""

from collections.abc import Callable, Mapping
from typing import Any

from course_lib.data import prepared_for
from course_lib.data.datasets import find_corpus
from course_lib.lab.controls import Controls
from course_lib.lab.fitting import need_text
from course_lib.lab.forecast import Forecaster
from course_lib.lab.readout import in_a_terminal, readout
from course_lib.lab.run import command_for
from course_lib.lab.session import Session
from course_lib.lab.view import TEXT, Look
from course_lib.recipes import Recipe


class OfText:
    """The part of `Lab` that is about texts. A lab that trains on something else has another one of each of these."""

    _start: Recipe
    _forecaster: Forecaster
    _last_number: int
    is_live: bool
    describe: Callable[[Recipe], str]
    _moved: Callable[[str, float], None]
    _lines_of: dict[int, dict[str, float]]

    _look: Look = TEXT

    def _read(self) -> dict[str, int]:
        """Read the data; returns how many tokens each split has."""
        data = self._start.data
        prepared = prepared_for(data)
        counts: dict[str, int] = prepared.manifest["counts"]
        need_text(self._start, counts)
        self._lines_of = {}
        self._corpus, self._vocab_size = find_corpus(data.dataset), prepared.tokenizer.vocab_size
        self._is_by_letters = prepared.tokenizer.kind in ("char", "byte")  # what is known of a text is known by letter
        return counts

    def _new_controls(self, longest: int) -> Controls:
        return Controls(self._start, self.describe, largest={"block_size": longest}, moved=self._moved)

    def _session(self, recipe: Recipe, watch: Callable[[], None], *about: Any) -> Session:
        return Session(recipe, self._corpus, watch, self._last_number, *about)

    def _readout(self, recipe: Recipe, lines: Mapping[str, float] | None) -> str:
        return readout(recipe, self._vocab_size, self._forecaster, in_a_terminal(command_for(recipe)), lines)

    def _lines(self, recipe: Recipe) -> dict[str, float]:
        """Losses that no reader of so many tokens can beat, where the text's own grammar tells them."""
        if self._corpus.lines is None or not self._is_by_letters:
            return {}
        block_size = recipe.all_settings()["block_size"]
        if block_size not in self._lines_of:
            known = self._corpus.lines(recipe.model(self._vocab_size).block_size)
            self._lines_of[block_size] = {_explained(label): value for label, value in known.items()}
        return self._lines_of[block_size]


RATE = "entropy rate"


def _explained(label: str) -> str:
    """A label, with what the entropy rate is: a line below the floor looks like a floor under the floor.

    In brackets, which a narrow chart leaves out.
    """
    return label.replace(RATE, f"{RATE} (the floor of a reader of everything)", 1) if label.startswith(RATE) else label
