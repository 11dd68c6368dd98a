"""Recipes: named settings that hold what differs from the defaults, with the reasons; and runs made from them.

The settings of all groups (data, model, training) are flat here: one name, one meaning.
"""

import dataclasses
import functools
import json
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from course_lib.config import MODEL_KINDS, Config, DataConfig, RunningConfig, TrainConfig, by_own_names, read_toml
from course_lib.errors import CourseError, nearest
from course_lib.paths import quoted, runs_dir, user_path

FROM_DATA = ("vocab_size", "sha256", "start")
"""Settings that follow from the data, and so are not a recipe's to make."""
DEFAULT_SHAPE = {"block_size": 64, "n_layer": 4, "n_head": 4, "n_embd": 128}
"""Of models whose settings have no shape of their own to begin with."""
ANY_VOCABULARY = 256
"""A size that every kind of model takes: a recipe is checked before its text is known."""


def setting_fields(kind: str = "gpt") -> dict[str, dataclasses.Field]:
    """Every setting of a recipe for a kind of model, by name, over all groups; the kind itself is none of them."""
    return _fields_of((DataConfig, MODEL_KINDS[kind].config, TrainConfig))


@functools.cache
def _fields_of(groups: tuple[type[Config], ...]) -> dict[str, dataclasses.Field]:
    return {f.name: f for group in groups for f in dataclasses.fields(group) if f.name not in FROM_DATA}


def names() -> list[str]:
    """The recipes that come with the course."""
    return sorted(path.name[:-5] for path in files(__name__).iterdir() if path.name.endswith(".toml"))


@dataclass(frozen=True)
class Recipe:
    """A name and flat settings, among them ``kind``, the model's (a GPT by default); checked as a whole when made."""

    name: str
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        if self.kind not in MODEL_KINDS:
            raise CourseError(f"There is no kind of model {self.kind!r}: {nearest(str(self.kind), list(MODEL_KINDS))}")
        known = setting_fields(self.kind)
        for name in self.settings:
            if name not in known and name not in ("kind", *RunningConfig.names()):
                raise CourseError(f"There is no setting {name!r}: {nearest(name, [*known, *RunningConfig.names()])}")
        _ = self.data, self.train, self.running, self.model(ANY_VOCABULARY)

    def _group(self, group: type, **more: Any) -> Any:
        chosen = {n: v for n, v in self.settings.items() if n in group.names()}
        required = [f.name for f in dataclasses.fields(group) if f.default is dataclasses.MISSING]
        shape = {n: v for n, v in DEFAULT_SHAPE.items() if n in required}
        return group.from_dict(shape | chosen | more)

    @property
    def data(self) -> DataConfig:
        return self._group(DataConfig)

    @property
    def train(self) -> TrainConfig:
        return self._group(TrainConfig)

    @property
    def running(self) -> RunningConfig:
        """Where it is kept, and whether it is trained at all."""
        return self._group(RunningConfig)

    @property
    def kind(self) -> Any:
        """The kind of its model, as `MODEL_KINDS` has it."""
        return self.settings.get("kind", "gpt")

    def model(self, vocab_size: int) -> Any:
        """The model's settings for a vocabulary of that size, of the class that its kind has."""
        return self._group(MODEL_KINDS[self.kind].config, vocab_size=vocab_size)

    def all_settings(self) -> dict[str, Any]:
        """Every setting with its value, defaults filled in."""
        everything = self.data.to_dict() | self.model(ANY_VOCABULARY).to_dict() | self.train.to_dict()
        return {name: everything[name] for name in setting_fields(self.kind)}

    def replace(self, **changes: Any) -> Self:
        return type(self)(self.name, self.settings | changes)


def load_recipe(name: str | Path, given: Collection[str] = ()) -> Recipe:
    """A recipe by name, or from a TOML file by path; CourseError where there is none or it is wrong.

    Args:
        given: settings that are given elsewhere. Where one of them is the schedule, the file's decay_lr says nothing:
            neither of the schedule nor, as it does where it is false, of the warm-up.
    """
    path = user_path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise CourseError(f"There is no recipe file {quoted(path)}; the path is taken from {quoted(Path.cwd())}.")
        settings = _without_sections(path, read_toml(path))
        if "schedule" in given:
            settings.pop("decay_lr", None)
        try:
            return Recipe(path.stem, by_own_names(settings))
        except CourseError as error:
            raise CourseError(f"{quoted(path)}: {error}") from error
    if str(name) not in names():
        raise CourseError(f"There is no recipe {str(name)!r}: {_instead_of(str(name), path)}")
    return Recipe(str(name), read_toml(Path(str(files(__name__) / f"{name}.toml"))))


def _instead_of(name: str, path: Path) -> str:
    """What may be meant by a word that is no recipe."""
    if path.suffix == ".py":
        return (
            "a recipe is a TOML file. Write the settings of a configuration in Python into one, as lines NAME = value: "
            "False becomes false, True true, and None is left out."
        )
    if path.exists():
        return f"it is a file or folder here. Your own text is {quoted(f'text:{name}')}"
    if (runs_dir() / name / "config.json").is_file():
        return f"it is a run. To go on with it: course train --resume {quoted(name)}"
    return f"{nearest(name, names())} A recipe of your own is a .toml file, and your own text is text:PATH."


def _without_sections(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """``settings`` as they are; CourseError for a section, which a recipe does not have."""
    for section, value in settings.items():
        if isinstance(value, dict):
            lines = [f"{name} = {json.dumps(v, default=str)}" for name, v in value.items()]
            raise CourseError(
                f"{quoted(path)} has a section [{section}]; a recipe's settings stand without sections, one a line, "
                f"such as {(lines or ['n_layer = 4'])[0]}. Delete the line [{section}]."
            )
    return settings
