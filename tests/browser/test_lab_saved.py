"""Ctrl + S with the keyboard in a control of the lab, in JupyterLab in a real Chromium: the notebook is saved."""

import pytest
from jupyter_page import open_notebook, run_cell, wait_until, write_notebook

pytestmark = pytest.mark.browser

CELLS = (
    "from course_lib.notebook import setup\nsetup()\nfrom course_lib.lab import Lab\n"
    "from course_lib.recipes import load_recipe",
    "lab = Lab(load_recipe('tinytales_cpu').replace(max_steps=50, eval_every=0, n_layer=1, n_embd=32))\nlab  # shown",
    "print(lab.controls.recipe.train.seed)  # changes the notebook",
)
# One of each kind; the last is where the keyboard is when the page is loaded anew.
CONTROLS = (
    ".course-lab-max_lr input",
    ".course-lab-constant input",
    ".course-lab-tools select",
    ".course-lab-guess input",
    ".course-lab-moment",
    ".course-lab-seed input",
)


@pytest.fixture
def lab(jupyterlab, page):
    """The page with the lab on it, its fold open."""
    write_notebook(jupyterlab.folder / "chapters" / "saved.ipynb", *CELLS)
    open_notebook(page, jupyterlab.page_of("chapters/saved.ipynb"))
    run_cell(page, "import setup")
    run_cell(page, "# shown")
    page.locator(".course-lab .course-lab-chart svg text").first.wait_for(timeout=90_000)
    page.locator(".course-lab-fold-button").click()
    return page


def test_ctrl_s_saves_wherever_in_the_lab_the_keyboard_is_and_the_lab_is_there_when_the_page_is_loaded_anew(lab):
    page, unsaved = lab, lab.locator(".lm-TabBar-tab.jp-mod-dirty")
    for control in CONTROLS:
        run_cell(page, "# changes")
        wait_until(lambda: unsaved.count() == 1, "the mark that something is unsaved")
        page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for()
        page.locator(f".course-lab {control}").first.focus()
        page.keyboard.press("Control+s")
        wait_until(lambda: unsaved.count() == 0, f"a save by Ctrl + S in {control}", 20)
    page.reload()
    page.locator(".course-lab .course-lab-chart svg text").first.wait_for(timeout=90_000)


def test_the_seed_is_a_whole_number_of_its_bounds_whatever_is_typed(lab):
    page, seed = lab, lab.locator(".course-lab-seed input")
    output = page.locator(".jp-CodeCell", has_text="# changes").locator(".jp-OutputArea-output")
    typed = [("7", "7"), ("", "7"), ("-3", "0"), ("1e30", str(2**53 - 1)), ("2.9", "2"), (str(2**53 - 1),) * 2]
    for words, meant in typed:
        seed.fill(words)
        seed.press("Enter")
        assert seed.input_value() == meant, words
        run_cell(page, "# changes")
        wait_until(lambda meant=meant: output.all_inner_texts() == [f"{meant}\n"], f"{meant} in the kernel")
