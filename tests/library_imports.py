"""What each module of the library imports, read from its source: for the rules of the floors and for their picture."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "course_lib"


def library_sources() -> dict[str, str]:
    """Every module of the library, by its path from the root, such as ``course_lib/models/gpt.py``."""
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def module_name(path: str) -> str:
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """``course_lib.models.gpt`` belongs to the room ``models``; a file of its own is its own room."""
    return module.split(".")[1] if "." in module else ""


def absolute(path: str, level: int, target: str) -> str:
    """The full name behind a relative import of ``level`` dots in the file ``path``."""
    if level == 0:
        return target
    package = path.removesuffix(".py").split("/")[:-1]
    package = package[: len(package) - (level - 1)]
    return ".".join([*package, *([target] if target else [])])


def imported_names(path: str, node: ast.AST, modules: set[str]) -> Iterator[str]:
    """The modules that one node of the syntax tree imports, with their full names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = absolute(path, node.level, node.module or "")
        for alias in node.names:
            member = f"{base}.{alias.name}"
            # What the root package hands out is a module, unless it is a word such as __version__.
            is_module = member in modules or (base == PACKAGE and not alias.name.startswith("__"))
            if is_module:
                yield member
            elif base != PACKAGE:
                yield base
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        name = node.args[0].value
        if function in ("import_module", "__import__") and isinstance(name, str):
            yield absolute(path, len(name) - len(name.lstrip(".")), name.lstrip("."))
