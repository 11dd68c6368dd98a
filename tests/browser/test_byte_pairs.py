"""The widgets for byte pairs in JupyterLab: a word's merges step by step, and one text under four tokenizers."""

import itertools

import pytest
from jupyter_page import (
    ERROR,
    LEAST_CONTRAST,
    assert_no_errors,
    open_notebook,
    run_cell,
    switch_to_dark,
    wait_until,
    write_notebook,
)

pytestmark = pytest.mark.browser

CELLS = (
    "from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer\n"
    "from course_lib.widgets.merges import MergeSteps\n"
    "from course_lib.widgets.pieces import FourTokenizers\n"
    "text = 'the lowest fox, the newest banana, a lower or slower crow, <b>\\n' * 9\n"
    "own = BPETokenizer.train(text, 289)",
    "merges = MergeSteps(own, 'lowest é')\nmerges",
    "tokenizers = {'characters': CharTokenizer.train(text), 'bytes': ByteTokenizer(), 'byte pairs': own,\n"
    "    'the same': own}\nFourTokenizers(tokenizers, 'the lowest crow')",
    "print(merges.step, 'steps', merges.last)",
    "from IPython.display import HTML\nHTML(merges._repr_html_())  # as a page without a kernel has it",
)
PIECE = "span[title^='token ']"
HAS_FOCUS = "node => document.activeElement === node"
BEHIND = "box => getComputedStyle(box).backgroundColor"


@pytest.fixture
def opened(jupyterlab, page):
    """The page, with both widgets on it."""
    write_notebook(jupyterlab.folder / "chapters" / "pairs.ipynb", *CELLS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append("a script ran"), dialog.dismiss()))
    open_notebook(page, jupyterlab.page_of("chapters/pairs.ipynb"))
    for source in ("import BPETokenizer", "merges = MergeSteps", "tokenizers = {"):
        run_cell(page, source)
    page.locator(".course-lab-pieces").or_(page.locator(ERROR)).first.wait_for(timeout=120_000)
    assert_no_errors(page)
    yield page
    assert_no_errors(page)
    assert complaints == []


def signs(picture) -> list[str]:
    return [title.split(": ", 1)[1].rsplit(", id", 1)[0] for title in titles(picture)]


def titles(place) -> list[str]:
    return place.evaluate(f'place => [...place.querySelectorAll("{PIECE}")].map((piece) => piece.title)')


def assert_steps_go_back_and_forth(page, view) -> None:
    picture, shown, status = (view.locator(f".course-lab-{name}") for name in ("merges-picture", "shown", "status"))
    back, forward = view.get_by_role("button", name="Back"), view.get_by_role("button", name="Forward")
    begun = ["l", "o", "w", "e", "s", "t", "␣", "C3", "A9"]
    assert signs(picture) == begun
    assert shown.inner_text().startswith("0 of ")
    last = int(shown.inner_text().split()[-1])
    assert back.get_attribute("aria-disabled") == "true"
    back.click(force=True)
    assert "Merged next, as its rank is the lowest" in status.inner_text()
    marked = picture.locator("[style*='box-shadow']")
    assert marked.count() == 3, "two pieces, and the rank between them"
    assert marked.nth(1).inner_text().isdigit(), "the rank says it too, not the color alone"
    forward.click()
    wait_until(lambda: shown.inner_text() == f"1 of {last}", "one step")
    wait_until(lambda: len(signs(picture)) == 8, "a piece less")
    slider = view.get_by_role("slider")
    slider.focus()
    slider.press("End")
    wait_until(lambda: shown.inner_text() == f"{last} of {last}", "the last step")
    wait_until(lambda: marked.count() == 0, "nothing is merged any more")
    assert signs(picture) == ["lowest", "␣", "C3", "A9"]
    assert forward.get_attribute("aria-disabled") == "true"
    assert "No two neighbors" in status.inner_text()
    assert status.inner_text() in picture.get_attribute("aria-label")
    forward.focus()
    page.keyboard.press("Enter")
    assert forward.evaluate(HAS_FOCUS), "a button at the end keeps the focus"
    back.focus()
    page.keyboard.press("Space")
    wait_until(lambda: shown.inner_text() == f"{last - 1} of {last}", "one step back")


def test_the_merges_of_a_word(opened, tmp_path):
    page = opened
    view = page.locator(".course-lab-merges")
    view.evaluate("view => view.scrollIntoView({block: 'center'})")
    picture, box = view.locator(".course-lab-merges-picture"), view.locator("textarea")
    page.screenshot(path=tmp_path / "merges.png")
    assert picture.evaluate(LEAST_CONTRAST) >= 4.5
    assert_steps_go_back_and_forth(page, view)

    # Python sees where it stands, and another word begins at its bytes.
    run_cell(page, "print(merges.step")
    last = int(view.locator(".course-lab-shown").inner_text().split()[-1])
    page.locator(".jp-OutputArea-output", has_text=f"{last - 1} steps {last}").wait_for()
    run_cell(page, "from IPython.display")
    kept = page.locator(".jp-OutputArea-output table")
    kept.wait_for()
    assert kept.locator("tr").count() == last + 1
    assert kept.evaluate(LEAST_CONTRAST) >= 4.5
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    box.fill("")
    wait_until(lambda: "Type a word" in view.inner_text(), "no text")
    assert view.get_by_role("slider").is_disabled()
    box.press_sequentially("add banana <b>日")
    wait_until(lambda: "<" in signs(picture) and len(signs(picture)) == 17, "another text in bytes")
    assert view.locator(".course-lab-shown").inner_text().startswith("0 of ")
    assert picture.locator("b").count() == 0
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    page.screenshot(path=tmp_path / "merges_other.png")
    view.get_by_role("slider").press("End")
    wait_until(lambda: "␣banana" in signs(picture), "the last step of it")
    box.fill("lower " * 40)
    wait_until(lambda: "100 of 240 bytes" in view.inner_text(), "a long text is cut")
    page.screenshot(path=tmp_path / "merges_long.png")
    assert picture.evaluate("picture => picture.scrollWidth <= picture.clientWidth")
    box.press("Escape")
    assert not box.evaluate(HAS_FOCUS)
    box.fill("the newest é")
    wait_until(lambda: len(signs(picture)) == 13, "a short text again")
    switch_to_dark(page)
    view.evaluate("view => view.scrollIntoView({block: 'center'})")
    page.screenshot(path=tmp_path / "merges_dark.png")
    assert kept.evaluate(LEAST_CONTRAST) >= 4.5
    kept.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "kept_dark.png")
    assert view.evaluate(LEAST_CONTRAST) >= 4.5


def assert_arrows_go_along(page, row) -> None:
    """Tab comes to the first piece; arrows go from piece to piece, and each tells its id and bytes."""
    told, found = row.locator("[data-told]"), row.locator(PIECE)
    first = found.first
    first.focus()
    assert told.inner_text() == first.get_attribute("title")
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", found.count() - 1), ("Home", 0)):
        page.keyboard.press(key)
        assert found.nth(place).evaluate(HAS_FOCUS), key
        assert (
            told.inner_text() == found.nth(place).get_attribute("title") == found.nth(place).get_attribute("aria-label")
        )
        assert found.nth(place).evaluate("piece => getComputedStyle(piece).outlineStyle") == "solid"
    assert row.evaluate("row => row.querySelectorAll('[tabindex=\"0\"]').length") == 1, "one stop for the Tab key"


def test_one_text_under_four_tokenizers(opened, tmp_path):
    page = opened
    view = page.locator(".course-lab-pieces")
    view.evaluate("view => view.scrollIntoView({block: 'center'})")
    box, rows = view.locator("textarea"), view.locator("[data-row]")
    status = view.locator("[role=status]")
    assert rows.count() == 4
    assert [len(titles(row)) for row in rows.all()[:2]] == [15, 15]
    assert "characters: 15 tokens, 1.00 characters per token." in status.inner_text()
    page.screenshot(path=tmp_path / "pieces.png")

    # Pointing at a piece, and the keyboard.
    pairs = rows.nth(2)
    piece = pairs.locator(PIECE).nth(1)
    piece.hover()
    wait_until(lambda: "id " in pairs.locator("[data-told]").inner_text(), "what a piece is")
    assert "bytes 20 6C 6F 77 65 73 74" in pairs.locator("[data-told]").inner_text()
    assert_arrows_go_along(page, rows.nth(1))
    tops = rows.evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().height)")
    assert tops[1] == tops[0], "what is told takes no room of its own"

    # An unknown character is told; parts of characters stand under them, and markup is text.
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    box.fill("")
    wait_until(lambda: "characters: 0 tokens" in status.inner_text(), "an empty text")
    box.press_sequentially("add <b>日本 é")
    box.press("Enter")
    box.press_sequentially("🦊 crow")
    wait_until(lambda: "bytes: 26 tokens" in status.inner_text(), "other scripts")
    assert "'d' (U+0064" in rows.first.inner_text()
    assert "'d' (U+0064" in status.inner_text()
    assert rows.nth(1).locator("span[style*='dotted']").all_inner_texts() == ["日", "本", "é", "🦊"]
    assert "\ufffd" not in view.inner_text()
    assert view.locator("[data-row] b").count() == 4, "the names, and nothing of the text"
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    for row in rows.all()[1:]:
        colors = [piece.evaluate(BEHIND) for piece in row.locator(PIECE).all()]
        assert all(a != b for a, b in itertools.pairwise(colors))
    page.screenshot(path=tmp_path / "pieces_scripts.png")
    assert view.evaluate(LEAST_CONTRAST) >= 4.5

    # A long text is read, drawn in part, and does not stick out.
    box.fill("the lowest crow " * 125)
    seconds = wait_until(lambda: "bytes: 2,000 tokens" in status.inner_text(), "a long text")
    print(f"2,000 characters were shown after {seconds:.2f} s")
    assert len(titles(rows.nth(1))) == 400
    assert "and 1,600 more tokens" in rows.nth(1).inner_text()
    assert view.evaluate("view => view.scrollWidth <= view.clientWidth")
    page.screenshot(path=tmp_path / "pieces_long.png")
    box.fill("the lowest 日本\n🦊 crow é")
    wait_until(lambda: "2,000" not in status.inner_text(), "a short text again")
    switch_to_dark(page)
    view.evaluate("view => view.scrollIntoView({block: 'center'})")
    rows.nth(2).locator(PIECE).nth(2).focus()
    page.screenshot(path=tmp_path / "pieces_dark.png")
    assert view.evaluate(LEAST_CONTRAST) >= 4.5
