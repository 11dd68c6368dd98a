"""Recorded runs on a page of the book, opened as a file without a network: by mouse and by keyboard, day and night."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_page import contrasts, wait_until

from course_lib.lab import Replay
from course_lib.reference import Reference

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "tests" / "lab" / "lab_grid_part.json"
"""A part of the recording, 2 x 2 x 2 values, made by its code: see tests/lab/test_replay.py."""
READABLE = contrasts("""
        text: against("svg text", "fill"), status: against(".course-lab-status", "color"),
        written: against(".course-lab-text", "color"), curve: against(".curve", "stroke"), dot: against(".dot", "fill"),
    """)
OUTSIDE = """frame => {
    const box = frame.querySelector("svg").getBoundingClientRect();
    return [...frame.querySelectorAll("svg text")].filter(node => {
        const b = node.getBoundingClientRect();
        return b.left < box.left - 1 || b.right > box.right + 1 || b.bottom > box.bottom + 1;
    }).map(node => node.textContent);
}"""

# Words of the legend that a dashed line goes through, or that other words cover.
STRUCK = """frame => {
    const lines = [...frame.querySelectorAll("line.reference")].map((node) => node.getBoundingClientRect());
    const labels = [...frame.querySelectorAll("text.line-label")].map((node) => node.getBoundingClientRect());
    return [...frame.querySelectorAll("text.legend-words")].filter((node) => {
        const b = node.getBoundingClientRect();
        const covers = (a) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
        return [...lines, ...labels].some(covers);
    }).map((node) => node.textContent);
}"""


@pytest.fixture(scope="module")
def replay() -> Replay:
    return Replay(Reference("lab_grid_part", json.loads(RECORD.read_text(encoding="utf-8"))))


@pytest.fixture(scope="module")
def book_page(replay: Replay, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of one notebook that ends in a `Replay`, twice on the page."""
    if importlib.util.find_spec("jupyter_book") is None:
        pytest.skip("needs the packages of the book: make book installs them")
    folder = tmp_path_factory.mktemp("book")
    output = {"output_type": "execute_result", "metadata": {}, "execution_count": 1}
    data = {kind: text.splitlines(keepends=True) for kind, text in replay._repr_mimebundle_().items()}
    cell = {"cell_type": "code", "metadata": {}, "source": "Replay()", "execution_count": 1}
    cells = [cell | {"id": f"cell-{i}", "outputs": [output | {"data": data}]} for i in range(2)]
    title = {"cell_type": "markdown", "metadata": {}, "id": "title", "source": "# Recorded"}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": [title, *cells], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "index.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    config = {"title": "One page", "execute": {"execute_notebooks": "off"}}
    config["sphinx"] = {"local_extensions": {"course_book": str(ROOT / "book")}}  # as the course's own book has it
    (folder / "_config.yml").write_text(json.dumps(config))  # JSON is YAML, too
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "-W", "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "_build" / "html" / "index.html"


def value(page, frame, name: str) -> str:
    return frame.locator(f".course-lab-replay-{name}").get_attribute("aria-valuetext")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_three_sliders_choose_a_recorded_run_and_a_fourth_its_moment(book_page, replay, page, tmp_path, scheme):
    failed = []
    page.emulate_media(color_scheme=scheme)
    page.route("http*://**", lambda route: route.abort())
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(book_page.as_uri(), wait_until="load")
    frames = page.locator(".course-lab-replay .course-lab-chart")
    assert frames.count() == 2
    frame = frames.first
    trials = replay.record.content["details"]["trials"]

    def run_of(*at: float) -> dict:
        return next(trial for trial in trials if trial["at"] == list(at))

    # It begins at the recipe's own values, whole, with the spread of its seeds.
    status = frame.locator(".course-lab-status")
    assert [value(page, frame, name) for name in ("block_size", "dropout", "max_lr")] == ["64", "0", "0.02"]
    own = run_of(64, 0.0, 0.02)
    assert f"validation {own['val'][-1][1]:.3f}" in status.inner_text()
    assert "over 3 seeds" in status.inner_text()
    assert "230,400 tokens read" in status.inner_text()
    assert "a smaller model than the lab's" in frame.locator(".course-lab-replay-over").inner_text()
    assert frame.locator("text.legend-words").all_text_contents() == ["training", "validation", "other seeds"]
    assert frame.evaluate(STRUCK) == []
    labels = " ".join(frame.locator("text.line-label").all_text_contents())
    assert "floor for block_size 64 = 0.31" in labels
    assert own["samples"][-1]["text"].split()[0] in frame.locator(".course-lab-text").inner_text()
    signs = frame.locator(".course-lab-text .sign").all_text_contents()
    assert (signs.count("✓"), len(signs)) == (own["samples"][-1]["good"], own["samples"][-1]["sentences"])
    assert frame.evaluate(OUTSIDE) == []
    for part, ratio in frame.evaluate(READABLE).items():
        assert ratio >= (4.5 if part in ("text", "status", "written") else 3), (part, ratio)
    page.screenshot(path=tmp_path / f"{scheme}.png")

    # By keyboard: another rate, then another block_size, whose floor is another; the run before stays as a thin line.
    height = frame.bounding_box()["height"]
    frame.locator(".course-lab-replay-max_lr").press("ArrowLeft")
    wait_until(lambda: f"{run_of(64, 0.0, 0.006)['val'][-1][1]:.3f}" in status.inner_text(), "the lower rate")
    assert frame.locator("polyline.before").count() == 1
    frame.locator(".course-lab-replay-block_size").press("Home")
    wait_until(lambda: f"{run_of(32, 0.0, 0.006)['val'][-1][1]:.3f}" in status.inner_text(), "the shorter block")
    assert "floor for block_size 32" in " ".join(frame.locator("text.line-label").all_text_contents())
    assert "over 3 seeds" not in status.inner_text()
    labels = " ".join(frame.locator("text.line-label").all_text_contents())
    assert "floor for block_size 64 = 0.31" in labels, "that of the run before"
    unequal = frame.locator(".course-lab-unequal").inner_text()
    assert "of block_size 64, read 230,400 tokens in all its steps, and its floor is 0.31" in unequal
    assert frame.locator("text.legend-words").all_text_contents() == ["training", "validation", "the run before"]
    assert frame.evaluate(STRUCK) == []
    assert abs(frame.bounding_box()["height"] - height) < 60, "the page does not jump"

    # By mouse: dropout, at the right end of its slider.
    box = frame.locator(".course-lab-replay-dropout").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    wait_until(lambda: f"{run_of(32, 0.2, 0.006)['val'][-1][1]:.3f}" in status.inner_text(), "dropout")

    # Through the run: at its start it writes noise, and the curve is a point; Play goes to the end.
    frame.locator(".course-lab-step").press("Home")
    wait_until(lambda: "step 0 of" in status.inner_text(), "the start")
    assert "before training" in frame.locator(".course-lab-heading").inner_text()
    assert len(frame.locator("polyline.curve").get_attribute("points").split()) == 1
    assert frame.locator("circle.first").count() == 1, "which can be seen"
    frame.locator(".course-lab-play").press("Enter")
    wait_until(lambda: re.search(r"step [1-9]", status.inner_text()), "a movement")
    wait_until(lambda: f"step {replay.record.content['details']['max_steps']} of" in status.inner_text(), "the end")
    assert frame.locator(".course-lab-play").inner_text() == "Play"

    # The second one on the page is one of its own; on a narrow page nothing is cut.
    assert value(page, frames.last, "block_size") == "64"
    page.set_viewport_size({"width": 700, "height": 1000})
    page.wait_for_timeout(300)
    assert frame.evaluate(OUTSIDE) == []
    page.screenshot(path=tmp_path / f"{scheme}-narrow.png")
    assert failed == []
