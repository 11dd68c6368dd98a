"""The words of a chart and of a tray with all that a lab can put there: in a narrow page, too, none covers another."""

import pytest
from jupyter_page import open_notebook, run_cell, wait_until, write_notebook

pytestmark = pytest.mark.browser

CELL = """\
import ipywidgets
from course_lib.lab.chart import LossChart
from course_lib.lab.curves import Curve
from course_lib.lab.tray import Tray, TrayRow
from course_lib.recipes import load_recipe
from course_lib.training import StepRecord
from course_lib.widgets.style import run_style

def steps(end):
    return [
        StepRecord(i, 4 - 0.04 * i, end if i == 39 else None, 0.02, 32 * (i + 1), 0.1 * i, 1.0, 0.0) for i in range(45)
    ]

train = load_recipe("tinytales_cpu").train
lines = {"floor for block_size 8": 0.8, "entropy rate": 0.19}
chart = LossChart(1050, 53, lines, guessing=True)
chart.guess = 2.28
notes = [(10, "peak 0.1, in force 0.1"), (30, "dropout 0.3")]
curves = [
    Curve(steps(2.1), "run 1", run_style(0), (), train),
    Curve(steps(2.43), "run 2", run_style(1), notes, train, guess=2.28),
]
chart.show(None, 1050, lines, curves)
tray = Tray(lambda: None, lambda key: None)
rows = [TrayRow(n, f"run {n}", "as the recipe says", "45 steps, " * 12, run_style(n), "Time: " * 20) for n in (1, 2, 3)]
tray.put(rows, [1, 2, 3])
ipywidgets.VBox([chart, tray])"""
# Pairs of words that cover one another: of lines, notes, guesses, tracks, of the axis, and of the mark to drag.
COVERED = """frame => {
    const words = "svg text[class], g.note text, svg text[transform], .course-lab-guess-mark";
    const boxes = [...frame.querySelectorAll(words)]
        .filter((node) => node.getClientRects().length)
        .map((node) => [node.textContent, node.getBoundingClientRect()]);
    const aside = (a, b) => a.right - 1 <= b.left || b.right - 1 <= a.left;
    const above = (a, b) => a.bottom - 2 <= b.top || b.bottom - 2 <= a.top;
    return boxes.flatMap(([text, a], i) =>
        boxes.slice(i + 1).filter(([, b]) => !aside(a, b) && !above(a, b)).map(([other]) => [text, other]));
}"""


def test_no_words_cover_others_and_the_newest_run_is_in_sight(jupyterlab, page, tmp_path):
    write_notebook(jupyterlab.folder / "chapters" / "words.ipynb", CELL)
    open_notebook(page, jupyterlab.page_of("chapters/words.ipynb"))
    run_cell(page, "import ipywidgets")
    frame = page.locator(".course-lab-chart")
    frame.locator("g.note").first.wait_for(state="attached", timeout=90_000)
    for width in (1300, 1000, 700):
        page.set_viewport_size({"width": width, "height": 1400})
        wait_until(lambda: frame.locator("text.guess-words").count() == 1, "the picture")
        page.wait_for_timeout(400)
        frame.evaluate("frame => frame.scrollIntoView()")
        page.screenshot(path=tmp_path / f"{width}.png")
        assert frame.evaluate(COVERED) == [], width
    assert frame.locator(".course-lab-moment-words").inner_text() == "Newest: step 45 of run 2, 1,440 tokens, 4.4 s"
    tray = page.locator(".course-lab-tray-frame")
    assert "Finished runs: 3" in tray.inner_text()
    list_, last = tray.locator("ul").bounding_box(), tray.locator("li").last.bounding_box()
    assert last["y"] + last["height"] <= list_["y"] + list_["height"] + 1, "run 3 is below what can be seen"
