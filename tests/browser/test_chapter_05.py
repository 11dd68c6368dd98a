"""Chapter 05 as a learner meets it: run from the top to its lab in a real Chromium, and press Start there."""

import pytest
from jupyter_page import ERROR, Chart, assert_no_errors, open_notebook, press, run_cells_until, wait_until

pytestmark = pytest.mark.browser


def test_from_the_top_to_the_lab_and_start(jupyterlab, page, tmp_path):
    open_notebook(page, jupyterlab.page_of("chapters/05_loop.ipynb"))
    run_cells_until(page, "run = lab.train(")
    lab = page.locator(".course-lab")
    lab.or_(page.locator(ERROR)).first.wait_for(timeout=180_000)
    assert_no_errors(page)
    lab.evaluate("lab => lab.scrollIntoView()")
    assert "course train " in page.locator(".course-lab-readout").inner_text()
    press(page, "start")
    chart = Chart(lab.locator(".course-lab-chart"))
    wait_until(lambda: len(chart.points()) > 20, "a curve")
    assert "ln " in chart.line_labels()
    page.screenshot(path=tmp_path / "running.png")
    press(page, "stop")
    assert wait_until(lambda: chart.state() == "stopped", "the stop") < 1
    assert page.locator(".course-lab-tray-frame li").count() == 1
    assert_no_errors(page)
