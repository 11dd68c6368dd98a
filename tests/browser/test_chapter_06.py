"""Chapter 06 as a learner meets it: run from the top in a real Chromium, a kill, an export and a compiler included."""

import re

import pytest
from jupyter_page import ERROR, assert_no_errors, open_notebook, run_cells_until, switch_to_dark, wait_until

pytestmark = pytest.mark.browser


def output_of(page, source: str):
    """The output below the cell that holds ``source``, without the number beside it."""
    return page.locator(".jp-Notebook .jp-CodeCell", has_text=source).first.locator(".jp-Cell-outputArea")


def assert_says(page, source: str, *words: str, seconds: float = 120) -> str:
    """Wait until the output below a cell says all of ``words``; returns it."""
    output = output_of(page, source)
    output.scroll_into_view_if_needed()

    def said() -> bool:
        return page.locator(ERROR).count() > 0 or all(word in output.inner_text() for word in words)

    wait_until(said, f"{words} below {source!r}", seconds)
    assert_no_errors(page)
    return output.inner_text()


def test_from_the_top_to_an_exercise(jupyterlab, page, tmp_path):
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, jupyterlab.page_of("chapters/06_saving.ipynb"))
    page.get_by_role("menuitem", name="Edit", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Clear Outputs of All Cells$")).click()
    run_cells_until(page, "def header_length(")

    # What was lost, the kill and the resume; then the files, read by hand, by PyTorch and by C++.
    assert_says(page, "missing = {", "dropout's chance")
    said = assert_says(page, "jump = {what", "the loss jumps")
    assert said.count("never stopped, bit for bit") == 1
    assert_says(page, "done = subprocess.run", "saves/.new-...", "last names save 20")
    assert_says(page, "for moment in write(", "leaves 'step'", "replace_file")
    assert_says(page, "trainer = resume_trainer(run)", "goes on from step 20", "60 rows equal")
    assert_says(page, "struct.unpack", "14 tensors, equal")
    assert_says(page, "for weights_only in", "refused: Unsupported global", "printed by loading a file")
    assert_says(page, "--to pth", "15 names, every weight equal")
    assert_says(page, "program = cpp.compile_cpp", "equal, 200 characters that begin 'The fox wa")
    assert_says(page, "best = model.state_dict()", "copied put back")
    assert_says(page, "must_be_saved = {", "Not attempted yet")
    runs = jupyterlab.folder / "runs" / "chapter-06"
    assert (runs / "killed" / "last").read_text() == "60\n"
    assert sorted(path.name for path in (jupyterlab.folder / "chapters").iterdir() if "06" in path.name) == [
        "06_saving.ipynb"
    ]

    # The picture is there, by day and by night.
    picture = output_of(page, "begun = train(").locator("img").first
    assert picture.evaluate("image => image.naturalWidth") > 500
    picture.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "light.png")
    switch_to_dark(page)
    page.screenshot(path=tmp_path / "dark.png")

    # An answer is judged.
    cell = page.locator(".jp-Notebook .jp-CodeCell", has_text="def header_length(")
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.type('check("06-2", lambda data: int.from_bytes(data[:8], "big"))')
    page.keyboard.press("Shift+Enter")
    assert_says(page, 'check("06-2"', "Not yet", "little-endian")
    assert_no_errors(page)
    assert complaints == []
