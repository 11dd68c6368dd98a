"""Chapter 01 as a learner meets it: its pictures before anything runs, and its widget while one types."""

from itertools import pairwise

import pytest
from jupyter_page import (
    ERROR,
    LEAST_CONTRAST,
    assert_no_errors,
    open_notebook,
    run_cells_until,
    switch_to_dark,
    wait_until,
)

pytestmark = pytest.mark.browser

BOX = "span[title^='token ']"


def ids(picture) -> list[int]:
    return [int(box.get_attribute("title").rsplit(" ", 1)[1]) for box in picture.locator(BOX).all()]


def assert_keys_go_where_they_should(page, view, n_cells: int) -> None:
    """With Ctrl, what edits a text edits it and the rest is JupyterLab's; Escape leaves the box for its cell."""
    box, sidebar = view.locator("textarea"), page.locator("#jp-left-stack")
    has_focus = "box => document.activeElement === box"
    before, text = sidebar.is_visible(), box.input_value()
    box.press("Control+b")
    wait_until(lambda: sidebar.is_visible() != before, "Ctrl + B hides or shows the sidebar")
    box.press("Control+b")
    wait_until(lambda: sidebar.is_visible() == before, "Ctrl + B once more")
    box.focus()
    box.press("Control+a")
    assert box.evaluate("box => box.value.slice(box.selectionStart, box.selectionEnd)") == text
    assert page.locator(".jp-Notebook .jp-Cell.jp-mod-selected").count() <= 1
    box.press("End")
    box.press("!")
    box.press("Control+z")
    page.wait_for_timeout(200)
    assert page.locator(".jp-Notebook .jp-Cell").count() == n_cells
    box.fill(text)
    wait_until(lambda: f"{len(text)} tokens" in view.inner_text(), "the same text again")

    assert "Esc leaves the box" in page.locator(f"[id='{box.get_attribute('aria-describedby')}']").inner_text()
    assert box.evaluate(has_focus)
    box.press("Escape")
    assert not box.evaluate(has_focus)
    assert box.evaluate("box => document.activeElement === box.closest('.jp-Cell')")
    assert box.input_value() == text
    cell = page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert "TokenView" in cell.inner_text(), "the arrows go from cell to cell again"


def assert_no_scrollbar(view) -> None:
    sizes = """view => {
        const found = [];
        for (let node = view; node && !node.classList.contains("jp-Cell"); node = node.parentElement)
            if (getComputedStyle(node).overflowY !== "visible") found.push([node.scrollHeight, node.clientHeight]);
        return found;
    }"""
    found = view.evaluate(sizes)
    assert found, "something around the view could scroll"
    for content, room in found:
        assert content <= room, f"a scrollbar for nothing: {found}"


def test_pictures_without_a_kernel_and_a_widget_with_one(jupyterlab, page, tmp_path):
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append("a script ran"), dialog.dismiss()))
    open_notebook(page, jupyterlab.page_of("chapters/01_tokenizer.ipynb"))

    # Nothing has been run: the file itself holds the picture.
    cell = page.locator(".jp-CodeCell", has_text='TokenView(tokenizer, "The fox')
    cell.scroll_into_view_if_needed()
    kept = cell.locator(".jp-OutputArea-output")
    kept.locator("span", has_text="34").first.wait_for()
    assert "18 tokens, 18 characters, 18 bytes." in kept.inner_text()
    assert page.locator(".course-lab-tokens").count() == 0
    page.screenshot(path=tmp_path / "kept.png")

    # The answer to a guess is folded until its cell is run; JupyterLab shows the first line of what it folds.
    guess = page.locator(".jp-CodeCell", has_text='letters = sorted(set("banana"))')
    guess.scroll_into_view_if_needed()
    assert guess.locator(".jp-OutputPlaceholder").is_visible()
    assert "[1, 0, 2, 0, 2, 0]" not in guess.inner_text()

    run_cells_until(page, "Type these, and guess first.")
    view = page.locator(".course-lab-tokens")
    view.or_(page.locator(ERROR)).first.wait_for(timeout=120_000)
    assert_no_errors(page)
    guess.scroll_into_view_if_needed()
    assert "[1, 0, 2, 0, 2, 0]" in guess.inner_text(), "a run opens the answer"
    box, picture = view.locator("textarea"), view.locator(".course-lab-tokens-picture")
    assert box.input_value() == "The fox saw a bee."
    assert len(ids(picture)) == 18
    view.scroll_into_view_if_needed()
    assert_no_scrollbar(view)

    # Each key is answered, and none is taken for one of JupyterLab's own.
    n_cells = page.locator(".jp-Notebook .jp-Cell").count()
    box.fill("")
    wait_until(lambda: "0 tokens" in picture.inner_text(), "an empty picture")
    box.press_sequentially("bad\nx")
    wait_until(lambda: "5 tokens" in picture.inner_text(), "a picture of what was typed")
    assert ids(picture) == [28, 27, 30, 0, 50]
    assert picture.locator("br").count() == 1
    box.press("Shift+Enter")
    wait_until(lambda: "6 tokens" in picture.inner_text(), "a second line break")
    box.press("Backspace")
    wait_until(lambda: "5 tokens" in picture.inner_text(), "one line break less")
    page.wait_for_timeout(200)
    assert page.locator(".jp-Notebook .jp-Cell").count() == n_cells
    assert_keys_go_where_they_should(page, view, n_cells)
    colors = [b.evaluate("box => getComputedStyle(box).backgroundColor") for b in picture.locator(BOX).all()[:3]]
    assert colors[0] == colors[2] != colors[1]

    # What is unknown is told; what looks like HTML is text.
    box.fill("café")
    wait_until(lambda: "'é' (U+00E9" in picture.inner_text(), "the course's own error")
    wait_until(lambda: "'é' (U+00E9" in view.locator("[role=status]").inner_text(), "the same for those who listen")
    page.screenshot(path=tmp_path / "unknown.png")
    box.fill("<img src=x onerror=alert(1)>")
    wait_until(lambda: "'<' (U+003C" in picture.inner_text(), "an error about <")
    assert picture.locator("img").count() == 0

    run_cells_until(page, "Where several bytes make one character")
    by_bytes = page.locator(".course-lab-tokens").nth(1)
    by_bytes.or_(page.locator(ERROR)).first.wait_for(timeout=120_000)
    by_bytes.scroll_into_view_if_needed()
    box, picture = by_bytes.locator("textarea"), by_bytes.locator(".course-lab-tokens-picture")
    box.fill("<b onclick=alert(1)>日 & é</b> \U0001f98a")
    wait_until(lambda: "37 bytes" in picture.inner_text(), "a picture in bytes")
    assert picture.locator("b, [onclick]").count() == 0
    assert ids(picture)[20:23] == [230, 151, 165]
    assert_no_scrollbar(by_bytes)
    page.screenshot(path=tmp_path / "bytes.png")
    assert picture.evaluate(LEAST_CONTRAST) >= 4.5
    box.fill("日本é🦊")
    wait_until(lambda: "12 bytes" in picture.inner_text(), "characters of several bytes beside one another")
    under = [group.bounding_box() for group in picture.locator("span[style*='dotted']").all()]
    assert len(under) == 4
    assert all(b["x"] - (a["x"] + a["width"]) >= 4 for a, b in pairwise(under)), "their lines do not join"
    box.fill("Fox, лиса, 狐")
    wait_until(lambda: "18 bytes" in picture.inner_text(), "one-byte boxes beside others")
    found = [one.bounding_box() for one in picture.locator(BOX).all()]
    assert len({round(b["y"] + b["height"]) for b in found}) == 1, "all boxes of a line stand on one height"
    page.screenshot(path=tmp_path / "groups.png")
    switch_to_dark(page)
    by_bytes.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "dark.png")
    assert picture.evaluate(LEAST_CONTRAST) >= 4.5
    assert_no_errors(page)
    assert complaints == []
