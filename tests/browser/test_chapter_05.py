"""Chapter 05 as a learner meets it: JupyterLab in a real Chromium, sliders moved, a run watched and stopped."""

import re
import time

import pytest

pytestmark = pytest.mark.browser

# The lightness of what a chart draws, against the page behind it (WCAG 2.1: relative luminance, contrast ratio).
CONTRASTS = """
(chart) => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => {
        const [r, g, b] = channels(color).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = chart;
    while (["rgba(0, 0, 0, 0)", "transparent"].includes(getComputedStyle(behind).backgroundColor)) {
        behind = behind.parentElement;
    }
    const page = luminance(getComputedStyle(behind).backgroundColor);
    const against = (selector, property) => {
        const ink = luminance(getComputedStyle(chart.querySelector(selector))[property]);
        return (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05);
    };
    return {
        text: against("svg text", "fill"), status: against(".course-lab-status", "color"),
        reference: against(".reference", "stroke"), curve: against(".curve", "stroke"), dot: against(".dot", "fill"),
    };
}
"""


ERROR = ", ".join(f"[data-mime-type='application/vnd.jupyter.{kind}']" for kind in ("error", "stderr"))


def open_chapter(page, url: str) -> None:
    """Open a notebook and wait until its kernel answers."""
    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-MarkdownCell")
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for()


def run_cells_until(page, source: str) -> None:
    """Shift + Enter from the top, as a learner does, until the cell that holds ``source`` is the next one."""
    page.locator(".jp-Notebook .jp-MarkdownCell").first.click()
    active = page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
    for _ in range(60):
        if source in active.inner_text():
            return
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(50)
    pytest.fail(f"no cell holds {source!r}")


def move(page, slider: str, key: str, times: int = 1) -> None:
    handle = page.locator(f".course-lab-{slider} .noUi-handle")
    handle.focus()
    for _ in range(times):
        handle.press(key)


def points(page) -> list[tuple[float, float]]:
    """The corners of the curve in the newest chart, in pixels of the picture."""
    chart = page.locator(".course-lab-chart").last
    text = chart.locator("polyline.curve").get_attribute("points")
    return [tuple(float(number) for number in pair.split(",")) for pair in text.split()]


def status(page) -> str:
    return page.locator(".course-lab-chart .course-lab-status").last.inner_text()


def watch_until(page, ending: str, seconds: float = 90) -> list[int]:
    """How many points the newest curve had, each time it changed, until its status starts with ``ending``."""
    lengths = [len(points(page))]
    end = time.monotonic() + seconds
    while not status(page).startswith(ending):
        assert time.monotonic() < end, f"after {seconds} s it says: {status(page)}"
        page.wait_for_timeout(50)
        if len(points(page)) != lengths[-1]:
            lengths.append(len(points(page)))
    return lengths


def switch_to_dark(page) -> None:
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Theme")).hover()
    page.locator(".lm-Menu-item", has_text=re.compile("^JupyterLab Dark$")).click()
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    page.wait_for_timeout(500)


def assert_readable(page) -> None:
    contrasts = page.locator(".course-lab-chart").last.evaluate(CONTRASTS)
    for part, ratio in contrasts.items():
        assert ratio >= (4.5 if part in ("text", "status") else 3), contrasts


def assert_no_errors(page) -> None:
    shown = page.locator(ERROR)
    assert shown.count() == 0, "\n".join(shown.all_text_contents())


def test_move_the_sliders_train_and_stop(jupyterlab, page, tmp_path):
    open_chapter(page, jupyterlab.page_of("chapters/05_loop.ipynb"))
    run_cells_until(page, "run = lab.train()")
    readout = page.locator(".course-lab-readout")
    readout.or_(page.locator(ERROR)).first.wait_for(timeout=60_000)
    assert_no_errors(page)
    assert "12 × 64 = 768 tokens" in readout.inner_text()
    assert readout.inner_text().endswith("course train numbers_cpu")
    assert_no_errors(page)

    # The sliders are in the page; what stands under them comes from the kernel.
    move(page, "block_size", "ArrowLeft")
    move(page, "dropout", "ArrowRight", times=2)
    move(page, "max_lr", "ArrowLeft")
    command = "course train numbers_cpu --block-size 32 --dropout 0.1 --max-lr 0.01"
    page.wait_for_function(
        "words => document.querySelector('.course-lab-readout').innerText.endsWith(words)", arg=command
    )
    assert "12 × 32 = 384 tokens" in readout.inner_text()
    page.screenshot(path=tmp_path / "sliders.png")

    # Train. The cell is busy; the curve grows in small steps all the while.
    cell = page.locator(".jp-Notebook .jp-CodeCell", has_text="run = lab.train()")
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.locator(".course-lab-chart").wait_for()
    lengths = watch_until(page, "step 300 of 300")
    assert lengths == sorted(lengths)
    assert len(lengths) >= 4, lengths
    corners = points(page)
    assert len(corners) == 300
    picture = page.locator(".course-lab-chart svg").bounding_box()
    assert all(0 < x < picture["width"] and 0 < y < picture["height"] for x, y in corners)
    xs, ys = zip(*corners, strict=True)
    assert list(xs) == sorted(set(xs))
    assert max(ys) - min(ys) > 100, "a curve that falls: down is the larger y"
    assert sum(ys[-20:]) / 20 > ys[0] + 100
    assert page.locator(".course-lab-chart circle.dot").count() == 3
    assert "ln 24 = 3.18" in page.locator(".course-lab-chart svg").text_content()
    alt = page.locator(".course-lab-chart svg[role=img]").get_attribute("aria-label")
    assert re.search(r"Training loss goes from 3\.2 to 0\.\d in 300 steps; validation loss ends at 0\.\d", alt)
    assert_no_errors(page)

    # Readable by day and by night, and the next cell knows what was trained.
    assert_readable(page)
    page.screenshot(path=tmp_path / "light.png")
    page.keyboard.press("Shift+Enter")
    page.locator(".jp-OutputArea-output", has_text=f"in a terminal: {command}").wait_for()
    switch_to_dark(page)
    assert_readable(page)
    page.locator(".course-lab-chart").scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "dark.png")

    # The stop button ends a run early, and the cell ends well.
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    end = time.monotonic() + 30
    while not re.match(r"step (?!0 |300 )", status(page)):
        assert time.monotonic() < end, status(page)
        page.wait_for_timeout(50)
    page.locator("[data-command='notebook:interrupt-kernel'], jp-button[title*='Interrupt']").first.click()
    page.locator(".jp-OutputArea-output", has_text="What was learned is kept").wait_for()
    stopped = int(re.search(r"^step (\d+) of 300", status(page))[1])
    assert 0 < stopped < 300
    assert len(points(page)) == stopped
    assert_no_errors(page)
    page.screenshot(path=tmp_path / "stopped.png")
