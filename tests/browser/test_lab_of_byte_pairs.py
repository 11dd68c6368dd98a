"""The lab of the recipe of byte pairs, in JupyterLab in a real Chromium: three sliders, then ``lab.train()``."""

import math
import os
import re
from pathlib import Path

import pytest
from jupyter_page import Chart, assert_no_errors, move, open_notebook, run_cell, wait_until, write_notebook

pytestmark = pytest.mark.browser

RECIPE = "shakespeare_bpe_cpu"
STEPS = 60
PATIENCE = 300
"""Seconds that a run of the recipe's size may take, and scoring the whole held-out part, on a machine that is busy."""


def cells() -> tuple[int, tuple[str, ...]]:
    """V, and a notebook: of Tiny Shakespeare where it is at hand, else of TinyTales, which needs no network."""
    mirror = os.environ.get("COURSE_DATA")
    if mirror and (Path(mirror) / "tinyshakespeare" / "input.txt").is_file():
        # The server gets nothing of the tests' own settings.
        vocab_size, first, made = 2048, f"import os\nos.environ['COURSE_DATA'] = {mirror!r}\n", f"Lab({RECIPE!r})"
    else:
        vocab_size, first = 1024, ""
        made = f"Lab(load_recipe({RECIPE!r}).replace(dataset='tinytales', bpe_vocab_size=1024))"
    return vocab_size, (
        f"{first}from course_lib.notebook import setup\nsetup()",
        f"from course_lib.lab import Lab\nfrom course_lib.recipes import load_recipe\nlab = {made}\nlab",
        f"run = lab.train(max_steps={STEPS})",
        "print(f'come to {run.bits_per_byte:.2f} bits per byte with', run.command())",
    )


def test_three_sliders_and_then_a_cell_that_trains(jupyterlab, page, tmp_path):
    vocab_size, (first, lab, train, told) = cells()
    write_notebook(jupyterlab.folder / "chapters" / "pairs.ipynb", first, lab, train, told)
    open_notebook(page, jupyterlab.page_of("chapters/pairs.ipynb"))
    run_cell(page, "course_lib.notebook")
    run_cell(page, "load_recipe")
    page.locator(".course-lab .course-lab-chart svg text").first.wait_for(timeout=90_000)
    idle = Chart(page.locator(".course-lab .course-lab-chart"))
    assert idle.line_labels() == f"knowing nothing: ln {vocab_size} = {math.log(vocab_size):.2f}"
    readout = page.locator(".course-lab-readout")
    for slider, key, words in (
        ("block_size", "ArrowLeft", "--block-size 32"),
        ("dropout", "ArrowRight", "--dropout 0.05"),
        ("max_lr", "ArrowLeft", "--max-lr 0.01"),
    ):
        assert page.locator(f".course-lab-{slider}").is_visible()
        move(page, slider, key)
        wait_until(lambda words=words: words in readout.inner_text(), words)
    assert f"course train {RECIPE}" in readout.inner_text()

    run_cell(page, "run = lab.train")
    page.locator(".course-lab-chart").nth(1).wait_for()
    chart = Chart(page.locator(".course-lab-chart").nth(1))
    wait_until(lambda: len(chart.points()) > 5, "a curve in the cell", PATIENCE)
    wait_until(lambda: chart.state() == "finished", "its end", PATIENCE)
    points = chart.points()
    assert len(points) == chart.steps() == STEPS
    assert points[-1][1] > points[0][1] + 20, "the loss has fallen: y grows downward"
    assert chart.frame.locator(".dot").count() == 1
    assert f"ln {vocab_size} = " in chart.line_labels()
    chart.assert_in_picture()
    chart.assert_readable()
    bits = re.search(r"validation [\d.]+ \(([\d.]+) bits per byte\)", chart.status())[1]
    sample = page.locator(".course-lab-sample").nth(1).inner_text()
    assert f"What the model writes after {STEPS} steps" in sample
    assert len(sample) > 300, "240 tokens are more letters"
    assert ("sentence" in sample) == (vocab_size == 1024), "TinyTales has a judge"
    assert f"({bits} bits per byte)" in page.locator(".course-lab-tray-frame li").inner_text()
    run_cell(page, "come to")
    words = f"come to {bits} bits per byte with course train {RECIPE}"
    page.locator(".jp-OutputArea-output", has_text=words).wait_for()
    page.screenshot(path=tmp_path / "trained.png")
    assert_no_errors(page)
