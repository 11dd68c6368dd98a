"""Chapter 09 as a learner meets it: its thinking drawn over a text, then the lab, whose model thinks less."""

import pytest
from jupyter_page import (
    ERROR,
    Chart,
    assert_no_errors,
    move,
    open_notebook,
    press,
    run_cell,
    run_cells_until,
    wait_until,
)

pytestmark = pytest.mark.browser


def test_from_the_top_to_the_lab_and_a_cell_that_trains(jupyterlab, page, tmp_path):
    open_notebook(page, jupyterlab.page_of("chapters/09_agiformer.ipynb"))
    run_cells_until(page, "run = lab.train(")
    lab = page.locator(".course-lab")
    lab.or_(page.locator(ERROR)).first.wait_for(timeout=240_000)
    assert_no_errors(page)
    lab.evaluate("lab => lab.scrollIntoView()")
    readout = page.locator(".course-lab-readout")
    assert "course train agiformer_cpu" in readout.inner_text()
    for slider, key, words in (
        ("block_size", "ArrowLeft", "--block-size 128"),
        ("dropout", "ArrowRight", "--dropout 0.05"),
        ("max_lr", "ArrowLeft", "--max-lr "),
    ):
        move(page, slider, key)
        wait_until(lambda words=words: words in readout.inner_text(), words)
    lab.locator(".course-lab-fold-button").click()
    move(page, "thinking_steps", "Home")
    wait_until(lambda: "--thinking-steps 0" in readout.inner_text(), "no thinking")

    press(page, "start")
    chart = Chart(lab.locator(".course-lab-chart"))
    wait_until(lambda: len(chart.points()) > 5, "a curve", 240)
    assert "ln 256 = 5.55" in chart.line_labels()
    page.screenshot(path=tmp_path / "running.png")
    press(page, "stop")
    wait_until(lambda: chart.state() == "stopped", "the stop")
    assert "thinking steps 0" in page.locator(".course-lab-tray-frame li").inner_text()

    run_cell(page, "run = lab.train(")
    page.locator(".jp-OutputArea-output", has_text="10 steps, and the loss has fallen").wait_for(timeout=240_000)
    assert page.locator(".course-lab-tray-frame li").count() == 2
    page.screenshot(path=tmp_path / "trained.png")
    assert_no_errors(page)
