"""A random walk over the lab in JupyterLab in a real Chromium: whatever a hand does, no picture is wrong."""

import os

import pytest
from jupyter_page import open_notebook, write_notebook
from walking import CELLS, Walk

pytestmark = pytest.mark.browser

SECONDS = float(os.environ.get("COURSE_WALK_SECONDS") or 0)
"""How long each walk is: 60 for a look, 600 for a campaign. What it meets depends on the clock and on the seed."""
SEEDS = [int(seed) for seed in os.environ.get("COURSE_WALK_SEEDS", "1").split(",")]


@pytest.mark.skipif(not SECONDS, reason="a campaign: set COURSE_WALK_SECONDS to how long each walk shall be")
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_to_a_lab_no_picture_of_it_is_wrong(jupyterlab, page, tmp_path, seed):
    write_notebook(jupyterlab.folder / "chapters" / "walk.ipynb", *CELLS)
    open_notebook(page, jupyterlab.page_of("chapters/walk.ipynb"))
    walk = Walk(page, seed)
    walk.make()
    try:
        walk.go(SECONDS)
    except BaseException:
        page.screenshot(path=tmp_path / "found.png")
        print(f"seed {seed}, after {len(walk.done)} actions:", *walk.done, sep="\n  ")
        raise
    print(f"seed {seed}: {len(walk.done)} actions")
