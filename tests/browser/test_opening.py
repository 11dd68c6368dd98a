"""Every chapter, opened and not touched: no mark that something is unsaved, and its outputs are trusted."""

from pathlib import Path

import pytest
from jupyter_page import open_notebook

pytestmark = pytest.mark.browser

CHAPTERS = sorted(path.name for path in (Path(__file__).resolve().parents[2] / "chapters").glob("*.ipynb"))
STATE = "[title^='Notebook trusted'], [title^='Notebook not trusted']"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_opens_trusted_and_without_a_mark(jupyterlab, page, chapter):
    open_notebook(page, jupyterlab.page_of(f"chapters/{chapter}"))
    page.wait_for_timeout(1500)  # what the kernel says of itself has arrived by then
    assert page.locator(".jp-mod-dirty").count() == 0
    assert page.locator(STATE).first.get_attribute("title").startswith("Notebook trusted")
