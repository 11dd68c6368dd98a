"""Cells that are run again, and labs beside one another, in JupyterLab in a real Chromium: no run goes on unseen."""

import pytest
from jupyter_page import Chart, open_notebook, run_cell, wait_until, write_notebook

pytestmark = pytest.mark.browser

SMALL = "load_recipe('tinytales_cpu').replace(max_steps=20000, eval_every=0, n_layer=1, n_embd=32, batch_size=2)"
CELLS = (
    "from course_lib.notebook import setup\nsetup()\nfrom course_lib.lab import Lab\n"
    "from course_lib.recipes import load_recipe\nimport threading",
    f"lab = Lab({SMALL})\nlab  # the first",
    f"other = Lab({SMALL})\nother  # the second",
    "at_work = [t for t in threading.enumerate() if t.name == 'course-lab']\n"
    "print(f'threads: {len(at_work)}, runs: {[run.number for run in lab.runs]}', '.')",
    "lab.train()  # while it trains",
)
PATIENCE = 90


def output(page, source: str) -> str:
    """Run a cell; what it says, once it says something new."""
    cell = page.locator(".jp-Notebook .jp-CodeCell", has_text=source)
    before = cell.locator(".jp-InputPrompt").first.inner_text()
    run_cell(page, source)
    wait_until(lambda: cell.locator(".jp-InputPrompt").first.inner_text() not in (before, "[*]:"), source, PATIENCE)
    cell.locator(".jp-OutputArea-output").first.wait_for()
    return cell.locator(".jp-OutputArea-output").first.inner_text().strip()


def test_no_run_goes_on_unseen_and_none_is_lost(jupyterlab, page, tmp_path):
    write_notebook(jupyterlab.folder / "chapters" / "again.ipynb", *CELLS)
    page.set_viewport_size({"width": 1300, "height": 1800})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, jupyterlab.page_of("chapters/again.ipynb"))
    run_cell(page, "import threading")
    first = page.locator(".jp-CodeCell", has_text="# the first")
    second = page.locator(".jp-CodeCell", has_text="# the second")

    def chart(cell) -> Chart:
        return Chart(cell.locator(".course-lab .course-lab-chart"))

    def start(cell) -> None:
        cell.locator("button.course-lab-start").click()
        wait_until(lambda: len(chart(cell).points()) > 5, "a curve", PATIENCE)

    # The cell is run again while its lab trains: nothing trains on unseen, and the run lies in the new tray.
    run_cell(page, "# the first")
    first.locator(".course-lab-chart svg text").first.wait_for(timeout=1000 * PATIENCE)
    start(first)
    run_cell(page, "# the first")
    rows = first.locator(".course-lab-tray-frame li")
    wait_until(lambda: rows.count() == 1 and chart(first).state() == "", "a new lab with the old one's run", PATIENCE)
    assert first.locator(".course-lab").count() == 1
    assert "stopped after" in rows.first.inner_text()
    assert "course train tinytales_cpu" in rows.first.inner_text(), "the command of that run"
    assert output(page, "at_work =") == "threads: 0, runs: [1] ."

    # A second lab leaves the first one's run alone until it begins one of its own, and then the first says so.
    start(first)
    run_cell(page, "# the second")
    second.locator(".course-lab-chart svg text").first.wait_for(timeout=1000 * PATIENCE)
    points = chart(first).steps()
    wait_until(lambda: chart(first).steps() > points, "the first run going on", PATIENCE)
    start(second)
    wait_until(lambda: chart(first).state() == "stopped", "the first run stopped", PATIENCE)
    assert "Another lab of this notebook began a run" in chart(first).status()
    assert first.locator("button.course-lab-start").is_enabled()
    assert output(page, "at_work =") == "threads: 1, runs: [1, 2] ."
    page.screenshot(path=tmp_path / "two.png")

    # The first begins again; a cell that trains it meanwhile is refused in one line.
    start(first)
    wait_until(lambda: chart(second).state() == "stopped", "the second run stopped", PATIENCE)
    words = output(page, "# while it trains")
    assert words.splitlines() == [
        "CourseError: A run of this lab is going on. Press Stop, or call lab.stop(), and try again."
    ]
    assert chart(first).state() == "training"
    first.locator("button.course-lab-stop").click()
    wait_until(lambda: chart(first).state() == "stopped", "the stop", PATIENCE)
    assert output(page, "at_work =") == "threads: 0, runs: [1, 2, 3] ."
    sample = first.locator(".course-lab-text").first.inner_text()
    assert len(sample) > 5, "a sample follows a stop"
    assert complaints == []
