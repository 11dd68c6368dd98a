"""The pages of the book as their readers see them: headings, sections and links, taken from Markdown and notebooks."""

import json
import re
import runpy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mistune

ROOT = Path(__file__).resolve().parents[1]
anchor = runpy.run_path(str(ROOT / "book" / "course_anchor.py"))["anchor"]
DEEPEST = 3
"""Headings further down have no anchors in the book (myst_heading_anchors in _config.yml)."""

_PARSE = mistune.create_markdown(renderer=None, plugins=["table"])
_HTML_LINK = re.compile(r"""<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*["']([^"']+)["']""")


@dataclass(frozen=True)
class Section:
    """A heading, without its markup, and the text from it to the next heading of the same or a higher level."""

    heading: str
    level: int
    text: str


@dataclass(frozen=True)
class Page:
    path: Path
    sections: tuple[Section, ...]
    links: tuple[str, ...]

    def anchors(self) -> Counter[str]:
        """How often each anchor is there. A second heading of the same words has an anchor that differs by place."""
        return Counter(anchor(section.heading) for section in self.sections if section.level <= DEEPEST)

    def section(self, name: str) -> Section:
        """The section with this anchor."""
        (found,) = (section for section in self.sections if anchor(section.heading) == name)
        return found


def page_paths() -> list[Path]:
    return sorted([*(ROOT / "chapters").glob("*.md"), *(ROOT / "chapters").glob("*.ipynb")])


@cache
def read_page(path: Path) -> Page:
    """A Markdown file, or a notebook's cells of text and code in their order."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return parsed(path, [("markdown", text)])
    cells = json.loads(text)["cells"]
    return parsed(path, [(cell["cell_type"], "".join(cell["source"])) for cell in cells])


def parsed(path: Path, cells: list[tuple[str, str]]) -> Page:
    pieces: list[tuple[int, str]] = []  # (level of a heading or 0, text)
    links: list[str] = []
    for kind, source in cells:
        if kind != "markdown":
            pieces.append((0, source))
            continue
        for token in _PARSE(source):
            level = token["attrs"]["level"] if token["type"] == "heading" else 0
            pieces.append((level, _text(token)))
            links += _links(token)
    return Page(path, tuple(_sections(pieces)), tuple(unquote(link) for link in links))


def _sections(pieces: list[tuple[int, str]]) -> Iterator[Section]:
    for i, (level, heading) in enumerate(pieces):
        if level:
            ends = (j for j in range(i + 1, len(pieces)) if 0 < pieces[j][0] <= level)
            inside = pieces[i : next(ends, len(pieces))]
            yield Section(heading, level, "\n".join(text for _, text in inside))


def _text(token: dict[str, Any]) -> str:
    if token["type"] in ("linebreak", "softbreak"):
        return " "
    if token["type"].endswith("html"):
        return re.sub(r"<[^>]*>", "", token["raw"])
    children = token.get("children")
    if children is None:
        return token.get("raw", "")
    between = " " if any(child["type"].startswith(("table", "list", "block", "para")) for child in children) else ""
    return between.join(_text(child) for child in children)


def _links(token: dict[str, Any]) -> Iterator[str]:
    if token["type"] in ("link", "image"):
        yield token["attrs"]["url"]
    if token["type"].endswith("html"):
        yield from _HTML_LINK.findall(token["raw"])
    for child in token.get("children") or ():
        yield from _links(child)


def problems_of_links(page: Page) -> list[str]:
    """Each link of a page that leads nowhere, in words. Links to other sites are not followed."""
    found = []
    for link in page.links:
        if re.match(r"[a-z][a-z0-9+.-]*:", link) or link.startswith("//"):
            continue
        target, _, fragment = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        if link.startswith("/") or (target and not path.exists()):
            found.append(f"{page.path.name} links to {link}: there is no such file")
        elif fragment and path.suffix in (".md", ".ipynb"):
            there = read_page(path) if target else page
            if (times := there.anchors()[fragment]) != 1:
                found.append(f"{page.path.name} links to {link}: {path.name} has {times or 'no'} headings of that name")
    return found
