"""The source of a model as a small package of its own: its files, and all of the library that they import."""

import ast
import importlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import nn

from course_lib.paths import project_root

PACKAGE = "course_lib"
BESIDES = ("course_lib.tokenizers", "course_lib.sampling", "course_lib.config")
"""What one needs besides the model to let it write."""


def model_source(model: nn.Module) -> dict[str, str]:
    """The files from which ``model`` can be built anew and sampled, without the rest of the library: path to content.

    They are those of the model's own package, of tokenizers and sampling, and what they import.
    """
    home = Path(importlib.import_module(PACKAGE).__file__ or "").parents[1]
    own = type(model).__module__.rpartition(".")[0]
    siblings = (home / own.replace(".", "/")).glob("*.py")
    waiting = [f"{own}.{path.stem}" for path in siblings if path.stem != "__init__"] + [own, *BESIDES]
    found: dict[str, str] = {}
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        path = _path(home, module)
        if module in seen or path is None:
            continue
        seen.add(module)
        found[path.relative_to(home).as_posix()] = text = path.read_text(encoding="utf-8")
        waiting += [module.rpartition(".")[0], *_imported(text)]
    license_text = _license()
    return dict(sorted(found.items())) | ({"LICENSE": license_text} if license_text else {})


def _path(home: Path, module: str) -> Path | None:
    """The file of a module of the library; None for a name that is none."""
    if module.split(".")[0] != PACKAGE:
        return None
    base = home / module.replace(".", "/")
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _imported(text: str) -> list[str]:
    """All names that a source imports, wherever in it: modules, and what may be a module or a part of one."""
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _license() -> str | None:
    """The library's license, where it can be found: it asks to go along."""
    try:
        kept = distribution("course-lib").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        kept = None
    beside = [Path(__file__).parents[2] / "LICENSE", project_root() / "LICENSE"]
    return kept or next((path.read_text(encoding="utf-8") for path in beside if path.is_file()), None)
