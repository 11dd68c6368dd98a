"""The picture of a step's windows: what it draws is what `Batcher` reads, with a kernel and without one."""

import base64
from pathlib import Path

import numpy as np
import pytest

from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.tokenizers import CharTokenizer
from course_lib.widgets.windows import MOST_COLUMNS, Windows

TEXT = "the fox naps.\nthe cat hops. " * 40
TOKENIZER = CharTokenizer.train(TEXT)
IDS = TOKENIZER.encode(TEXT)
CUT = int(len(IDS) * 0.9)


@pytest.fixture
def windows() -> Windows:
    return Windows(IDS, TOKENIZER)


def test_the_windows_are_those_of_the_batcher(windows):
    for step, batch_size, block_size in ((0, 8, 16), (5, 4, 8), (999, 32, 64)):
        windows.step.value, windows.batch_size.value, windows.block_size.value = step, batch_size, block_size
        data = windows.strip.data
        batcher = Batcher(IDS[:CUT], batch_size, block_size)
        assert data["starts"] == batcher.offsets(step).tolist() == windows.starts().tolist()
        assert max(data["starts"]) + block_size < CUT == data["cut"], "training only, its last targets too"
        x, y = batcher.batch(step)
        shown = [place for place in data["columns"] if place["t"] != "…"]
        for place in shown:
            for name, row in (("x", x), ("y", y)):
                letter = TOKENIZER.decode([int(row[0, place["t"]])])
                assert place[name] == {" ": "␣", "\n": "↵"}.get(letter, letter)
        assert (len(data["columns"]), shown[-1]["t"]) == (min(block_size, MOST_COLUMNS), block_size - 1)


def test_another_window_is_shown_when_it_is_chosen_and_none_beyond_the_batch(windows):
    windows.strip.chosen = 6
    data = windows.strip.data
    assert data["chosen"] == 6
    start = data["starts"][6]
    assert "".join(place["x"] for place in data["columns"]).replace("␣", " ").replace("↵", "\n") == TEXT[start:][:16]
    assert f"Window 6 starts at {start:,}" in data["alt"]
    windows.batch_size.value = 2
    assert windows.strip.data["chosen"] == 1


def test_the_share_that_has_been_read_is_counted_and_grows(windows):
    windows.block_size.value, windows.batch_size.value = 8, 4
    read = np.zeros(CUT, dtype=bool)
    for step in range(6):
        for start in windows.starts(step):
            read[start : start + 8] = True
        windows.step.value = step
        assert f"{read.mean():.2%} of the training text" in windows.strip.data["status"]
    pieces = np.array_split(read, len(windows.strip.data["read"]))
    assert windows.strip.data["read"] == [round(float(piece.mean()), 3) for piece in pieces]
    windows.step.value = 999
    assert windows.strip.data["read"][10] == 1


def test_a_window_does_not_outgrow_the_text():
    few = Windows(IDS[:60], TOKENIZER, block_size=8)
    assert [value for _, value in few.block_size.options] == [8, 16, 32]
    with pytest.raises(CourseError, match="needs at least"):
        Windows(IDS[:10], TOKENIZER)
    with pytest.raises(CourseError, match="val_fraction"):
        Windows(IDS, TOKENIZER, val_fraction=1)


def test_without_a_kernel_there_is_a_picture_and_words(windows):
    bundle, about = windows._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(windows) == repr(Windows(IDS, TOKENIZER, block_size=64))
    assert " at 0x" not in repr(windows.strip) + repr(windows)
    assert about["image/png"]["alt"] == windows.strip.data["alt"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == windows.widget.model_id


def test_each_mark_of_the_picture_stands_where_its_window_starts(windows):
    strip = windows.picture().axes[0]
    places = sorted(strip.lines[0].get_xdata())
    assert places == sorted(windows.starts())
    train, val = strip.patches
    assert (train.get_hatch(), val.get_hatch()) == (None, "////"), "told apart without color"
    assert (train.get_width(), val.get_x()) == (CUT, CUT)
    assert strip.lines[1].get_markersize() > strip.lines[0].get_markersize()


def test_the_page_part_reads_only_what_it_is_sent(windows):
    code = Path(__file__).resolve().parents[2].joinpath("course_lib/widgets/windows.js").read_text(encoding="utf-8")
    for name in windows.strip.data:
        assert f"data.{name}" in code or f'"{name}"' in code, name
