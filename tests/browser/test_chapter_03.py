"""Chapter 03 as a learner meets it: run from the top to its heads in a real Chromium, and look from several tokens."""

import re

import pytest
from jupyter_page import CONTRAST, ERROR, assert_no_errors, open_notebook, run_cells_until, switch_to_dark, wait_until

pytestmark = pytest.mark.browser

# The contrast (WCAG 2.1) of words with the page behind them; the bars end below the numbers.
INK = (
    """
frame => {
"""
    + CONTRAST
    + """\
    const least = (selector) => Math.min(...[...frame.querySelectorAll(selector)].map(contrast));
    return {
        numbers: least(".course-lab-weight"),
        tokens: least(".course-lab-token"), heads: least(".course-lab-head"),
        words: least(".course-lab-told, .course-lab-status, .course-lab-expected th, textarea, label, caption"),
    };
}
"""
)


# How far each number that is seen stands above its bar, in pixels; it has no box of its own.
ABOVE = """
frame => [...frame.querySelectorAll(".course-lab-weight span")].filter((n) => n.offsetWidth > 1).map((n) => {
    const bar = parseFloat(n.parentElement.style.background.match(/([\\d.]+)px/)[1]);
    const box = getComputedStyle(n).backgroundColor;
    const none = box === "transparent" || box === "rgba(0, 0, 0, 0)";
    return none ? n.parentElement.getBoundingClientRect().bottom - bar - n.getBoundingClientRect().bottom : -99;
})
"""


def assert_readable(frame) -> None:
    contrasts = frame.evaluate(INK)
    assert min(contrasts.values()) >= 4.5, contrasts
    above = frame.evaluate(ABOVE)
    assert above, "some numbers are seen"
    assert min(above) >= -1, above


def test_from_the_top_to_the_heads(jupyterlab, page, tmp_path):
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append("a script ran"), dialog.dismiss()))
    open_notebook(page, jupyterlab.page_of("chapters/03_model.ipynb"))
    run_cells_until(page, "Switch to before training")
    frame = page.locator(".course-lab-heads")
    frame.or_(page.locator(ERROR)).first.wait_for(timeout=180_000)
    assert_no_errors(page)
    frame.scroll_into_view_if_needed()
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for()

    box, tokens = frame.locator("textarea"), frame.locator(".course-lab-token")
    heads, status = frame.locator(".course-lab-head"), frame.locator("[role=status]")
    n_cells = page.locator(".jp-Notebook .jp-Cell").count()

    def row(name: str) -> list[int]:
        line = frame.locator("tr", has=page.locator(".course-lab-head", has_text=re.compile(f"^{name}$")))
        return [int(text) for text in line.locator(".course-lab-weight").all_text_contents()]

    def chosen() -> str:
        return frame.locator(".course-lab-token[aria-pressed=true]").get_attribute("aria-label")

    def likeliest() -> str:
        return frame.locator(".course-lab-expected th").first.inner_text().removeprefix("▸ ")

    # Eight heads; the last token looks; after training its he is becoming her, for a girl.
    assert (heads.count(), tokens.count()) == (8, 23)
    assert chosen() == "token 22: e"
    assert likeliest() == "r"
    looked = row("layer 1, head 2")
    assert looked.index(max(looked)) == "a gentle girl".index("i")
    assert max(looked) > 40
    frame.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "light.png")
    assert_readable(frame)

    # The second thing to try: for a boy another character is expected.
    box.fill("a gentle boy, Adam.\nHe")
    wait_until(lambda: "22" not in chosen(), "the boy's text")
    assert likeliest() == "␣"

    # Before training the last of t + 1 tokens gives about 1 / (t + 1) to each.
    frame.get_by_label("before training").check()
    wait_until(lambda: status.inner_text().startswith("Before training"), "the untrained model")
    for name in ("layer 0, head 0", "layer 1, head 3"):
        assert all(abs(share - 100 / 22) < 3 for share in row(name))
    frame.get_by_label("after training").check()
    wait_until(lambda: status.inner_text().startswith("After training"), "the trained model")

    # The third: from the u, the q.
    box.fill("one of a qu")
    wait_until(lambda: tokens.count() == 11, "another text")
    for head in range(4):
        looked = row(f"layer 0, head {head}")
        assert looked.index(max(looked)) == 9

    # A token is chosen with the mouse, and with the arrow keys; the future is not seen.
    tokens.nth(4).click()
    wait_until(lambda: chosen().startswith("token 4:"), "token 4")
    assert len(row("layer 0, head 0")) == 5
    assert frame.locator("tbody tr").first.locator("td", has_text="masked").count() == 6
    assert "The text goes on with" in status.inner_text()
    for key, place in (("ArrowRight", 5), ("ArrowLeft", 4), ("Home", 0), ("ArrowLeft", 0), ("End", 10)):
        page.keyboard.press(key)
        wait_until(lambda place=place: chosen().startswith(f"token {place}:"), f"{key} to token {place}")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == chosen()
    assert row("layer 0, head 0") != []
    assert [heads.nth(i).get_attribute("tabindex") for i in range(3)] == ["0", "-1", "-1"], "one stop of the Tab key"
    heads.first.focus()
    for key in ("ArrowUp", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    assert heads.nth(3).evaluate("head => head === document.activeElement && head.tabIndex === 0")
    told = frame.locator(".course-lab-told")
    assert told.inner_text().startswith("layer 0, head 3, % of the attention: “q” (token 9)")
    frame.locator(".course-lab-weight").nth(2).hover()
    assert re.match(r"layer 0, head 0: \S+% of the attention at token 2", told.inner_text())

    # What is unknown gets the tokenizer's own words; what looks like HTML is text; no key is JupyterLab's.
    box.fill("café")
    wait_until(lambda: "'é' (U+00E9" in status.inner_text(), "the tokenizer's own error")
    assert tokens.count() == 0
    page.screenshot(path=tmp_path / "unknown.png")
    box.fill("")
    wait_until(lambda: "Type a text" in status.inner_text(), "an empty text")
    box.press_sequentially("bad a\nx")
    box.press("Shift+Enter")
    wait_until(lambda: tokens.count() == 8, "eight tokens")
    assert page.locator(".jp-Notebook .jp-Cell").count() == n_cells
    box.fill("Once there was a gentle girl, Ella. She was sad.")
    wait_until(lambda: "left out: the model sees 32 at most" in status.inner_text(), "a long text")
    assert tokens.count() == 32

    # By night, and where the page is narrow: nothing sticks out.
    tokens.nth(20).click()
    wait_until(lambda: chosen().startswith("token 20"), "token 20")
    switch_to_dark(page)
    frame.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "dark.png")
    assert_readable(frame)
    page.set_viewport_size({"width": 900, "height": 1000})
    page.wait_for_timeout(300)
    assert frame.evaluate("frame => frame.scrollWidth <= frame.clientWidth + 1")
    page.set_viewport_size({"width": 620, "height": 1000})
    page.wait_for_timeout(300)
    tokens.nth(20).focus()
    page.keyboard.press("End")
    wait_until(lambda: chosen().startswith("token 31"), "token 31")
    inside = "token => token.getBoundingClientRect().right <= token.closest('div').getBoundingClientRect().right + 1"
    assert frame.locator(".course-lab-token[aria-pressed=true]").evaluate(inside)
    page.screenshot(path=tmp_path / "narrow.png")
    assert_no_errors(page)
    assert complaints == []
