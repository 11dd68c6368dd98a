"""A sweep in JupyterLab in a real Chromium: run by a press, read by mouse and by keyboard, stopped, day and night."""

import pytest
from jupyter_page import (
    assert_no_errors,
    contrasts,
    open_notebook,
    run_cell,
    switch_to_dark,
    wait_until,
    write_notebook,
)

pytestmark = pytest.mark.browser

CELLS = (
    "from course_lib.notebook import setup\nsetup()",
    "from course_lib.lab import Sweep\nfrom course_lib.recipes import load_recipe\n"
    "recipe = load_recipe('tinytales_cpu').replace(n_layer=1, n_embd=32, batch_size=8, max_steps=300, eval_batches=4)\n"
    "sweep = Sweep(recipe)\nsweep",
    "print('kept:', [point.value for point in sweep.valley.points])",
)
READABLE = contrasts("""
        text: against("svg text", "fill"), status: against(".course-lab-status", "color"),
        point: against(".point", "fill"), valley: against(".valley", "stroke"), good: against(".good", "stroke"),
    """)
OUTSIDE = """frame => {
    const box = frame.querySelector("svg").getBoundingClientRect();
    return [...frame.querySelectorAll("svg text")].filter(node => {
        const b = node.getBoundingClientRect();
        return b.left < box.left - 1 || b.right > box.right + 1 || b.bottom > box.bottom + 1;
    }).map(node => node.textContent);
}"""


def assert_fits_and_can_be_read(frame) -> None:
    assert frame.evaluate(OUTSIDE) == []
    for part, ratio in frame.evaluate(READABLE).items():
        assert ratio >= (4.5 if part in ("text", "status") else 3), (part, ratio)


def test_a_sweep_is_run_read_and_stopped(jupyterlab, page, tmp_path):
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    write_notebook(jupyterlab.folder / "chapters" / "sweep.ipynb", *CELLS)
    open_notebook(page, jupyterlab.page_of("chapters/sweep.ipynb"))
    run_cell(page, CELLS[0][:30])
    run_cell(page, "load_recipe")
    frame = page.locator(".course-lab-sweep-chart")
    frame.locator("text.tried").first.wait_for(timeout=90_000)
    assert frame.locator("text.tried").all_text_contents() == ["0.002", "0.006", "0.02", "0.06", "0.2"]
    status, about = frame.locator(".course-lab-status"), frame.locator(".course-lab-sweep-point")
    assert "where will the loss be lowest" in status.inner_text()
    assert "It takes about" in status.inner_text()

    # Pressed, it fills in point after point; what it is over cannot be changed meanwhile.
    run, stop = page.locator("button.course-lab-sweep-run"), page.locator("button.course-lab-sweep-stop")
    assert run.inner_text().strip() == "Run 5 short runs"
    assert stop.is_disabled()
    run.click()
    wait_until(lambda: "run 1 of 5: learning rate 0.002, step" in status.inner_text(), "the first run")
    assert run.is_disabled()
    wait_until(lambda: frame.locator(".point").count() >= 1, "a point")
    width = "chart => chart.querySelector('.floor').getBoundingClientRect().width"  # in one go: it is drawn anew often
    wait_until(lambda: frame.evaluate(width) > 300, "a floor of one point, which is a line, too")
    assert "floor 0.31: a reader who sees only block_size letters" in frame.locator("svg").text_content()
    wait_until(lambda: frame.locator(".point").count() >= 2, "two points")
    assert "lowest so far" in frame.locator("svg").text_content()
    wait_until(lambda: "finished after" in status.inner_text(), "the end", 120)
    assert frame.locator(".point, .diverged").count() == 5
    assert frame.locator(".good").count() == 1
    lessons = page.locator(".course-lab-sweep li").all_inner_texts()
    assert "here: learning rate" in lessons[0]
    page.screenshot(path=tmp_path / "light.png")

    # Each point can be read, by the pointer and by the keyboard, which stays in the chart.
    box = frame.locator("svg").bounding_box()
    page.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 0.5 * box["height"])
    wait_until(lambda: "learning rate 0.2:" in about.inner_text(), "the last point")
    page.mouse.move(5, 5)
    frame.locator(".course-lab-sweep-pad").focus()
    page.keyboard.press("Home")
    wait_until(lambda: "learning rate 0.002:" in about.inner_text(), "the first point")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: "learning rate 0.006:" in about.inner_text(), "the next point")
    assert "after 30 steps, 15,360 tokens read" in about.inner_text()

    # The other setting, by keyboard; stopped, what is over is kept.
    page.get_by_role("button", name="block_size").click()
    sizes = ["16", "32", "64", "128", "256"]
    wait_until(lambda: frame.locator("text.tried").all_text_contents() == sizes, "block sizes")
    run.focus()
    page.keyboard.press("Enter")
    wait_until(lambda: frame.locator(".point").count() >= 2, "two points")
    stop.click()
    assert wait_until(lambda: "runs are kept" in status.inner_text(), "the stop") < 2
    run_cell(page, "print('kept:'")
    page.locator(".jp-OutputArea-output", has_text="kept: [16, 32").wait_for()
    assert any("more tokens per step" in words for words in page.locator(".course-lab-sweep li").all_inner_texts())

    assert_fits_and_can_be_read(frame)
    switch_to_dark(page)
    assert_fits_and_can_be_read(frame)
    page.set_viewport_size({"width": 700, "height": 1000})
    page.wait_for_timeout(400)
    assert_fits_and_can_be_read(frame)
    page.screenshot(path=tmp_path / "dark.png")
    assert_no_errors(page)
    assert complaints == []
