"""The pages to read: links and diagrams in JupyterLab, and the built book in light and dark, without a network."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from book_pages import ROOT, anchor, page_paths, read_page

pytestmark = pytest.mark.browser

# In JupyterLab --------------------------------------------------------------------------------------------


def test_jupyterlab_gives_headings_the_anchors_that_the_links_use(jupyterlab, page):
    for path in page_paths():
        if path.suffix == ".md":
            headings = [section.heading for section in read_page(path).sections]
            page.goto(jupyterlab.page_of(f"chapters/{path.name}"))
            title = page.locator("h1", has_text=headings[0])
            shown = page.locator(".jp-RenderedMarkdown", has=title).locator("h1, h2, h3")
            title.wait_for()
            given = shown.evaluate_all("found => found.map(h => h.id || h.getAttribute('data-jupyter-id'))")
            assert given == [anchor(heading) for heading in headings]


IN_VIEW = """id => [...document.querySelectorAll("h2")].some(heading => {
    const box = heading.getBoundingClientRect();
    const named = [heading.id, heading.dataset.jupyterId].includes(id);
    return named && box.height && box.top > 0 && box.bottom < innerHeight;
})"""


def test_a_link_leads_to_the_section_of_another_page_and_of_a_notebook_that_is_open(jupyterlab, page):
    """A notebook that is not open yet is opened at its top: JupyterLab looks for the section before it is there."""
    targets = ("start.md#When-something-fails", "04_optimizer.ipynb#Two-weights:-a-ravine")
    links = "\n\n".join(f"[to {target}](<{target}>)" for target in targets)
    (jupyterlab.folder / "chapters" / "links.md").write_text(f"# Links\n\n{links}\n")
    for target in targets:
        name, _, fragment = target.partition("#")
        page.goto(jupyterlab.page_of("chapters/links.md"))
        page.get_by_role("link", name=f"to {target}").click()
        page.locator(f"[data-jupyter-id='{fragment}'], [id='{fragment}']").first.wait_for(state="attached")
        if name.endswith(".ipynb"):
            assert not page.evaluate(IN_VIEW, fragment)
            page.locator(".lm-TabBar-tab", has_text="links.md").click()
            page.get_by_role("link", name=f"to {target}").click()
        page.wait_for_function(IN_VIEW, arg=fragment)


def test_jupyterlab_draws_the_diagrams(jupyterlab, page):
    page.goto(jupyterlab.page_of("chapters/architecture.md"))
    written = (ROOT / "chapters" / "architecture.md").read_text(encoding="utf-8").count("```mermaid")
    page.wait_for_function(
        "count => document.querySelectorAll('.jp-RenderedMermaid img').length === count", arg=written
    )
    sizes = page.locator(".jp-RenderedMermaid img").evaluate_all("found => found.map(one => one.naturalWidth)")
    assert len(sizes) == written
    assert 0 not in sizes


# The built book -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the HTML pages."""
    if importlib.util.find_spec("jupyter_book") is None:
        pytest.skip("needs the packages of the book: make book installs them")
    out = tmp_path_factory.mktemp("book")
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", ROOT, "-W", "-n", "--all", "--keep-going", "--path-output", out]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out / "_build" / "html" / "chapters"


ELSEWHERE = "https://cdn.jsdelivr.net/npm/"
"""Where Mermaid and MathJax come from, and nothing else."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_the_book_can_be_read_without_a_network(book, page, scheme):
    """Opened as files: no script fails, all pictures are there; diagrams and formulas are texts then."""
    page.emulate_media(color_scheme=scheme)
    page.route("http*://**", lambda route: route.abort())
    asked, failed = set(), []
    page.on("request", lambda request: asked.add(request.url) if request.url.startswith("http") else None)
    page.on("pageerror", lambda error: failed.append(str(error)))
    diagrams = 0
    for path in page_paths():
        page.goto((book / f"{path.stem}.html").as_uri(), wait_until="load")
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        sizes = page.locator("article img").evaluate_all("found => found.map(one => one.naturalWidth)")
        assert 0 not in sizes, path.name
        texts = page.locator("pre.mermaid").all_inner_texts()
        assert all(text.strip() for text in texts)
        diagrams += len(texts)
    assert failed == []
    assert {url for url in asked if not url.startswith(ELSEWHERE)} == set()
    assert diagrams


def test_the_book_shows_what_the_notebooks_store(book, page):
    """Widgets show their stored pictures; a cell for the terminal is colored, and not taken for broken Python."""
    page.goto((book / "04_optimizer.html").as_uri())
    assert page.locator(".cell", has_text="Race()").locator(".cell_output img").count() == 1
    page.goto((book / "06_saving.html").as_uri())
    line = page.locator(".highlight-ipython3", has_text="course_lib export chapter-06/killed")
    assert line.locator(".err").count() == 0
    assert line.count() == 1


def test_each_link_of_the_glossary_leads_to_a_section_in_the_book(book, page):
    page.goto((book / "glossary.html").as_uri())
    links = page.locator("article a.internal[href*='.html#']").evaluate_all("found => found.map(a => a.href)")
    assert len(links) > 100
    ids = {}
    for link in links:
        name, _, fragment = Path(link).name.partition("#")
        text = ids.setdefault(name, set(re.findall(r'\bid="([^"]+)"', (book / name).read_text(encoding="utf-8"))))
        assert fragment in text, link
