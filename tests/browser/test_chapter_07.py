"""Chapter 07 as a learner meets it: run from the top to its sampler in a real Chromium, and use every control."""

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
        words: against("svg.course-lab-bars text", "fill"), status: against(".course-lab-status", "color"),
        box: against("textarea", "color"), buttons: against("button", "color"), chips: against(".chip", "color"),
        bar: against("rect.left", "fill"), outline: against("rect.whole", "stroke"),
    """)


def assert_readable(frame) -> None:
    contrasts = frame.evaluate(INK)
    for part, ratio in contrasts.items():
        assert ratio >= (3 if part in ("bar", "outline") else 4.5), contrasts


def kept(frame) -> int:
    return int(re.match(r"(\d+) of", frame.locator(".course-lab-status").inner_text())[1])


def test_from_the_top_to_the_sampler_and_every_control(jupyterlab, page, tmp_path):
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, jupyterlab.page_of("chapters/07_sampling.ipynb"))
    run_cells_until(page, "def look(")
    frame = page.locator(".course-lab-next")
    frame.or_(page.locator(ERROR)).first.wait_for(timeout=240_000)
    assert_no_errors(page)
    frame.evaluate("frame => frame.scrollIntoView({block: 'center'})")
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=120_000)

    # All can be drawn; the likeliest stands first, and each bar says what it is.
    assert kept(frame) == 53
    assert frame.locator(".bar.kept").count() == 25
    assert frame.locator(".bar.cut").count() == 0
    heights = [float(bar.get_attribute("height")) for bar in frame.locator("rect.left").all()][:24]
    assert heights == sorted(heights, reverse=True)
    assert "the likeliest next characters are" in frame.locator(".course-lab-bars").get_attribute("aria-label")

    # The cuts: three by top_k; fewer bars by top_p; greedy leaves one.
    signs = frame.locator(".bar text.sign").all_text_contents()
    move(page, "top_k", "Home")
    wait_until(lambda: kept(frame) == 1, "top_k = 1")
    move(page, "top_k", "ArrowRight", times=2)
    wait_until(lambda: kept(frame) == 3, "top_k = 3")
    assert frame.locator(".bar.kept").count() == 3
    assert frame.locator(".bar.cut").count() == 22
    assert frame.locator("rect.whole[stroke-dasharray='3 2']").count() == 22, "cut bars differ by more than color"
    page.screenshot(path=tmp_path / "top_k.png")
    move(page, "top_k", "End")
    move(page, "top_p", "ArrowLeft", times=6)
    wait_until(lambda: 1 < kept(frame) < 15, "top_p")
    move(page, "temperature", "End")
    wait_until(lambda: kept(frame) > 20, "a flat distribution has a large nucleus")
    assert frame.locator(".bar text.sign").all_text_contents() == signs, "the order never changes"
    move(page, "temperature", "Home")
    wait_until(lambda: kept(frame) == 1, "greedy")
    assert "Entropy 0.00 nats" in frame.inner_text()
    move(page, "temperature", "ArrowRight", times=10)
    move(page, "top_p", "End")
    wait_until(lambda: kept(frame) == 53, "as it was")

    # Draws: by mouse and by keyboard; the drawn one is marked, the dart stands in its piece.
    box = frame.locator("textarea")
    begun = box.input_value()
    frame.get_by_role("button", name="Draw one").click()
    wait_until(lambda: len(box.input_value()) == len(begun) + 1, "one character more")
    wait_until(lambda: frame.locator(".chip.last").count() == 1, "its chip")
    drawn = frame.locator(".chip.last span").first.inner_text()
    assert {"␣": " ", "↵": "\n"}.get(drawn, drawn) == box.input_value()[-1]
    assert frame.locator(".piece.drawn").count() == 1
    assert "the dart fell at" in frame.locator(".course-lab-dart").get_attribute("aria-label")
    frame.get_by_role("button", name="Draw 40").focus()
    page.keyboard.press("Enter")
    wait_until(lambda: len(box.input_value()) == len(begun) + 41, "forty more")
    wait_until(lambda: frame.locator(".chip").count() == 40, "forty chips")
    page.screenshot(path=tmp_path / "light.png")
    assert_readable(frame)
    switch_to_dark(page)
    assert_readable(frame)
    page.screenshot(path=tmp_path / "dark.png")

    # What is typed counts at once, and JupyterLab's shortcuts do not see it.
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    box.fill("")
    wait_until(lambda: "Type at least one character" in frame.inner_text(), "a word on the empty text")
    box.press_sequentially("Soon a curious crowdd")
    box.press("Backspace")
    box.press("Backspace")
    picture = frame.locator(".course-lab-bars")
    wait_until(lambda: "'Soon a curious crow'" in picture.get_attribute("aria-label"), "the bars")
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    assert frame.locator(".chip").count() == 0
    box.fill("<b>")
    wait_until(lambda: not frame.locator(".bar").count(), "a text that the tokenizer does not know")
    assert frame.locator("b").count() == 0
    frame.get_by_role("button", name="Start over").click()
    wait_until(lambda: box.input_value() == begun, "the text as it was")

    # A sure place: all can be drawn, so no bar is called cut, however small; and old draws are marked as earlier.
    box.fill("Once there was a k")
    wait_until(lambda: "'Once there was a k'" in picture.get_attribute("aria-label"), "the sure place")
    assert kept(frame) == 53
    assert frame.locator(".bar.cut").count() == 0
    assert frame.get_by_text("cut", exact=True).count() == 0
    frame.get_by_role("button", name="Draw one").click()
    dart = frame.locator(".course-lab-dart")
    wait_until(lambda: "The last draw" in (dart.get_attribute("aria-label") or ""), "a draw")
    move(page, "top_k", "ArrowLeft")
    wait_until(lambda: "An earlier draw" in dart.get_attribute("aria-label"), "marked as earlier")
    page.screenshot(path=tmp_path / "earlier.png")
    move(page, "top_k", "ArrowRight")

    # Another model: untrained, all are alike. And nothing sticks out where the page is narrow.
    page.locator(".course-lab-model select").select_option("untrained")
    wait_until(lambda: "among 53.0 equally likely" in frame.inner_text(), "knowing nothing")
    page.set_viewport_size({"width": 900, "height": 1000})
    page.wait_for_timeout(300)
    assert frame.evaluate("frame => frame.querySelector('svg').clientWidth <= frame.clientWidth + 1")
    page.screenshot(path=tmp_path / "narrow.png")
    assert_no_errors(page)
    assert complaints == []
