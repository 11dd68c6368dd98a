"""The slider of thinking steps in JupyterLab: it moves, says what each number is worth, and can be read."""

import pytest
from jupyter_page import (
    ERROR,
    LEAST_CONTRAST,
    assert_no_errors,
    move,
    open_notebook,
    run_cell,
    switch_to_dark,
    wait_until,
    write_notebook,
)

pytestmark = pytest.mark.browser

CELLS = (
    "import torch\n"
    "from course_lib.models import AGIFormer, AGIFormerConfig\n"
    "from course_lib.widgets.thinking import ThinkingSteps\n"
    "torch.manual_seed(0)\n"
    "model = AGIFormer(AGIFormerConfig(n_layer=1, n_head=2, n_embd=32, n_hidden=16))\n"
    "thinking = ThinkingSteps(model, 'The <b>old</b> fox & the bee slept. 日本')\n"
    "thinking",
    "print(thinking.steps, 'steps in Python')",
    "from IPython.display import HTML\nHTML(thinking._repr_html_())  # as a page without a kernel has it",
)
BOX = "span[title^='patch ']"


def test_how_often_it_thinks(jupyterlab, page, tmp_path):
    write_notebook(jupyterlab.folder / "chapters" / "thinking.ipynb", *CELLS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, jupyterlab.page_of("chapters/thinking.ipynb"))
    run_cell(page, "import torch")
    view = page.locator(".jp-OutputArea-output", has=page.locator(".course-lab-thinking"))
    view.or_(page.locator(ERROR)).first.wait_for(timeout=120_000)
    assert_no_errors(page)

    assert view.inner_text().count("3 steps: ") == 1
    boxes = view.locator(BOX)
    n_patches = boxes.count()
    assert n_patches == len("The <b>old</b> fox & the bee slept. 日本".encode()) // 4 + 1
    assert view.locator("b").count() == 0, "nothing of the text becomes a tag"
    assert view.evaluate(LEAST_CONTRAST) >= 4.5
    page.screenshot(path=tmp_path / "thinking.png")

    move(page, "thinking", "Home")
    wait_until(lambda: "0 steps: " in view.inner_text(), "no thinking")
    assert "does not think" in view.inner_text()
    move(page, "thinking", "End")
    wait_until(lambda: "8 steps: " in view.inner_text(), "the most")
    assert boxes.count() == n_patches
    run_cell(page, "print(thinking.steps")
    page.locator(".jp-OutputArea-output", has_text="8 steps in Python").wait_for()

    run_cell(page, "from IPython.display")
    kept = page.locator(".jp-OutputArea-output", has_text="0 steps: ").filter(has_text="5 steps: ")
    kept.wait_for()
    assert kept.locator(BOX).count() == n_patches
    switch_to_dark(page)
    for shown in (view, kept):
        shown.scroll_into_view_if_needed()
        assert shown.evaluate(LEAST_CONTRAST) >= 4.5
    page.screenshot(path=tmp_path / "thinking_dark.png")
    assert_no_errors(page)
    assert complaints == []
