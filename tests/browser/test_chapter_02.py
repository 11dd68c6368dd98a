"""Chapter 02 as a learner meets it: run from the top to its windows in a real Chromium, and move its sliders."""

import re

import pytest
from jupyter_page import (
    ERROR,
    assert_no_errors,
    contrasts,
    move,
    open_notebook,
    run_cells_until,
    switch_to_dark,
    wait_until,
)

pytestmark = pytest.mark.browser

INK = contrasts("""
        words: against("svg text", "fill"), status: against(".course-lab-status", "color"),
        letters: against(".course-lab-letters td", "color"), rows: against(".course-lab-rows button", "color"),
        mark: against(".mark path", "fill"), chosen: against(".mark.chosen path", "fill"),
    """)
IN_VIEW = """
frame => {
    const rows = frame.querySelector(".course-lab-rows").getBoundingClientRect();
    const line = frame.querySelector("button[aria-pressed=true]").getBoundingClientRect();
    return rows.top - 1 <= line.top && line.bottom <= rows.bottom + 1;
}
"""


OVERLAPS = """
svg => {
    const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    const apart = (a, b) => a.right + 2 <= b.left || b.right + 2 <= a.left || a.bottom <= b.top || b.bottom <= a.top;
    const pairs = texts.flatMap((one, i) => texts.slice(i + 1).map((other) => [one, other]));
    return pairs.filter(([[, a], [, b]]) => !apart(a, b)).map(([[a], [b]]) => `${a} / ${b}`);
}
"""


def assert_readable(frame) -> None:
    contrasts = frame.evaluate(INK)
    for part, ratio in contrasts.items():
        assert ratio >= (3 if part in ("mark", "chosen") else 4.5), contrasts


def wait_for_window(frame, number: int) -> None:
    wait_until(lambda: frame.locator("svg text.name").text_content() == f"window {number}", f"window {number}")


def row(frame, name: str) -> str:
    """The letters of x or of y, as they stand in the table."""
    line = frame.locator("tr", has=frame.page.locator("th", has_text=re.compile(f"^{name},")))
    return "".join(line.locator("td").all_text_contents())


def test_from_the_top_to_the_windows_and_every_slider(jupyterlab, page, tmp_path):
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, jupyterlab.page_of("chapters/02_batcher.ipynb"))
    run_cells_until(page, "Randomness that can be repeated")
    frame = page.locator(".course-lab-strip")
    frame.or_(page.locator(ERROR)).first.wait_for(timeout=120_000)
    assert_no_errors(page)
    frame.evaluate("frame => frame.scrollIntoView({block: 'center'})")
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for()

    # Eight windows, one of them chosen; y is x moved by one.
    assert frame.locator(".mark").count() == frame.locator(".course-lab-rows button").count() == 8
    x, y = row(frame, "x"), row(frame, "y")
    assert len(x) == 16
    assert x[1:] == y[:-1]
    page.screenshot(path=tmp_path / "light.png")

    # Another step, other windows; none stands over the validation part.
    before = frame.locator(".course-lab-rows").inner_text()
    move(page, "step", "ArrowRight", times=3)
    wait_until(lambda: "Step 3 reads 8 windows of 16: 128" in frame.inner_text(), "step 3")
    assert frame.locator(".course-lab-rows").inner_text() != before
    val = float(frame.locator("rect.val").get_attribute("x"))
    for path in frame.locator(".mark path").all():
        box = path.get_attribute("d")
        assert float(re.search(r"L([\d.]+)", box)[1]) < val

    # More windows, and longer ones.
    move(page, "batch_size", "ArrowRight")
    wait_until(lambda: frame.locator(".mark").count() == 12, "twelve windows")
    move(page, "block_size", "ArrowRight", times=2)
    wait_until(lambda: "12 windows of 64: 768 examples" in frame.inner_text(), "longer windows")
    assert "…" in row(frame, "x")

    # After many steps much has been read, and the strip says how much of each part.
    before = frame.locator("rect.read").count()
    page.locator(".course-lab-step input[type=range]").press("End")
    wait_until(lambda: "Step 999" in frame.inner_text(), "the last step")
    assert before < frame.locator("rect.read").count() == 150
    page.screenshot(path=tmp_path / "read.png")

    # A window is chosen by its line, with the mouse or with the keyboard, and by its triangle.
    frame.locator(".course-lab-rows button").nth(4).click()
    wait_until(lambda: frame.locator(".mark.chosen title").text_content().startswith("window 4,"), "window 4")
    frame.locator(".course-lab-rows button").nth(5).focus()
    page.keyboard.press("Enter")
    wait_until(lambda: frame.locator("svg text.name").text_content() == "window 5", "window 5")
    assert frame.locator("button[aria-pressed=true]").inner_text().strip().startswith("▸  5")

    # The arrows stay in the list: they move from line to line, and no further than its ends.
    active = page.locator(".jp-Cell.jp-mod-active .jp-InputArea")
    cell = active.inner_text()
    for key, window in (("ArrowDown", 6), ("ArrowDown", 7), ("ArrowUp", 6)):
        page.keyboard.press(key)
        wait_for_window(frame, window)
        assert frame.evaluate("frame => document.activeElement.getAttribute('aria-pressed')") == "true"
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    wait_for_window(frame, 11)
    assert frame.evaluate("frame => document.activeElement.textContent").startswith("▸ 11")
    assert active.inner_text() == cell

    # A triangle brings its line into view, in the list alone.
    at = frame.evaluate("frame => frame.getBoundingClientRect().top")
    for window in (10, 1, 2):
        mark = frame.locator(".mark", has=page.locator("title", has_text=re.compile(f"^window {window},")))
        mark.dispatch_event("click")
        wait_for_window(frame, window)
        assert frame.evaluate(IN_VIEW), window
    assert frame.evaluate("frame => frame.getBoundingClientRect().top") == at
    wait_until(lambda: frame.locator("svg text.name").text_content() == "window 2", "window 2")
    assert "Window 2 starts at" in frame.locator("svg[role=img]").get_attribute("aria-label")

    # One window leaves no blank under its line.
    page.locator(".course-lab-batch_size input[type=range]").press("Home")
    wait_until(lambda: frame.locator(".course-lab-rows button").count() < 5, "few windows")
    n_rows = frame.locator(".course-lab-rows button").count()
    assert frame.evaluate("frame => frame.querySelector('.course-lab-rows').clientHeight") < 30 * n_rows
    page.locator(".course-lab-batch_size input[type=range]").press("End")
    wait_until(lambda: frame.locator(".course-lab-rows button").count() > 12, "many windows")

    # Readable by day and by night, and nothing sticks out where the page is narrow.
    assert_readable(frame)
    switch_to_dark(page)
    assert_readable(frame)
    page.screenshot(path=tmp_path / "dark.png")
    page.set_viewport_size({"width": 900, "height": 1000})
    page.wait_for_timeout(300)
    assert frame.evaluate("frame => frame.querySelector('svg').clientWidth <= frame.clientWidth + 1")
    page.screenshot(path=tmp_path / "narrow.png")
    for width in (1500, 1250, 1100, 1000, 900, 800):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(200)
        assert frame.locator("svg").evaluate(OVERLAPS) == [], width
    assert_no_errors(page)
    assert complaints == []
