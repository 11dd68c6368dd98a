"""Every story of a tiny grammar, one by one: what the tests of TinyTales compare the package with.

Nothing here uses the package: the notation is read afresh, and probabilities are added up over all stories.
"""

import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise

Spec = tuple[dict, dict, list]
"""(bound, free, scenes), as `Grammar` takes them."""
Choose = Callable[[list[float]], int]
"""Given the probabilities of some choices, says which one is taken."""


VOWEL_SOUND = re.compile(r"(?!eu|on(e|ce)\b|uni|us[ae]|ut[ie])[aeiou]|heir|hono|honest|hour")


def article(word: str) -> str:
    """By sound: an owl, an hour, a unicorn."""
    return "an" if VOWEL_SOUND.match(word) else "a"


def write(spec: Spec, choose: Choose) -> str:
    """One story and the empty line after it. A bound slot gets its value when the text first needs it."""
    bound, free, scenes = spec
    values: dict[str, dict[str, str]] = {}

    def draw(options):
        return options[choose([1 / len(options)] * len(options))]

    def fill(match: re.Match) -> str:
        name, _, form = match[1].partition(".")
        if name in free:
            columns, plain = {}, draw(free[name])
        else:
            (heads, *rows) = bound[name]
            if name not in values:
                values[name] = dict(zip(heads, draw(rows), strict=True))
            columns, plain = values[name], values[name][heads[0]]
        if not form:
            return plain
        lower = form.lower()
        text = columns.get(lower) or f"{article(plain)} {plain}"
        assert lower in (*columns, "a"), form
        return text if form == lower else text[0].upper() + text[1:]

    story = ""
    for probability, lines in scenes:
        if probability == 1 or choose([1 - probability, probability]):
            story += re.sub(r"\{(.+?)\}", fill, draw(lines)) + "\n"
    return story + "\n"


def all_stories(spec: Spec) -> list[tuple[str, float]]:
    """Every way to choose, as (text, probability)."""
    found: list[tuple[str, float]] = []
    waiting: list[list[int]] = [[]]
    while waiting:
        text, p, others = _follow(spec, waiting.pop())
        found.append((text, p))
        waiting += others
    return found


def _follow(spec: Spec, path: list[int]) -> tuple[str, float, list[list[int]]]:
    """The story of the choices in ``path``, then always the first choice; and the paths that this leaves out."""
    taken: list[int] = []
    probability, others = 1.0, []

    def choose(weights: list[float]) -> int:
        nonlocal probability
        choice = 0
        if len(taken) < len(path):
            choice = path[len(taken)]
        else:
            others.extend([*taken, other] for other in range(1, len(weights)))
        taken.append(choice)
        probability *= weights[choice]
        return choice

    return write(spec, choose), probability, others


def sampled_story(spec: Spec, generator: random.Random) -> tuple[str, float]:
    """A story at random, with -ln p of the choices made."""
    nats = 0.0

    def choose(weights: list[float]) -> int:
        nonlocal nats
        taken = generator.choices(range(len(weights)), weights)[0]
        nats -= math.log(weights[taken])
        return taken

    return write(spec, choose), nats


class Endless:
    """Stories without end, one after another, and how likely a window that begins anywhere shows a text."""

    def __init__(self, spec: Spec) -> None:
        self.stories: dict[str, float] = {}
        for text, p in all_stories(spec):
            self.stories[text] = self.stories.get(text, 0.0) + p
        self.mean_length = sum(p * len(text) for text, p in self.stories.items())
        self._starts: dict[int, dict[str, float]] = {}
        self._windows: dict[int, dict[str, float]] = {}

    def starts(self, length: int) -> dict[str, float]:
        """The first ``length`` characters from where a story starts: text to probability."""
        if length not in self._starts:
            self._starts[length] = self._continued(self.stories.items(), length)
        return self._starts[length]

    def windows(self, length: int) -> dict[str, float]:
        """The same from anywhere: each place of each story counts as often as that story comes."""
        if length not in self._windows:
            places = ((text[i:], p / self.mean_length) for text, p in self.stories.items() for i in range(len(text)))
            self._windows[length] = self._continued(places, length)
        return self._windows[length]

    def _continued(self, parts: Iterable[tuple[str, float]], length: int) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for part, p in parts:
            for rest, q in [("", 1.0)] if len(part) >= length else self.starts(length - len(part)).items():
                found[part[:length] + rest] += p * q
        return dict(found)

    def surprises(self, window: str) -> list[float]:
        """-ln of the share that each next character has among the windows that begin like this one."""
        shown = [1.0, *(self.windows(t)[window[:t]] for t in range(1, len(window) + 1))]
        return [math.log(before / after) for before, after in pairwise(shown)]


# Tiny grammars --------------------------------------------------------------------------------------------

OPTIONAL: Spec = (
    {},
    {"x": ["a", "ab", "b"], "y": ["d", "ca"]},
    [(1.0, ["{x}.", "c{x}!"]), (0.3, ["d."]), (0.6, ["({y}{x})", "-{x}"]), (0.5, ["e?"])],
)
"""Optional scenes, also at the end; free values of different lengths, one the beginning of another."""
FORMS: Spec = (
    {
        "who": [("name", "he"), ("Bo", "he"), ("Bea", "she"), ("Al", "he")],
        "ox": [("name",), ("ax",), ("owl",), ("bee",)],
    },
    {},
    [
        (1.0, ["{who}.", "{ox.A} {who}."]),
        (0.5, ["{who.He}?", "{ox}!\n{who.he}-{ox.a}."]),
        (0.25, ["Z: {who}"]),
    ],
)
"""Bound slots in several forms, a line of two sentences, and a value that may stay unsaid."""
TOLD: Spec = (
    {"q": [("is", "end"), ("x y", "u"), ("x", "v"), ("xy", "u")], "r": [("n",), ("w",), ("wy",)]},
    {"m": ["k", "kk"]},
    [(1.0, ["{q}.\n{q.end}{m}!", "{q}:{q.end}."]), (0.9, ["{r}{r}."]), (0.1, ["{q.end}\n-{r}?\n{m};"])],
)
"""Forms in which two values look the same; a bound slot twice in one line; lines of two and three sentences."""
UNSAID: Spec = (
    {"k": [("n",), ("p",), ("q",)]},
    {},
    [(1.0, ["m."]), (0.5, ["{k}."]), (0.4, ["{k}{k}!", "r"]), (0.5, ["{k}?"])],
)
"""A bound slot that only optional scenes tell."""
TINY = {"optional": OPTIONAL, "forms": FORMS, "told": TOLD, "unsaid": UNSAID}

TWO_WAYS: Spec = (
    {"b": [("n",), ("a",), ("ab",)]},
    {"p": ["a", "aa", "b"]},
    [(1.0, ["{b}{p}.", "a{p}."]), (0.5, ["{p}{p}."])],
)
"""Ambiguous: the same text can have been written in several ways."""
