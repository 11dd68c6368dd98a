"""The lab in JupyterLab in a real Chromium: every slider moved, runs started, paused, stopped and compared."""

import itertools
import re
import time

import pytest
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

RECIPE = "tinytales_cpu"
CELLS = (
    "from course_lib.notebook import setup\nsetup()",
    f"from course_lib.lab import Lab\nfrom course_lib.recipes import load_recipe\n"
    f"lab = Lab(load_recipe({RECIPE!r}).replace(max_steps=400, eval_every=20, eval_batches=2))\nlab",
    "run = lab.train()",
    "print('known:', [run.number for run in lab.runs])",
)
# Slider: the key to press, and what the command line then says.
MOVES = {
    "block_size": ("ArrowLeft", "--block-size 32"),
    "dropout": ("ArrowRight", "--dropout 0.05"),
    "max_lr": ("ArrowLeft", "--max-lr 0.01"),
    "n_layer": ("ArrowLeft", "--n-layer 1"),
    "n_embd": ("ArrowLeft", "--n-embd 96"),
    "batch_size": ("ArrowLeft", "--batch-size 16"),
    "max_steps": ("ArrowRight", "--max-steps 500"),
}


@pytest.fixture
def lab(jupyterlab, page):
    """The page, with the lab of the tiny notebook on it."""
    write_notebook(jupyterlab.folder / "chapters" / "lab.ipynb", *CELLS)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, jupyterlab.page_of("chapters/lab.ipynb"))
    run_cell(page, CELLS[0][:30])
    run_cell(page, "load_recipe")
    page.locator(".course-lab .course-lab-chart svg text").first.wait_for(timeout=90_000)
    yield page
    assert_no_errors(page)
    assert [text for text in complaints if "course-lab" in text or "anywidget" in text] == []


def readout(page) -> str:
    return page.locator(".course-lab-readout").inner_text()


def test_every_slider_moves_the_run_to_come(lab):
    chart = Chart(lab.locator(".course-lab .course-lab-chart"))
    assert re.search("Forecast: about .* on this machine, about .* of memory", readout(lab))
    assert "floor for block_size 64" in chart.line_labels()
    heights = chart.line_heights()
    assert len(heights) == 3
    lab.locator(".course-lab-fold-button").click()
    for slider, (key, words) in MOVES.items():
        assert words not in readout(lab)
        move(lab, slider, key)
        wait_until(lambda words=words: words in readout(lab), words)
    wait_until(lambda: "floor for block_size 32" in chart.line_labels(), "the floor of the new block_size")
    moved = chart.line_heights()
    assert (moved[0], moved[2]) == (heights[0], heights[2]), "ln V and the entropy rate stay"
    assert moved[1] < heights[1] - 3, "with less to see the floor is higher, which is the smaller y"
    for slider, (key, words) in MOVES.items():
        move(lab, slider, "ArrowRight" if key == "ArrowLeft" else "ArrowLeft")
        wait_until(lambda words=words: words not in readout(lab), f"no {words}")
    wait_until(lambda: chart.line_heights() == heights, "the floor as it was")


def test_start_pause_step_move_the_rate_stop_and_lay_two_runs_over_one_another(lab, tmp_path):
    page, chart = lab, Chart(lab.locator(".course-lab .course-lab-chart"))
    page.locator(".course-lab").evaluate("lab => lab.scrollIntoView()")
    height = page.locator(".course-lab").bounding_box()["height"]
    page.screenshot(path=tmp_path / "idle.png")

    # Start. The curve grows in small steps, the picture keeps its size, and something is written.
    press(page, "start")
    wait_until(lambda: chart.state() == "training", "training")
    lengths, chart_heights = [0], set()
    end = time.monotonic() + 60
    while len(lengths) < 6 and time.monotonic() < end:
        if len(chart.points()) != lengths[-1]:
            lengths.append(len(chart.points()))
            chart_heights.add(chart.frame.bounding_box()["height"])
    assert lengths == sorted(lengths)
    assert max(b - a for a, b in itertools.pairwise(lengths)) < 60, lengths
    assert len(chart_heights) == 1
    assert page.locator(".course-lab").bounding_box()["height"] == pytest.approx(height, abs=30)
    sample = page.locator(".course-lab .course-lab-sample")
    wait_until(lambda: len(sample.locator(".course-lab-text").inner_text()) > 10, "a sample")
    wait_until(lambda: re.search(r"after \d+ step", sample.inner_text()), "a sample by a model that has learned")

    # Pause: nothing moves. Step: one step. Resume: it goes on.
    press(page, "pause")
    assert wait_until(lambda: chart.state() == "paused", "a pause") < 1
    steps = chart.steps()
    page.wait_for_timeout(700)
    assert chart.steps() == steps
    press(page, "step")
    wait_until(lambda: chart.steps() == steps + 1 and chart.state() == "paused", "one step")
    page.screenshot(path=tmp_path / "paused.png")
    assert page.locator("button.course-lab-pause").inner_text().strip() == "Resume"
    press(page, "pause")
    wait_until(lambda: chart.steps() > steps + 3, "more steps")

    # The learning rate moves while it trains, and the chart and the words say so.
    move(page, "max_lr", "ArrowLeft", times=2)
    wait_until(lambda: "settings moved on the way" in chart.status(), "the new rate")
    wait_until(lambda: "peak 0.005" in chart.frame.locator("g.note").last.text_content(), "its mark")
    assert "the other settings are for the next run" in readout(page)
    wait_until(lambda: chart.frame.locator(".dot").count() >= 1, "an evaluation")
    page.screenshot(path=tmp_path / "moved.png")

    # Stop: soon, and the run lies in the tray.
    press(page, "stop")
    assert wait_until(lambda: chart.state() == "stopped", "the stop") < 1
    rows = page.locator(".course-lab-tray-frame li")
    wait_until(lambda: rows.count() == 1, "the tray")
    assert "then peak learning rate from 0.02 to 0.005 b" in rows.first.inner_text()
    assert page.locator("button.course-lab-start").is_enabled()
    assert page.locator("button.course-lab-stop").is_disabled()

    # A second run with another block_size, laid over the first.
    move(page, "block_size", "ArrowLeft", times=2)
    wait_until(lambda: "--block-size 16" in readout(page), "the words of the slider")
    press(page, "start")
    wait_until(lambda: len(chart.points()) > 25, "a second curve")
    assert chart.frame.locator("polyline.finished").count() == 1
    assert "floor for block_size 16" in chart.line_labels()
    assert "floor for block_size 64" in chart.line_labels(), "the run that it is laid over has another floor"
    press(page, "stop")
    wait_until(lambda: rows.count() == 2, "two runs in the tray")
    assert "block_size 16" in rows.nth(1).inner_text()
    wait_until(lambda: chart.frame.locator("polyline.finished").count() == 2, "two curves")
    colors = {line.get_attribute("stroke") for line in chart.frame.locator("polyline.finished").all()}
    dashes = {line.get_attribute("stroke-dasharray") for line in chart.frame.locator("polyline.finished").all()}
    assert len(colors) == len(dashes) == 2
    alt = chart.frame.locator("svg[role=img]").get_attribute("aria-label")
    assert re.search(r"run 1: training loss goes from 4\.0 .* run 2: training loss goes from 4\.0", alt)
    rows.first.locator("input").click()
    wait_until(lambda: chart.frame.locator("polyline.finished").count() == 1, "the first run gone")
    rows.first.locator("input").click()
    wait_until(lambda: chart.frame.locator("polyline.finished").count() == 2, "the first run back")

    # Readable by day and by night; nothing sticks out at either side.
    chart.assert_readable()
    chart.assert_in_picture()
    page.screenshot(path=tmp_path / "light.png")
    switch_to_dark(page)
    chart.assert_readable()
    page.screenshot(path=tmp_path / "dark.png")
    for width in (1000, 1300):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(300)
        chart.assert_in_picture()
        assert page.locator(".course-lab").evaluate("lab => lab.scrollWidth <= lab.clientWidth + 1")

    # A run can be thrown away.
    rows.nth(1).locator("button").click()
    wait_until(lambda: rows.count() == 1, "one run in the tray")
    run_cell(page, "print('known:'")
    page.locator(".jp-OutputArea-output", has_text="known: [1]").wait_for()


def test_a_cell_that_trains_can_be_stopped(lab):
    page = lab
    run_cell(page, "run = lab.train()")
    page.locator(".course-lab-chart").nth(1).wait_for()
    chart = Chart(page.locator(".course-lab-chart").nth(1))
    wait_until(lambda: len(chart.points()) > 5, "a curve in the cell")
    for button in ("start", "pause", "step", "stop"):
        assert page.locator(f"button.course-lab-{button}").is_disabled(), "the kernel would not hear it"
    page.locator("[data-command='notebook:interrupt-kernel'], jp-button[title*='Interrupt']").first.click()
    page.locator(".jp-OutputArea-output", has_text="What was learned is kept").wait_for()
    assert chart.state() == "stopped"
    assert len(chart.points()) == chart.steps()
    assert page.locator(".course-lab-tray-frame li").count() == 1
    wait_until(lambda: page.locator("button.course-lab-start").is_enabled(), "the buttons")
