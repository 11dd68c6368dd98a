"""A probabilistic grammar for small stories, written down as text and compiled into what can be counted.

A story is a row of scenes. Each scene appears with its probability and is one of its lines, all equally
likely. A line is text with slots in braces. A *bound* slot, such as the hero, takes one value for a whole
story and may be told in several forms (``{hero}``, ``{hero.he}``); any other slot is drawn afresh each
time. Which scenes come does not depend on the values of slots, and all values of a slot are equally
likely: that is what makes exact counting cheap (see `reader`).
"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property


def with_article(word: str) -> str:
    """``a kite``, ``an owl``, ``an honest crow``: "an" before the sound of a vowel."""
    return f"{'an' if word[0] in 'aeiou' or word.startswith('hon') else 'a'} {word}"


class Slot:
    """A choice among values; ``forms`` gives for each form how every value is written in it.

    Args:
        name: what stands in braces.
        forms: form to strings, one per value; the form "" is the plain one.
        is_bound: whether a story keeps the value.
    """

    def __init__(self, name: str, forms: Mapping[str, Sequence[str]], is_bound: bool) -> None:
        self.name, self.is_bound = name, is_bound
        self.forms = {form: tuple(values) for form, values in forms.items()}
        self.size = len(self.forms[""])
        self.everything = (1 << self.size) - 1
        """The mask of all values: bit v stands for value v."""

    def strings(self, form: str) -> tuple[str, ...]:
        """How each value is written. ``a`` puts an article before the plain form; a capital makes one."""
        if form in self.forms:
            return self.forms[form]
        if form == "a":
            return tuple(map(with_article, self.forms[""]))
        if form and form[0].isupper():
            return tuple(text[0].upper() + text[1:] for text in self.strings(form.lower()))
        raise ValueError(f"slot {self.name!r} has no form {form!r}: known are {', '.join(filter(None, self.forms))}")


class Ref:
    """A slot in a line, told in one form: which values spell which character at which place, as masks."""

    def __init__(self, slot: Slot, form: str) -> None:
        self.slot, self.form, self.strings = slot, form, slot.strings(form)
        if not all(text and "\n" not in text for text in self.strings):
            raise ValueError(f"the values of slot {slot.name!r} should be text without line breaks, not {self.strings}")
        self.spelling: dict[tuple[int, str], int] = {}
        self.ending = [0] * (max(map(len, self.strings)) + 1)
        """ending[n]: the mask of the values that are n characters long."""
        for value, text in enumerate(self.strings):
            self.ending[len(text)] |= 1 << value
            for place, sign in enumerate(text):
                self.spelling[place, sign] = self.spelling.get((place, sign), 0) | 1 << value
        self.longer = [sum(self.ending[k + 1 :]) for k in range(len(self.ending))]
        """longer[k]: the mask of the values that have more than k characters."""


Item = str | Ref


@dataclass(frozen=True, eq=False)
class Line:
    """One way to tell a scene: literal text and slots in turn, each sentence ending in a line break."""

    text: str
    items: tuple[Item, ...]

    @cached_property
    def refs(self) -> tuple[Ref, ...]:
        return tuple(item for item in self.items if isinstance(item, Ref))


@dataclass(frozen=True)
class Scene:
    probability: float
    lines: tuple[Line, ...]


class Grammar:
    """Scenes in order, and what follows from them.

    Args:
        bound: slot name to a table: the forms' names, then one row per value, the first column plain.
        free: slot name to its values.
        scenes: pairs of a probability and the lines of a scene; a scene of probability 1 always comes.
    """

    END = "\n"
    """Follows the last line of a story: an empty line."""

    def __init__(
        self,
        bound: Mapping[str, Sequence[Sequence[str]]],
        free: Mapping[str, Sequence[str]],
        scenes: Sequence[tuple[float, Sequence[str]]],
    ) -> None:
        self.slots: dict[str, Slot] = {}
        for name, (forms, *rows) in bound.items():
            columns = dict(zip(["", *forms], zip(*(row[:1] + row for row in rows))))
            self.slots[name] = Slot(name, columns, is_bound=True)
        for name, values in free.items():
            self.slots[name] = Slot(name, {"": values}, is_bound=False)
        self.bound = [slot for slot in self.slots.values() if slot.is_bound]
        self.place = {slot.name: i for i, slot in enumerate(self.bound)}
        self.scenes = [Scene(p, tuple(self._line(text) for text in lines)) for p, lines in scenes]
        self._check()

    def _line(self, text: str) -> Line:
        items: list[Item] = []
        for i, part in enumerate(re.split(r"\{(.*?)\}", text + "\n")):
            if i % 2:
                name, _, form = part.partition(".")
                items.append(Ref(self.slots[name], form))
            elif part:
                items.append(part)
        return Line(text, tuple(items))

    def _check(self) -> None:
        """Each value must be readable from the text: a bound slot is told in full before any other form of it."""
        if self.scenes[0].probability != 1:
            raise ValueError("the first scene should have probability 1: a story begins somewhere")
        told: set[str] = set()
        for scene in self.scenes:
            for line in scene.lines:
                here = told | {ref.slot.name for ref in line.refs if len(set(ref.strings)) == ref.slot.size}
                for ref in line.refs:
                    if ref.slot.name not in here:
                        raise ValueError(f"{ref.slot.name} cannot be told from {line.text!r}")
            if scene.probability == 1:
                told |= set.intersection(*({ref.slot.name for ref in line.refs} for line in scene.lines))

    # ---- writing -------------------------------------------------------------------------------------

    def story(self, generator: random.Random) -> str:
        """One story, with the empty line after it."""
        values = [generator.randrange(slot.size) for slot in self.bound]
        parts: list[str] = []
        for scene in self.scenes:
            if scene.probability < 1 and generator.random() >= scene.probability:
                continue
            for item in generator.choice(scene.lines).items:
                if isinstance(item, str):
                    parts.append(item)
                elif item.slot.is_bound:
                    parts.append(item.strings[values[self.place[item.slot.name]]])
                else:
                    parts.append(generator.choice(item.strings))
        return "".join(parts) + self.END

    # ---- counting ------------------------------------------------------------------------------------

    def entropy(self) -> float:
        """E[-ln p] of a story, in nats, exactly."""
        total, unseen = 0.0, [1.0] * len(self.bound)
        for scene in self.scenes:
            p, n = scene.probability, len(scene.lines)
            total += p * math.log(n) - sum(q * math.log(q) for q in (p, 1 - p) if q > 0)
            total += p / n * sum(_free_nats(line) for line in scene.lines)
            for i, slot in enumerate(self.bound):
                using = sum(any(ref.slot is slot for ref in line.refs) for line in scene.lines)
                unseen[i] *= 1 - p * using / n
        return total + sum((1 - u) * math.log(slot.size) for u, slot in zip(unseen, self.bound))

    def mean_length(self) -> float:
        """E[length] of a story in characters, the empty line included."""
        return len(self.END) + sum(
            scene.probability * sum(map(_mean_length, scene.lines)) / len(scene.lines) for scene in self.scenes
        )

    def longest(self) -> int:
        """A bound: no story has more characters."""
        return len(self.END) + sum(max(map(_longest, scene.lines)) for scene in self.scenes)

    def entropy_rate(self) -> float:
        """Nats per character of a long text: what the grammar itself needs, E[-ln p] / E[length]."""
        return self.entropy() / self.mean_length()

    def words(self) -> set[str]:
        """Every word that the grammar can write, in lower case."""
        texts = [text for scene in self.scenes for line in scene.lines for text in _texts(line)]
        return {word for text in texts for word in re.findall(r"[a-z']+", text.lower())}


def _free_nats(line: Line) -> float:
    return sum(math.log(ref.slot.size) for ref in line.refs if not ref.slot.is_bound)


def _mean_length(line: Line) -> float:
    lengths = (len(i) if isinstance(i, str) else sum(map(len, i.strings)) / i.slot.size for i in line.items)
    return sum(lengths)


def _longest(line: Line) -> int:
    return sum(len(i) if isinstance(i, str) else max(map(len, i.strings)) for i in line.items)


def _texts(line: Line) -> list[str]:
    return [text for item in line.items for text in ([item] if isinstance(item, str) else item.strings)]
