"""The files of a model's folder as transformers writes them: tensors in one safetensors file, or in several."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.paths import quoted

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


class HFTensors:
    """All tensors of a folder by name; each is read when it is asked for.

    Raises:
        CourseError: where the folder lacks its files, or one of them is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: dict[Path, Any] = {}
        self._files = self._find()

    @property
    def names(self) -> set[str]:
        return set(self._files)

    def file_of(self, name: str) -> Path:
        return self._files[name]

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._opened[self._files[name]].get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        file = self._files[name]
        try:
            return self._opened[file].get_tensor(name)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise _damaged(file, error) from error

    def _open(self, file: Path) -> list[str]:
        """The names in one file, which stays open."""
        try:
            self._opened[file] = safe_open(file, "pt")
        except (SafetensorError, OSError) as error:
            raise _damaged(file, error) from error
        return list(self._opened[file].keys())

    def _find(self) -> dict[str, Path]:
        """In which file each tensor is that the folder holds."""
        folder = self.folder
        index, whole = folder / INDEX, folder / WEIGHTS
        if index.is_file() and not whole.is_file():
            shards = read_json(index).get("weight_map")
            if not (isinstance(shards, dict) and all(isinstance(file, str) for file in shards.values())):
                raise CourseError(
                    f"{quoted(index)} should have a weight_map of tensors and files. Fetch the folder anew."
                )
            listed = {name: folder / Path(file).name for name, file in shards.items()}
            held = {name: file for file in sorted(set(listed.values())) for name in self._open(file)}
            if wrong := [name for name in sorted(listed.keys() | held.keys()) if listed.get(name) != held.get(name)]:
                raise CourseError(
                    f"{quoted(index)} and the files that it lists do not agree on {some(wrong)}. Fetch the folder anew."
                )
            return held
        if not whole.is_file():
            older = folder / "pytorch_model.bin"
            remedy = (
                f"{older.name} alone is there, a pickle, which the course does not read: in Python with transformers, "
                f"GPT2LMHeadModel.from_pretrained({str(folder)!r}).save_pretrained(another folder) makes it"
                if older.is_file()
                else "Fetch the folder anew"
            )
            raise CourseError(
                f"{quoted(folder)} should hold {WEIGHTS}, or {INDEX} and its shards; it holds neither. {remedy}."
            )
        return dict.fromkeys(self._open(whole), whole)


def _damaged(file: Path, error: Exception) -> CourseError:
    if not file.exists():
        return CourseError(f"{quoted(file)} is missing; {INDEX} lists it. Fetch the folder anew.")
    return CourseError(f"{quoted(file)} is not a whole safetensors file ({error}). Fetch the folder anew.")


def some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file; CourseError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CourseError(
            f"There is no {quoted(path)}. A GPT-2 folder, as transformers writes it, holds {CONFIG} and {WEIGHTS}."
        ) from error
    except (OSError, ValueError) as error:
        raise CourseError(f"Cannot read {quoted(path)}: {error}. Fetch the folder anew.") from error
    if not isinstance(found, dict):
        raise CourseError(
            f"{quoted(path)} should hold a JSON object; it holds {type(found).__name__}. Fetch the folder anew."
        )
    return found
