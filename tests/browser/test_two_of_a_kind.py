"""Two widgets of one kind in one notebook: neither uses what is the other's."""

import pytest
from jupyter_page import ERROR, assert_no_errors, open_notebook, run_cell, wait_until, write_notebook

pytestmark = pytest.mark.browser

CELLS = (
    "from course_lib.models import GPT, GPTConfig\n"
    "from course_lib.tokenizers import CharTokenizer\n"
    "from course_lib.widgets.heads import HeadView\n"
    "from course_lib.widgets.race import Race\n"
    "from course_lib.widgets.tokens import TokenView\n"
    "from course_lib.widgets.windows import Windows\n"
    "text = 'the fox naps. ' * 40\n"
    "tokenizer = CharTokenizer.train(text)\n"
    "models = {name: GPT(GPTConfig(8, tokenizer.vocab_size, 1, 1, 8)) for name in ('before', 'after')}",
    *(
        f"{kind}  # number {number}"
        for kind in (
            "HeadView(models, tokenizer, 'the fox')",
            "Race()",
            "TokenView(tokenizer, 'fox')",
            "Windows(tokenizer.encode(text), tokenizer)",
        )
        for number in (1, 2)
    ),
)


def test_two_widgets_of_a_kind_share_no_name(jupyterlab, page, tmp_path):
    write_notebook(jupyterlab.folder / "chapters" / "twice.ipynb", *CELLS)
    page.set_viewport_size({"width": 1300, "height": 4000})  # what is out of sight is not drawn
    open_notebook(page, jupyterlab.page_of("chapters/twice.ipynb"))
    for source in CELLS:
        run_cell(page, source.splitlines()[0])
    strips = page.locator(".course-lab-strip")
    wait_until(lambda: strips.count() == 2 or page.locator(ERROR).count(), "all widgets", 120)
    assert_no_errors(page)
    views = page.locator(".course-lab-heads")
    assert views.count() == 2
    views.nth(0).get_by_role("radio", name="before").check()
    views.nth(1).get_by_role("radio", name="after").check()
    for view, stage in zip(views.all(), ("before", "after")):
        wait_until(lambda v=view, s=stage: v.get_by_role("status").inner_text().lower().startswith(s), stage)
        assert view.get_by_role("radio", name=stage).is_checked(), "the buttons of two widgets are two groups"
    page.screenshot(path=tmp_path / "twice.png")
