"""The best possible reader of a grammar: exactly what may come next, and how likely, after any text.

It keeps every way in which the text so far can have been written: a *state* is a place in a line and, for
each slot, the mask of values that still fit. Slots are bound lazily: while "B" may begin Ben or Bella, both
stay in one mask. So a handful of states stand for millions of stories, and the numbers are exact.
"""

import math
from collections.abc import Iterator

from course_lib.corpora.tinytales.grammar import Grammar, Item, Ref

State = tuple[int, int, int, int, tuple[int, ...]]
"""(line, item, characters of the item behind us, mask of a free slot's values, masks of the bound slots)."""
Beliefs = dict[State, float]
"""State to probability, together with the text so far."""


class Reader:
    """Follows texts of one grammar.

    Args:
        grammar: what wrote the texts.
    """

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.fresh = tuple(slot.everything for slot in grammar.bound)
        self.items: list[tuple[Item, ...]] = [(Grammar.END,)]
        """Every line's items; line 0 is the empty line between two stories."""
        self.scene_lines: list[range] = []
        for scene in grammar.scenes:
            self.scene_lines.append(range(len(self.items), len(self.items) + len(scene.lines)))
            self.items += [line.items for line in scene.lines]
        self.after: list[list[tuple[int, float]]] = [self._following(0)]
        """after[line]: what may come next, as (line, probability)."""
        for i, scene in enumerate(grammar.scenes):
            self.after += [self._following(i + 1)] * len(scene.lines)
        self._after_first: dict[str, Beliefs] = {}

    def _following(self, scene: int) -> list[tuple[int, float]]:
        rest, found = 1.0, []
        for i in range(scene, len(self.grammar.scenes)):
            p = self.grammar.scenes[i].probability
            found += [(line, rest * p / len(self.scene_lines[i])) for line in self.scene_lines[i]]
            rest *= 1 - p
        return [(line, p) for line, p in [*found, (0, rest)] if p > 0]

    # ---- where to begin ------------------------------------------------------------------------------

    def at_story(self) -> Beliefs:
        """Before the first character of a story."""
        return {self.entered(line, 0, self.fresh): p for line, p in self.after[0]}

    def at_sentence(self) -> Beliefs:
        """Before the first character of a sentence, which may be any; nothing is known of the story."""
        found = {self.entered(line, 0, self.fresh): 1.0 for line in range(1, len(self.items))}
        for line, items in enumerate(self.items):
            for place, item in enumerate(items):
                if not isinstance(item, str) or line == 0:
                    continue
                for k in (i + 1 for i, sign in enumerate(item) if sign == "\n"):
                    if k < len(item):
                        found[line, place, k, 0, self.fresh] = 1.0
                    elif place + 1 < len(items):
                        found[self.entered(line, place + 1, self.fresh)] = 1.0
        return found

    def anywhere(self) -> Beliefs:
        """Before any character of an endless text, all equally likely: how a window begins."""
        visits = [1.0] * len(self.items)
        for scene, lines in zip(self.grammar.scenes, self.scene_lines):
            for line in lines:
                visits[line] = scene.probability / len(lines)
        found: Beliefs = {}
        length = self.grammar.mean_length()
        for line, items in enumerate(self.items):
            for place, item in enumerate(items):
                for k in range(len(item) if isinstance(item, str) else len(item.longer) - 1):
                    state, share = (line, place, k, 0, self.fresh), 1.0
                    if isinstance(item, Ref):
                        left = item.longer[k]
                        share = left.bit_count() / item.slot.size
                        state = (line, place, k, *self.narrowed(item, left, self.fresh))
                    found[state] = visits[line] * share / length
        return found

    # ---- one step ------------------------------------------------------------------------------------

    def step(self, beliefs: Beliefs, sign: str) -> Beliefs:
        """The beliefs after one more character; empty where no story goes on that way."""
        found: Beliefs = {}
        for state, p in beliefs.items():
            for following, q in self._moves(state, sign):
                found[following] = found.get(following, 0.0) + p * q
        return found

    def _moves(self, state: State, sign: str) -> Iterator[tuple[State, float]]:
        line, place, k, free, masks = state
        item = self.items[line][place]
        if isinstance(item, str):
            if item[k] == sign:
                if k + 1 < len(item):
                    yield (line, place, k + 1, free, masks), 1.0
                else:
                    yield from self._advance(line, place, masks, 1.0)
            return
        values = masks[self.grammar.place[item.slot.name]] if item.slot.is_bound else free
        fitting = values & item.spelling.get((k, sign), 0)
        if not fitting:
            return
        total = values.bit_count()
        if ending := fitting & item.ending[k + 1]:
            told = self.narrowed(item, ending, masks)[1]
            yield from self._advance(line, place, told, ending.bit_count() / total)
        if going := fitting & item.longer[k + 1]:
            yield (line, place, k + 1, *self.narrowed(item, going, masks)), going.bit_count() / total

    def narrowed(self, item: Ref, values: int, masks: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """(free slot's mask, bound slots' masks) once ``item`` is known to be one of ``values``."""
        if not item.slot.is_bound:
            return values, masks
        i = self.grammar.place[item.slot.name]
        return 0, (*masks[:i], values, *masks[i + 1 :])

    def _advance(self, line: int, place: int, masks: tuple[int, ...], p: float) -> Iterator[tuple[State, float]]:
        """To the next item of the line, or to all lines that may follow it."""
        if place + 1 < len(self.items[line]):
            yield self.entered(line, place + 1, masks), p
            return
        if line == 0:  # the story is over, and with it what its slots held
            masks = self.fresh
        for following, q in self.after[line]:
            yield self.entered(following, 0, masks), p * q

    def entered(self, line: int, place: int, masks: tuple[int, ...]) -> State:
        """Before the first character of an item, with what is known of the bound slots."""
        item = self.items[line][place]
        free = item.slot.everything if isinstance(item, Ref) and not item.slot.is_bound else 0
        return line, place, 0, free, masks

    # ---- whole texts ---------------------------------------------------------------------------------

    def surprises(self, text: str, beliefs: Beliefs) -> list[float]:
        """-ln p of each character of ``text``, in nats, read from ``beliefs`` on.

        Raises:
            ValueError: where the grammar cannot write ``text``.
        """
        found = []
        for i, sign in enumerate(text):
            before = sum(beliefs.values())
            beliefs = self.step(beliefs, sign)
            if not beliefs:
                raise ValueError(f"no story goes on with {sign!r} after {text[max(0, i - 20) : i]!r}")
            p = sum(beliefs.values()) / before
            found.append(-math.log(p))
            beliefs = {state: q / (p * before) for state, q in beliefs.items()}
        return found

    def window_surprises(self, window: str) -> list[float]:
        """-ln p of the characters of a window that begins anywhere, each after those before it.

        Raises:
            ValueError: where the grammar cannot write ``window``.
        """
        first = window[:1]
        if first not in self._after_first:  # the first step is the costly one: so many places to begin
            self._after_first[first] = self.step(self.anywhere(), first)
        beliefs = self._after_first[first]
        if not beliefs:
            raise ValueError(f"no story holds {first!r}")
        return [-math.log(sum(beliefs.values())), *self.surprises(window[1:], beliefs)]
