"""What all settings share: checks of their types, one name each, and dict, JSON and TOML in and out."""

import dataclasses
import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

from course_lib.errors import CourseError, nearest
from course_lib.paths import quoted


def _is_of_type(value: object, kind: object) -> bool:
    """Whether ``value`` fits the annotation ``kind`` (plain types, Literal, unions with None, and tuples)."""
    if kind is None or kind is type(None):
        return value is None
    if get_origin(kind) is tuple:  # tuple[int, ...]
        return isinstance(value, tuple) and all(_is_of_type(part, get_args(kind)[0]) for part in value)
    if choices := get_args(kind):
        if all(isinstance(choice, str) for choice in choices):
            return value in choices
        return any(_is_of_type(value, choice) for choice in choices)
    if kind is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and abs(value) <= sys.float_info.max  # neither NaN nor a whole number beyond all floats
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)  # type: ignore[arg-type]


def described(kind: object) -> str:
    """What fits the annotation ``kind``, in words."""
    if get_origin(kind) is tuple:
        return "whole numbers in a row, such as 2 3 4"
    if choices := get_args(kind):
        return " or ".join(repr(c) if isinstance(c, str) else described(c) for c in choices)
    return {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}.get(
        kind, "nothing (None)"
    )


@dataclass(frozen=True)
class Config:
    """What all groups of settings share: type checks, and dict, JSON and TOML in and out."""

    given: ClassVar[frozenset[str]] = frozenset()
    """The names of the settings that somebody chose; the others are at their defaults."""

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        self = super().__new__(cls)
        # No field: two configs with the same values are equal, whoever chose them.
        object.__setattr__(self, "given", frozenset([*cls.names()[: len(args)], *settings]))
        return self

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = get_args(field.type)[0] if get_origin(field.type) is Annotated else field.type
            if get_origin(kind) is tuple and isinstance(value, list):  # as JSON and TOML have it
                object.__setattr__(self, field.name, value := tuple(value))
            if not _is_of_type(value, kind):
                raise CourseError(f"{field.name} should be {described(kind)}; it is {value!r}.")
            if kind is float and not isinstance(value, float):
                object.__setattr__(self, field.name, float(value))
        self._check()

    def _check(self) -> None:
        """Further rules of one group; raises CourseError."""

    def _need(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise CourseError(f"{name} should be {expected}; it is {getattr(self, name)!r}.")

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked again."""
        return self._changed(changes, self.given | changes.keys())

    def with_defaults(self, **values: Any) -> Self:
        """A copy in which settings that nobody chose have other values than their defaults, checked again."""
        return self._changed({n: v for n, v in values.items() if n not in self.given}, self.given)

    def _changed(self, changes: dict[str, Any], given: frozenset[str]) -> Self:
        copy = type(self).from_dict(self.to_dict() | changes)
        object.__setattr__(copy, "given", given)
        return copy

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as JSON has them: a tuple comes as a list."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in dataclasses.asdict(self).items()}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """From plain settings; an unknown or a missing one raises CourseError."""
        if not isinstance(settings, dict):
            raise CourseError(f"{cls.__name__} should come as names and values; this is {settings!r}.")
        for name in settings:
            if name not in cls.names():
                raise CourseError(f"{cls.__name__} has no setting {name!r}: {nearest(name, cls.names())}")
        required = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
        if missing := [name for name in required if name not in settings]:
            raise CourseError(f"{cls.__name__} also needs {', '.join(missing)}.")
        return cls(**settings)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of `to_json`; raises CourseError where the text is not JSON or a setting is wrong."""
        try:
            settings = json.loads(text)
        except ValueError as error:
            raise CourseError(f"These settings are not valid JSON: {error}.") from error
        return cls.from_dict(settings)

    def to_toml(self) -> str:
        """Lines of ``name = value``; a setting that is None is left out, as TOML has no null."""
        settings = ((name, value) for name, value in self.to_dict().items() if value is not None)
        # TOML takes characters as they are, where JSON writes some as two escapes; DEL alone has to be escaped.
        lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings)
        return "".join(lines).replace("\x7f", "\\u007f")

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """The reverse of `to_toml`; raises CourseError where the text is not TOML or a setting is wrong."""
        try:
            settings = tomllib.loads(text)
        except ValueError as error:
            raise CourseError(f"These settings are not valid TOML: {error}.") from error
        return cls.from_dict(settings)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict; CourseError names the file and the place of a mistake."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a byte-order mark
    except ValueError as error:  # not TOML, or not UTF-8
        raise CourseError(f"{quoted(path)} is not valid TOML: {error}.") from error
