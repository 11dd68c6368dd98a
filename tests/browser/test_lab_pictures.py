"""What a chart must not seem to say: of runs that ended early, of few validation losses, of leaps, of other units."""

import pytest
from jupyter_page import Chart, assert_no_errors, open_notebook, run_cell, switch_to_dark, wait_until, write_notebook

pytestmark = pytest.mark.browser

CELL = """\
import ipywidgets
from dataclasses import replace
from course_lib.lab.chart import LossChart
from course_lib.lab.curves import Curve
from course_lib.lab.sample import Sample
from course_lib.lab.sample_view import SampleBrowser
from course_lib.recipes import load_recipe
from course_lib.training import StepRecord
from course_lib.widgets.style import run_style

def steps(count, tokens, every, leap=None):
    return [
        StepRecord(i, 99.0 if i == leap else 4 * 0.99**i, 4 * 0.99**i if i % every == every - 1 else None, 0.02,
                   tokens * (i + 1), 0.1 * i, 40.0 if i == leap else 1.0, 0.0) for i in range(count)
    ]

train = load_recipe("tinytales_cpu").train
lines = {"floor for block_size 8 = 0.80": 0.8, "floor for block_size 64 = 0.31": 0.31}
curves = [
    Curve(steps(200, 32, 20), "run 1", run_style(0), (), train, 8, (0, 10, 30, 100, 200)),
    Curve(steps(66, 256, 20, leap=40), "run 2", run_style(1), (), train, 64, (0, 10, 30, 66)),
]
chart = LossChart(300, 53, lines, guessing=True)
chart.show(None, 300, lines, curves, planned=load_recipe("tinytales_cpu").replace(max_lr=0.01, max_steps=300).train)
chart.view = chart.view | {"norm": True}
samples = SampleBrowser(chart.model_id)
samples.show([Sample(step, f"written after {step} steps") for step in (0, 10, 30, 66)])
pixels = LossChart(300, 70, {}, unit="pixel")
kinds = [replace(curve, kind=kind) for curve, kind in zip(curves, ("ghost", "heart"))]
pixels.show(None, 300, {}, kinds)
ipywidgets.VBox([chart, samples, pixels])"""


def test_what_a_chart_must_not_seem_to_say(jupyterlab, page, tmp_path):
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    write_notebook(jupyterlab.folder / "chapters" / "pictures.ipynb", CELL)
    open_notebook(page, jupyterlab.page_of("chapters/pictures.ipynb"))
    run_cell(page, "import ipywidgets")
    frames = page.locator(".course-lab-chart")
    frame, pixels, sample = frames.first, frames.nth(1), page.locator(".course-lab-sample")
    frame.locator("path.sample-tick").first.wait_for(state="attached", timeout=90_000)
    frame.evaluate("frame => frame.scrollIntoView()")
    words = frame.locator(".course-lab-moment-words")

    # Behind the end of run 2 the moment is run 1's, and the newest sample stays; behind both there is none.
    box = frame.locator(".course-lab-moment").bounding_box()

    def point(step: float) -> None:
        page.mouse.move(box["x"] + box["width"] * step / 300, box["y"] + 100)

    point(20)
    wait_until(lambda: "after 10 steps" in sample.inner_text(), "the sample of that moment")
    assert "of run 2" in words.inner_text()
    point(150)
    wait_until(lambda: words.inner_text().startswith("Step 150 of run 1,"), "the run that came so far")
    assert "after 66 steps" in sample.inner_text()
    point(250)
    wait_until(lambda: words.inner_text() == "No run came so far", "no run")
    assert "after 66 steps" in sample.inner_text()
    page.mouse.move(5, 5)

    # Ten validation losses are joined by a line, three are not; both have their marks.
    assert frame.locator("polyline.validation").count() == 1
    assert frame.locator("path.dot").count() >= 6

    # Each block_size has its floor, whose words break where they belong; the plan is the next run's.
    texts = frame.locator("text.line-label").all_text_contents()
    assert "floor for" in texts
    assert [text.replace("\u00a0", " ") for text in texts if "64" in text] == ["block_size 64 = 0.31"]
    assert "next run: peak 0.01" in frame.locator("text.track-value").all_text_contents()
    unequal = frame.locator(".course-lab-unequal")
    assert "run 1: 32 (block_size 8); run 2: 256 (block_size 64)." in unequal.inner_text()

    # What leaves an axis is marked there, and samples stand under the axis, the one that is shown large.
    assert frame.locator("text.off-axis-words").all_text_contents() == ["up to 99.0"]
    assert frame.locator("path.norm-off").count() == 1
    rect = frame.locator("svg clipPath rect").first
    bottom = rect.evaluate("r => r.y.baseVal.value + r.height.baseVal.value")
    ticks = frame.locator("path.sample-tick")
    assert ticks.count() == 4
    assert all(f" {bottom + 1:g})" in tick.get_attribute("transform") for tick in ticks.all())
    assert frame.locator("path.sample-tick.shown").count() == 1
    assert "At the triangles under the curve" in sample.inner_text()
    assert sample.get_by_role("radio").all_inner_texts() == ["step 0", "step 10", "step 30", "step 66"]

    # Pixels are not tokens, and hearts are not ghosts.
    assert "loss (nats per pixel)" in pixels.locator("svg[role=img]").text_content()
    pixels.get_by_role("combobox", name="axis").select_option("pixels")
    wait_until(lambda: "pixels read" in pixels.locator("svg[role=img]").text_content(), "the axis")
    assert "token" not in pixels.inner_text()
    assert "learn different things (ghost, heart)" in pixels.locator(".course-lab-unequal").inner_text()
    frame.get_by_role("combobox", name="axis").select_option("seconds")
    wait_until(lambda: "seconds, scoring included" in frame.locator("svg[role=img]").text_content(), "seconds")
    frame.get_by_role("combobox", name="axis").select_option("steps")

    for scheme in ("light", "dark"):
        if scheme == "dark":
            switch_to_dark(page)
        for width in (1300, 700):
            page.set_viewport_size({"width": width, "height": 1100})
            page.wait_for_timeout(400)
            frame.evaluate("frame => frame.scrollIntoView()")
            page.screenshot(path=tmp_path / f"{scheme}-{width}.png")
            for one in (frame, pixels):
                Chart(one).assert_in_picture()
                Chart(one).assert_readable()
    assert_no_errors(page)
    assert complaints == []
