"""Draw the library's floors into chapters/architecture.md, from the imports and the modules' own first lines.

    python tests/architecture.py            (or: make architecture)

Which floor a room stands on says FLOORS of tests/test_layers.py; what it imports, and what it is for, say its files.
Only what stands between the page's markers is replaced. A test fails when the page no longer agrees with the code.
"""

import ast
import sys
from collections import defaultdict
from functools import cache
from itertools import pairwise

from library_imports import PACKAGE, ROOT, imported_names, library_sources, module_name, room
from test_layers import FLOORS

from course_lib.paths import replace_file

PAGE = ROOT / "chapters" / "architecture.md"
BEGIN, END = "<!-- {}: drawn by `make architecture`, not by hand -->", "<!-- here {} end -->"

FLOOR_NAMES = {
    7: "the front door",
    6: "the command line",
    5: "lab, benchmarks, measurements",
    4: "chapters' tools and recipes",
    3: "training, export, pictures",
    2: "data, saves, sampling",
    1: "the parts",
    0: "settings, machine, downloads",
    -1: "files, locks, programs",
    -2: "errors",
}
UNNAMED = -1
"""Rooms up to this floor are used by nearly all others, so the table of imports leaves them out."""


parsed = cache(ast.parse)


def first_sentence(source: str) -> str:
    """The first paragraph of a module's docstring on one line, as Markdown; empty where there is none."""
    docstring = ast.get_docstring(parsed(source)) or ""
    return " ".join(docstring.split("\n\n")[0].split()).replace("``", "`")


def rooms_of(sources: dict[str, str]) -> dict[str, list[str]]:
    """Each room with the paths of its modules; the root package is no room."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sources:
        if name := room(module_name(path)):
            found[name].append(path)
    return dict(found)


def imports_of_rooms(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which other rooms the modules of each room import, inside functions too."""
    modules = {module_name(path) for path in sources}
    found: dict[str, set[str]] = defaultdict(set)
    for path, source in sources.items():
        here = room(module_name(path))
        for node in ast.walk(parsed(source)):
            for target in imported_names(path, node, modules):
                if target.split(".")[0] == PACKAGE and room(target) != here:
                    found[here].add(room(target))
    return dict(found)


def about(name: str, paths: list[str], sources: dict[str, str]) -> str:
    """What a room is for: the first line of its file, or of its package."""
    package = f"{PACKAGE}/{name}/__init__.py"
    return first_sentence(sources[package if package in paths else f"{PACKAGE}/{name}.py"])


def escaped(name: str) -> str:
    """A name for Mermaid, which takes two underscores for bold print."""
    return name.replace("__", "#95;#95;")


def picture(rooms: dict[str, list[str]], floors: dict[str, int]) -> list[str]:
    """The house as a Mermaid diagram: a box for each floor, the highest first, and arrows the way imports go."""
    lines = [
        "```mermaid",
        "flowchart TB",
        "    accTitle: The floors of course_lib",
        "    accDescr: A box for each floor with its rooms. Imports go down only.",
    ]
    levels = sorted({floors[name] for name in rooms}, reverse=True)
    for level in levels:
        lines.append(f'    subgraph floor{level + 2}["{level}: {FLOOR_NAMES[level]}"]')
        lines.append("        direction TB")  # nothing joins the rooms of one floor, so they stand side by side
        lines += [f'        {name}_["{escaped(name)}"]' for name in sorted(rooms) if floors[name] == level]
        lines.append("    end")
    lines += [f"    floor{high + 2} --> floor{low + 2}" for high, low in pairwise(levels)]
    return [*lines, "```"]


def table(rooms: dict[str, list[str]], floors: dict[str, int], sources: dict[str, str]) -> list[str]:
    """Every room with its floor, what it is for, and which rooms it imports from."""
    imports = imports_of_rooms(sources)
    lines = ["| floor | room | what it is for | it imports from |", "|---|---|---|---|"]
    for name in sorted(rooms, key=lambda name: (-floors[name], name)):
        used = sorted(imports.get(name, set()), key=lambda other: (-floors[other], other))
        words = ", ".join(other for other in used if floors[other] > UNNAMED)
        what = about(name, rooms[name], sources).replace("|", "\\|")
        lines.append(f"| {floors[name]} | `{name}` | {what} | {words} |")
    return lines


def files(rooms: dict[str, list[str]], floors: dict[str, int], sources: dict[str, str]) -> list[str]:
    """The files of each room that has several. Of a package inside a room only its own first line is told."""
    lines = []
    for name in sorted(rooms, key=lambda name: (-floors[name], name)):
        inside = [path for path in rooms[name] if path != f"{PACKAGE}/{name}/__init__.py"]
        told = [path for path in inside if path.removesuffix("/__init__.py").count("/") == 2]
        if len(rooms[name]) > 1:
            lines += ["", f"### {name}", ""]
            lines += own_names(f"{PACKAGE}/{name}/__init__.py", sources)
            lines += [f"- `{path.removesuffix('__init__.py')}`: {first_sentence(sources[path])}" for path in told]
    return lines


def own_names(path: str, sources: dict[str, str]) -> list[str]:
    """A line for the functions and classes that stand in a package's ``__init__.py`` itself, if any do."""
    defined = [node for node in parsed(sources[path]).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    public = [f"`{node.name}`" for node in defined if not node.name.startswith("_")]
    return [f"- `{path}`: {', '.join(public)}"] if public else []


def drawings(sources: dict[str, str], floors: dict[str, int]) -> dict[str, str]:
    """What is drawn, by the name that its markers on the page have."""
    rooms = rooms_of(sources)
    told = [
        *picture(rooms, floors),
        *["", "What each room is for, and which rooms it really imports from:", ""],
        *table(rooms, floors, sources),
        *["", "The last column leaves out the rooms of the two lowest floors, which nearly all others use."],
    ]
    return {"floors": "\n".join(told), "files": "\n".join(files(rooms, floors, sources)).strip()}


def redrawn(page: str, sources: dict[str, str], floors: dict[str, int]) -> str:
    """The page with its drawings made anew; ValueError where a marker is missing."""
    for name, drawn in drawings(sources, floors).items():
        before, rest = page.split(BEGIN.format(name) + "\n", 1)
        _, after = rest.split("\n" + END.format(name), 1)
        page = f"{before}{BEGIN.format(name)}\n\n{drawn}\n\n{END.format(name)}{after}"
    return page


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    new = redrawn(page, library_sources(), FLOORS)
    if new != page:
        replace_file(PAGE, new)
    print(f"{PAGE.name}:", "drawn anew." if new != page else "nothing has changed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
