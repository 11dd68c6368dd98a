"""The book's frame: links that lead somewhere, a glossary that keeps its word, files that need no network.

`make book` builds it, and lets no warning through; what is here needs no build.
"""

import re
from pathlib import Path

import pytest
import yaml
from book_pages import DEEPEST, ROOT, Page, page_paths, parsed, problems_of_links, read_page

PAGES = page_paths()
STATIC = ROOT / "book" / "static"


# Links ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_every_link_inside_the_course_leads_somewhere(path):
    assert problems_of_links(read_page(path)) == []


def page(tmp_path: Path, *cells: str) -> Page:
    (tmp_path / "other.md").write_text("# Other\n\n## What `f` does, and why\n\n## Twice\n\n## Twice\n\n#### Deep\n")
    (tmp_path / "a folder").mkdir(exist_ok=True)
    return parsed(tmp_path / "page.ipynb", [("markdown", cell) for cell in cells])


SOUND_LINKS = [
    *("[a](other.md)", "[a](other.md#What-f-does,-and-why)", "[a](#Here)", "![a](other.md)", "[a](<a folder>)"),
    *("[a](https://example.org/x#y)", "`[a](nowhere.md)`", "```\n[a](nowhere.md)\n```", '<a href="other.md">a</a>'),
    *("[a](mailto:me@example.org)", "| a |\n|---|\n| [a](other.md) |", "[a][1]\n\n[1]: other.md#Other"),
]
BROKEN_LINKS = {
    "a file that is not there": "[a](nowhere.md)",
    "a file that is not there, as a picture": "![a](nowhere.png)",
    "a file that is not there, in a table": "| a |\n|---|\n| [a](nowhere.md) |",
    "a file that is not there, in HTML": '<details><a class="x" href="nowhere.md">a</a></details>',
    "a file that is not there, by reference": "[a][1]\n\n[1]: nowhere.md",
    "a path from the root of a server": "[a](/other.md)",
    "GitHub's form of an anchor": "[a](other.md#what-f-does-and-why)",
    "a heading that is not there": "[a](other.md#Elsewhere)",
    "a heading of this page that is not there": "[a](#There)",
    "a heading that is there twice": "[a](other.md#Twice)",
    "a heading too deep for the book": "[a](other.md#Deep)",
}


@pytest.mark.parametrize("cell", SOUND_LINKS)
def test_a_sound_link_passes(tmp_path, cell):
    assert problems_of_links(page(tmp_path, "# Here", cell)) == []


@pytest.mark.parametrize("cell", BROKEN_LINKS.values(), ids=BROKEN_LINKS)
def test_a_broken_link_is_found(tmp_path, cell):
    assert len(problems_of_links(page(tmp_path, "# Here", cell))) == 1


def test_a_section_ends_at_the_next_heading_of_its_level(tmp_path):
    texts = ("# A\n\none\n\n## B\n\ntwo", "### C\n\nfour\n\n## D\n\nfive")
    cells = [("markdown", texts[0]), ("code", "three"), ("markdown", texts[1])]
    read = parsed(tmp_path / "page.ipynb", cells)
    words = {section.heading: section.text.split() for section in read.sections}
    assert words["A"] == ["A", "one", "B", "two", "three", "C", "four", "D", "five"]
    assert words["B"] == ["B", "two", "three", "C", "four"]
    assert words["C"] == ["C", "four"]


# The glossary ---------------------------------------------------------------------------------------------

ENTRY = re.compile(r"\*\*(?P<term>[^*]+)\*\*(?: \((?P<others>.+?)\))?: .+ \[\d\d(?:, |-\d )[^]]+\]\((?P<link>\S+)\)$")


def glossary_entries() -> list[re.Match]:
    """Each entry is one line: ``**term** (other names): words [05, Section](05_loop.ipynb#Section)``."""
    text = (ROOT / "chapters" / "glossary.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("**")]
    entries = [ENTRY.match(line) for line in lines]
    assert [line for line, entry in zip(lines, entries) if entry is None] == []
    return entries


def bare(words: str) -> str:
    return re.sub(r"[*`\s]+", " ", words).strip().casefold()


def test_the_glossary_is_in_alphabetical_order_under_its_letters():
    text = (ROOT / "chapters" / "glossary.md").read_text(encoding="utf-8")
    terms = [bare(entry["term"]) for entry in glossary_entries()]
    assert terms == sorted(terms)
    under = re.findall(r"^## (.)$|^\*\*`?(.)", text, flags=re.MULTILINE)
    letter = ""
    for heading, first in under:
        letter = heading or letter
        assert not first or first.upper() == letter


def test_each_term_is_named_in_the_section_that_its_link_leads_to():
    pages = {path.name: read_page(path) for path in PAGES}
    missing = []
    for entry in glossary_entries():
        name, _, fragment = entry["link"].partition("#")
        section = bare(pages[name].section(fragment).text)
        names = [entry["term"], *(entry["others"] or "").split(", ")]
        if not any(re.search(rf"(?<!\w){re.escape(bare(one))}", section) for one in names if one):
            missing.append(f"{entry['term']}: not in {entry['link']}")
    assert missing == []


def test_the_glossary_has_the_terms_that_chapters_set_in_bold():
    """Not each bold word is a term, so this holds a few of each chapter that surely are."""
    terms = {bare(entry["term"]) for entry in glossary_entries()}
    for some in (
        "token id vocabulary encode decode batch window epoch logit softmax query key value",
        "momentum adam adamw gradient weight dropout floor lock pickle greedy temperature top-k",
    ):
        assert terms >= set(some.split())


# The configuration and the files beside it ----------------------------------------------------------------


def test_the_configuration_and_the_tests_ask_the_same_anchors():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]
    assert config["config"]["myst_heading_anchors"] == DEEPEST
    assert config["config"]["myst_heading_slug_func"] == "course_anchor.anchor"
    assert config["local_extensions"] == {"course_book": "book"}


def test_the_files_that_the_extension_names_are_there_and_ours():
    extension = (ROOT / "book" / "course_book.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"([\w.-]+\.(?:js|css))"', extension))
    assert named == {path.name for path in STATIC.iterdir()} == {"course.css", "diagrams.js"}
