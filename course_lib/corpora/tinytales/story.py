"""The grammar of the stories; ``story.toml`` holds their words."""

import tomllib
from importlib.resources import files
from typing import Any

from course_lib.corpora.tinytales.grammar import Grammar


def read_words() -> tuple[dict[str, list[tuple[str, ...]]], dict[str, list[str]], list[tuple[float, list[str]]]]:
    """Bound slots, free slots and scenes, as `Grammar` takes them."""
    words: dict[str, Any] = tomllib.loads(files(__package__).joinpath("story.toml").read_text(encoding="utf-8"))
    told = words["bound"]
    girls = [(name, "she", "her", "her", "girl") for name in told["girls"].split()]
    boys = [(name, "he", "him", "his", "boy") for name in told["boys"].split()]
    bound: dict[str, list[tuple[str, ...]]] = {"hero": [("name", "he", "him", "his", "child"), *girls, *boys]}
    bound["home"] = [("at",), *((place,) for place in told["home"])]
    for slot, form in (("thing", "name"), ("barn", "name"), ("shut", "how"), ("animal", "name")):
        bound[slot] = [(form,), *((value,) for value in told[slot].split())]
    free = {name: values.split() for name, values in words["free"].items()}
    return bound, free, [(scene["probability"], scene["lines"]) for scene in words["scenes"]]


TALES = Grammar(*read_words())
