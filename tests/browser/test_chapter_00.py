"""Chapter 00 as a learner meets it: run from the top to its lab in a real Chromium, and use every control."""

import re

import pytest
from jupyter_page import (
    ERROR,
    assert_no_errors,
    contrasts,
    move,
    open_notebook,
    press,
    run_cells_until,
    switch_to_dark,
    wait_until,
)

pytestmark = pytest.mark.browser

INK = contrasts("""
        words: against("svg.course-lab-bars text", "fill"), axis: against("svg.course-lab-curve text", "fill"),
        status: against(".course-lab-status", "color"), writes: against(".course-lab-writes", "color"),
        bar: against("rect.guess", "fill"), truth: against("line.truth", "stroke"), curve: against(".curve", "stroke"),
    """)


def assert_readable(frame) -> None:
    contrasts = frame.evaluate(INK)
    for part, ratio in contrasts.items():
        assert ratio >= (3 if part in ("bar", "truth", "curve") else 4.5), contrasts


def steps(frame) -> int:
    found = re.search(r"Step (\d+) of", frame.locator(".course-lab-status").inner_text())
    return int(found[1]) if found else 0


def guesses(frame) -> list[float]:
    return [float(bar.get_attribute("height")) for bar in frame.locator("rect.guess").all()]


def test_from_the_top_to_the_lab_and_every_control(jupyterlab, page, tmp_path):
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, jupyterlab.page_of("chapters/00_what_is_training.ipynb"))
    folded = page.locator(".jp-CodeCell", has_text="def bar(p):")
    folded.scroll_into_view_if_needed()
    outputs = folded.locator(".jp-OutputArea-output").filter(visible=True)
    assert outputs.count() == 0, "the stored answer to a guess is folded"
    run_cells_until(page, "begin = time.process_time()")
    frame = page.locator(".course-lab-name-view")
    frame.or_(page.locator(ERROR)).first.wait_for(timeout=240_000)
    assert_no_errors(page)
    frame.evaluate("frame => frame.scrollIntoView({block: 'center'})")
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=240_000)

    # The drawings are pictures; and one's own answer is in sight.
    assert page.locator("img[src^='data:image/svg+xml']").count() >= 2
    assert outputs.count() == 1

    # Untrained: 27 bars, all about alike; another letter at once.
    assert frame.locator("rect.guess").count() == frame.locator("line.truth").count() == 27
    assert max(guesses(frame)) < 2 * min(guesses(frame))
    assert "Untrained" in frame.inner_text()
    letter = page.locator(".course-lab-after select")
    letter.select_option("m, the first letter")
    wait_until(lambda: "'m'" in frame.locator(".course-lab-bars").text_content(), "what follows m")

    # One step by the keyboard, and then it waits; more steps; the sliders are fixed as long as it goes on.
    page.locator("button.course-lab-step").focus()
    page.keyboard.press("Enter")
    wait_until(lambda: steps(frame) == 1, "one step")
    assert "Paused" in frame.inner_text()
    assert page.locator(".course-lab-lr [disabled]").count() > 0
    before = guesses(frame)
    press(page, "pause")
    wait_until(lambda: steps(frame) > 3, "it goes on")
    wait_until(lambda: guesses(frame) != before, "the bars move")
    press(page, "pause")
    wait_until(lambda: "Paused" in frame.inner_text(), "a pause")
    stood = steps(frame)
    page.wait_for_timeout(500)
    assert steps(frame) == stood
    letter.select_option("nothing yet: the first letter")
    wait_until(lambda: "How a name begins" in frame.locator(".course-lab-bars").text_content(), "while it pauses")
    page.screenshot(path=tmp_path / "paused.png")
    press(page, "stop")
    wait_until(lambda: "Stopped" in frame.inner_text(), "a stop")

    # A whole short run with other settings.
    move(page, "steps", "Home")
    move(page, "seed", "Home")
    letter.select_option("e, the first letter")
    press(page, "start")
    wait_until(lambda: "Finished" in frame.inner_text(), "the end", seconds=120)
    assert steps(frame) == 50
    assert max(guesses(frame)) > 2 * min(guesses(frame))
    assert len(frame.locator("polyline.curve").get_attribute("points").split()) == 50
    assert "the model's likeliest" in frame.locator(".course-lab-bars").get_attribute("aria-label").lower()
    assert frame.locator(".course-lab-writes").inner_text().startswith("It writes now: ")
    page.screenshot(path=tmp_path / "light.png")
    assert_readable(frame)
    switch_to_dark(page)
    assert_readable(frame)
    page.screenshot(path=tmp_path / "dark.png")

    # A wild learning rate breaks nothing, and nothing sticks out where the page is narrow.
    move(page, "lr", "End")
    press(page, "start")
    wait_until(lambda: "Finished" not in frame.inner_text(), "its beginning")
    wait_until(lambda: "Finished" in frame.inner_text(), "its end", seconds=120)
    assert steps(frame) == 50
    page.set_viewport_size({"width": 900, "height": 1000})
    page.wait_for_timeout(300)
    assert frame.evaluate(
        "frame => [...frame.querySelectorAll('svg')].every(s => s.clientWidth <= frame.clientWidth + 1)"
    )
    words = """frame => {
        const box = frame.querySelector("svg").getBoundingClientRect();
        return [...frame.querySelectorAll("svg.course-lab-bars text")].filter((node) => {
            const b = node.getBoundingClientRect();
            return b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1;
        }).map((node) => node.textContent);
    }"""
    assert frame.evaluate(words) == [], "every word of the bars lies in the picture"
    page.screenshot(path=tmp_path / "narrow.png")
    assert_no_errors(page)
    assert complaints == []
