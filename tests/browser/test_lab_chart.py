"""The lab's chart and controls in JupyterLab: by mouse and by keyboard, wide and narrow, by day and by night."""

import re

import axe
import pytest
from jupyter_page import (
    Chart,
    assert_no_errors,
    open_notebook,
    press,
    run_cell,
    switch_to_dark,
    wait_until,
    write_notebook,
)

pytestmark = pytest.mark.browser

LAB = ".course-lab"
CELLS = (
    # Samples have all the time they want, however busy the machine is.
    "from course_lib.notebook import setup\nsetup()\nfrom course_lib.lab import moments, session\n"
    "moments.BURST_SECONDS = moments.FREE_SECONDS = moments.AHEAD_SECONDS = session.STOP_SECONDS = 60.0",
    "from course_lib.lab import Lab\nfrom course_lib.recipes import load_recipe\n"
    "small = load_recipe('tinytales_cpu').replace(n_embd=32, n_layer=1, batch_size=4)\n"
    "lab = Lab(small.replace(max_steps=2000, eval_every=20, eval_batches=1))\nlab",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
)
# What sticks out of its column, or is cut off within a box: the selector's elements with words or pictures.
CUT = """
(lab) => {
    const cell = lab.closest(".jp-OutputArea-output") ?? lab;
    const right = cell.getBoundingClientRect().right;
    return [...lab.querySelectorAll("button, input, select, label, output, th, td, svg text, .course-lab-status, b")]
        .filter((node) => node.getClientRects().length && !node.closest("[aria-hidden=true]"))
        .filter((node) => {
            const box = node.getBoundingClientRect();
            const isCut = node.matches("button") && node.scrollWidth > node.clientWidth + 2;
            return box.width > 1.5 && (box.right > right + 1 || isCut);
        })
        .map((node) => node.outerHTML.slice(0, 120));
}
"""


@pytest.fixture
def lab(jupyterlab, page):
    """The page with the lab on it; what the browser complained of meanwhile is asked at the end."""
    write_notebook(jupyterlab.folder / "chapters" / "lab.ipynb", *CELLS)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, jupyterlab.page_of("chapters/lab.ipynb"))
    make(page)
    yield page
    assert [text for text in complaints if "course-lab" in text or "anywidget" in text or "TypeError" in text] == []


def make(page) -> None:
    run_cell(page, CELLS[0][:30])
    run_cell(page, "load_recipe")
    page.locator(f"{LAB} .course-lab-chart svg text").first.wait_for(timeout=90_000)
    page.locator(LAB).evaluate("lab => lab.scrollIntoView()")


def readout(page) -> str:
    return page.locator(".course-lab-readout").inner_text()


def moment(page):
    return page.locator(f"{LAB} .course-lab-moment")


def words(page) -> str:
    return page.locator(f"{LAB} .course-lab-moment-words").inner_text()


def ticks(page) -> list[str]:
    return page.locator(f"{LAB} svg[role=img] text[text-anchor=middle]").all_text_contents()


def test_names_values_fold_seed_and_reset_by_keyboard(lab, tmp_path):
    page = lab
    rate = page.locator(LAB).get_by_role("slider", name="peak learning rate")
    assert rate.get_attribute("aria-valuetext") == "0.02"
    rate.press("ArrowLeft")
    assert rate.get_attribute("aria-valuetext") == "0.01"
    wait_until(lambda: "--max-lr 0.01" in readout(page), "the rate")
    plan = page.locator(f"{LAB} .rate-planned")
    before = plan.get_attribute("points")

    # A constant rate: the plan is flat, and the slider is called what it then is.
    box = page.locator(LAB).get_by_role("checkbox", name="constant rate")
    box.press("Space")
    wait_until(lambda: "--schedule constant" in readout(page), "the schedule")
    page.locator(LAB).get_by_role("slider", name="learning rate", exact=True).wait_for()
    heights = {pair.split(",")[1] for pair in plan.get_attribute("points").split()}
    assert len(heights) == 1
    assert before != plan.get_attribute("points")

    # The fold opens by keyboard; what is in it has names too; each control is one stop of the Tab key.
    depth = page.locator(LAB).get_by_role("slider", name="depth")
    assert not depth.is_visible()
    fold = page.locator(LAB).get_by_role("button", name="More settings")
    fold.focus()
    page.keyboard.press("Enter")
    assert depth.is_visible()
    assert fold.get_attribute("aria-expanded") == "true"
    stops = []
    for _ in range(6):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent"))
    assert [stop.strip() for stop in stops] == ["depth", "width", "batch size", "steps", "seed", "Reset"]
    seed = page.locator(LAB).get_by_label("seed")
    seed.fill("7")
    seed.press("Tab")
    wait_until(lambda: "--seed 7" in readout(page), "the seed")
    assert "equal settings and equal seeds repeat a run exactly" in page.locator(LAB).inner_text()
    page.screenshot(path=tmp_path / "fold.png")
    page.locator(LAB).get_by_role("button", name="Reset").press("Enter")
    wait_until(lambda: not re.search("seed|schedule|max-lr", readout(page)), "all as it was")

    # Every control has a name, by day and by night, wide and narrow.
    assert axe.faults(page, LAB) == []
    switch_to_dark(page)
    assert axe.faults(page, LAB) == []
    page.set_viewport_size({"width": 700, "height": 1000})
    page.wait_for_timeout(500)
    page.screenshot(path=tmp_path / "narrow-idle-dark.png")
    assert page.locator(LAB).evaluate(CUT) == []
    assert axe.faults(page, LAB) == []


def test_the_chart_shows_what_is_asked_of_it(lab, tmp_path):
    page, chart = lab, Chart(lab.locator(f"{LAB} .course-lab-chart"))
    frame = chart.frame

    # A guess, as a number and by dragging the mark.
    field = page.locator(LAB).get_by_label("My guess")
    field.fill("1.5")
    field.press("Enter")
    mark = frame.locator(".course-lab-guess-mark")
    wait_until(lambda: mark.inner_text().startswith("1.50"), "the mark")
    box = mark.bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 8, box["y"] - 40, steps=4)
    page.mouse.up()
    assert float(field.input_value()) > 1.5
    page.screenshot(path=tmp_path / "idle.png")

    # Start; the width of the cell is used; the rate in force stands beside its track.
    press(page, "start")
    wait_until(lambda: len(chart.points()) > 30, "a curve")
    assert frame.bounding_box()["width"] > 0.9 * frame.evaluate(
        "f => f.closest('.lm-Widget').parentElement.clientWidth"
    )
    in_force = float(frame.locator(".track-value").last.text_content().split()[-1])
    assert 0 < in_force <= 0.02
    assert field.is_disabled()
    planned = ticks(page)

    # Choices, while it trains: smoothing with the raw line behind, a logarithm, the gradient's norm.
    page.get_by_role("combobox", name="smoothing").select_option("10 steps")
    page.get_by_label("gradient norm").check()
    frame.locator("polyline.norm").wait_for(state="attached")
    frame.locator("polyline.smooth").wait_for(state="attached")
    raw, smooth = (frame.locator(f"polyline.{name}").first for name in ("current", "smooth"))
    assert float(raw.get_attribute("stroke-opacity")) < 0.5
    assert smooth.get_attribute("points")
    page.get_by_role("combobox", name="loss").select_option("logarithmic")
    wait_until(lambda: "log" in frame.locator("svg[role=img]").text_content(), "the axis")
    page.screenshot(path=tmp_path / "training.png")
    wait_until(lambda: chart.steps() > 110, "the sample after 100 steps", 200)

    # Stop: the axis of steps stays where it is.
    press(page, "stop")
    wait_until(lambda: chart.state() == "stopped", "the stop")
    page.get_by_role("combobox", name="loss").select_option("linear")
    assert ticks(page) == planned

    # The moment, by mouse and by keyboard: the numbers of that step, and the sample of that moment.
    sheet, sample = moment(page), page.locator(f"{LAB} .course-lab-sample")
    box = sheet.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 50 / 2000, box["y"] + 100)
    wait_until(lambda: words(page).startswith("Step 5"), "about step 50")
    assert frame.locator("line.crosshair").count() == 1
    assert "after 30 steps" in sample.inner_text()
    page.mouse.move(5, 5)
    wait_until(lambda: words(page).startswith("Newest"), "the newest")
    sheet.focus()
    page.keyboard.press("Home")
    wait_until(lambda: words(page).startswith("Step 0,"), "step 0")
    assert "before training" in sample.inner_text()
    page.keyboard.press("ArrowRight")
    assert words(page).startswith("Step 1,")
    loss = frame.locator(".course-lab-numbers td").first.inner_text()
    assert f"training, mean of 10 {loss}" in sheet.get_attribute("aria-valuetext")
    page.keyboard.press("Escape")
    assert words(page).startswith("Newest")
    assert frame.locator("path.sample-tick").count() >= 4

    # The browser of samples by keyboard.
    chosen = sample.get_by_role("radio", checked=True)
    chosen.focus()
    page.keyboard.press("Home")
    wait_until(lambda: "before training" in sample.inner_text(), "the first sample")
    page.keyboard.press("End")
    wait_until(lambda: "before training" not in sample.locator(".course-lab-heading").inner_text(), "the newest sample")

    # A second run, of another block_size: by steps the chart says that they do not compare; by tokens it need not.
    page.locator(LAB).get_by_role("slider", name="block_size").press("Home")
    wait_until(lambda: "--block-size 8" in readout(page), "block_size 8")
    press(page, "start")
    wait_until(lambda: chart.state() == "training" and len(chart.points()) > 30, "a second curve")
    assert frame.locator("g.ghost").count() == 1, "the last run, pale, while the next grows"
    assert "different numbers of tokens per step" in frame.locator(".course-lab-unequal").inner_text()
    page.screenshot(path=tmp_path / "second.png")
    page.get_by_role("combobox", name="axis").select_option("tokens")
    wait_until(lambda: "tokens read" in frame.locator("svg[role=img]").text_content(), "tokens")
    assert frame.locator(".course-lab-unequal").inner_text() == ""
    page.get_by_role("combobox", name="axis").select_option("seconds")
    wait_until(lambda: "seconds, scoring included" in frame.locator("svg[role=img]").text_content(), "seconds")
    page.get_by_role("combobox", name="axis").select_option("steps")
    press(page, "stop")
    wait_until(lambda: page.locator(".course-lab-tray-frame li").count() == 2, "two runs in the tray")

    # Files.
    with page.expect_download() as told:
        page.get_by_role("button", name="(CSV)").click()
    lines = told.value.path().read_text().splitlines()
    assert lines[0] == "run,step,train_loss,val_loss,lr,grad_norm,tokens,seconds"
    numbers = {line.split(",")[0] for line in lines[1:]}
    assert numbers == {"run 1", "run 2"}
    assert float(lines[1].split(",")[2]) == pytest.approx(4.0, abs=0.2), "an untrained model knows nothing"
    with page.expect_download() as told:
        page.get_by_role("button", name="(PNG)").click()
    picture = told.value.path().read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    (tmp_path / "chart.png").write_bytes(picture)

    # By day and by night, wide and narrow.
    for width in (1300, 700):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(400)
        page.locator(f"{LAB} .course-lab-chart").evaluate("chart => chart.scrollIntoView()")
        chart.assert_in_picture()
        chart.assert_readable()
        assert page.locator(LAB).evaluate(CUT) == []
        assert axe.faults(page, LAB) == []
        page.screenshot(path=tmp_path / f"light-{width}.png")
    page.set_viewport_size({"width": 1300, "height": 1000})
    switch_to_dark(page)
    page.locator(LAB).evaluate("lab => lab.scrollIntoView()")
    chart.assert_readable()
    assert axe.faults(page, LAB) == []
    page.screenshot(path=tmp_path / "dark.png")
    assert_no_errors(page)


def test_a_kernel_that_died_or_was_restarted_is_announced(lab, tmp_path):
    page, chart = lab, Chart(lab.locator(f"{LAB} .course-lab-chart"))

    def announced() -> None:
        page.locator(f"{LAB} [role=alert]", has_text="run this cell again").wait_for()
        assert chart.state() == "not connected"
        for button in ("start", "pause", "step", "stop"):
            assert page.locator(f"button.course-lab-{button}").is_disabled()
        signs = page.locator(f"{LAB}, {LAB} *").evaluate_all(
            "nodes => nodes.filter((n) => !['none', 'normal'].includes(getComputedStyle(n, '::before').content)"
            " && n.classList.contains('jupyter-widgets-disconnected')"
            " && getComputedStyle(n, '::before').display !== 'none').length"
        )
        assert signs == 0, "no broken icons"

    # It dies while it trains: JupyterLab starts another one by itself, and says nothing to the widgets.
    press(page, "start")
    wait_until(lambda: len(chart.points()) > 5, "a curve")
    run_cell(page, "SIGKILL")
    page.get_by_role("button", name=re.compile("ok", re.I)).click()
    announced()
    page.locator(LAB).evaluate("lab => lab.scrollIntoView()")
    page.screenshot(path=tmp_path / "died.png")

    # Run again, it is as new; and a restart by the menu is announced as well.
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for()
    make(page)
    wait_until(lambda: page.locator(f"{LAB} [role=alert]").count() == 0, "a new lab")
    press(page, "start")
    wait_until(lambda: len(chart.points()) > 5, "a curve")
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Restart Kernel…")).first.click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    announced()
