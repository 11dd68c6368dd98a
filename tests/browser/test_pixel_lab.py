"""The lab on pictures in JupyterLab in a real Chromium: a class chosen, drawings that come while it trains, a stop."""

import pytest
from axe import faults
from jupyter_page import (
    Chart,
    assert_no_errors,
    move,
    open_notebook,
    press,
    run_cell,
    switch_to_dark,
    wait_until,
    write_notebook,
)

pytestmark = pytest.mark.browser

CELLS = (
    "from course_lib.notebook import setup\nsetup()",
    "from course_lib.lab import PixelLab\nlab = PixelLab('ghost', n_layer=1, n_embd=32, max_steps=400)\nlab",
    "run = lab.train(max_steps=3)",
)


@pytest.fixture
def lab(jupyterlab, page):
    write_notebook(jupyterlab.folder / "chapters" / "pixels.ipynb", *CELLS)
    open_notebook(page, jupyterlab.page_of("chapters/pixels.ipynb"))
    run_cell(page, CELLS[0][:30])
    run_cell(page, "PixelLab(")
    page.locator(".course-lab .course-lab-chart svg text").first.wait_for(timeout=90_000)
    yield page
    assert_no_errors(page)


def labels(page) -> list[str]:
    return page.locator(".course-lab .course-lab-drawings li b").all_inner_texts()


def test_a_class_is_chosen_drawings_come_while_it_trains_and_a_stop_leaves_the_last_ones(lab, tmp_path):
    page, chart = lab, Chart(lab.locator(".course-lab .course-lab-chart"))
    page.locator(".course-lab").evaluate("lab => lab.scrollIntoView()")
    readout = page.locator(".course-lab-readout")
    page.get_by_label("class", exact=True).select_option("heart")
    wait_until(lambda: "PixelLab('heart'" in readout.inner_text(), "the class in the words")
    for slider, key, words in (
        ("batch_size", "ArrowLeft", "batch_size=4"),
        ("dropout", "ArrowRight", "dropout=0.05"),
        ("max_lr", "ArrowLeft", "max_lr=0.01"),
    ):
        move(page, slider, key)
        wait_until(lambda words=words: words in readout.inner_text(), words)
    page.screenshot(path=tmp_path / "idle.png")

    press(page, "start")
    wait_until(lambda: "step 0" in labels(page), "drawings before training", 120)
    wait_until(lambda: "step 30" in labels(page), "drawings that come while it trains", 240)
    assert chart.state() == "training"
    assert len(chart.points()) > 5
    page.screenshot(path=tmp_path / "training.png")
    press(page, "stop")
    wait_until(lambda: chart.state() == "stopped", "the stop", 60)
    found = labels(page)
    assert found[:3] == ["step 0", "step 10", "step 30"]
    assert len(found) in (3, 4)
    pictures = page.locator(".course-lab .course-lab-drawings img")
    said = [picture.get_attribute("alt") for picture in pictures.all()]
    assert all("4 drawings of a heart, after step" in words for words in said)
    sizes = pictures.evaluate_all("all => all.map((one) => [one.naturalWidth, one.naturalHeight, one.width])")
    assert sizes == [[16, 67, 64]] * len(found)
    assert "run 1, heart" in page.locator(".course-lab-tray-frame li").inner_text()
    assert faults(page, ".course-lab-drawings") == []
    page.screenshot(path=tmp_path / "stopped.png")

    run_cell(page, "run = lab.train(")
    wait_until(lambda: page.locator(".course-lab-tray-frame li").count() == 2, "the run of the cell in the tray", 120)
    assert page.locator(".course-lab-drawings li b").last.inner_text() == "step 3"
    switch_to_dark(page)
    page.locator(".course-lab").evaluate("lab => lab.scrollIntoView()")
    page.wait_for_timeout(500)
    page.screenshot(path=tmp_path / "dark.png")
    assert faults(page, ".course-lab-drawings") == []
