"""The page about the library's inside agrees with the code, and so do the paths that it names."""

import re

import architecture
import pytest
from architecture import FLOOR_NAMES, PAGE, drawings, first_sentence, imports_of_rooms, redrawn
from library_imports import ROOT, library_sources, module_name
from test_layers import FLOORS

TEXT = PAGE.read_text(encoding="utf-8")
SOURCES = library_sources()
SOLUTION = re.compile(r"/\d\d-\d\.py$")

SMALL = {
    "course_lib/__init__.py": '"""All."""\n',
    "course_lib/errors.py": '"""What goes wrong,\nin words.\n\nAnd more.\n"""\n',
    "course_lib/models/__init__.py": '"""The models: ``GPT`` | others."""\nfrom .gpt import GPT\n',
    "course_lib/models/gpt.py": '"""One model."""\nfrom ..errors import CourseError\n',
    "course_lib/models/micro/__init__.py": '"""A small one."""\n',
    "course_lib/models/micro/value.py": '"""A value."""\n',
    "course_lib/data/__init__.py": '"""Texts."""\n',
    "course_lib/training.py": '"""The loop."""\nimport course_lib.models.gpt\ndef f():\n    from . import data\n',
}


# The page -------------------------------------------------------------------------------------------------


def test_the_page_agrees_with_the_code():
    assert redrawn(TEXT, SOURCES, FLOORS) == TEXT, "run: make architecture"


def test_every_path_that_the_page_names_is_there():
    named = re.findall(r"`((?:\w[\w.-]*/)+(?:[\w.-]+)?|_\w+\.yml)`", TEXT)
    assert len(named) > 100
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_floor_has_a_name():
    assert set(FLOOR_NAMES) == set(FLOORS.values())


def test_every_module_says_in_one_line_what_it_is_for():
    """A solution is shown as it stands, so it has no docstring."""
    lines = {path: first_sentence(source) for path, source in SOURCES.items() if not SOLUTION.search(path)}
    assert {path: line for path, line in lines.items() if not 10 < len(line) < 140} == {}
    assert {path: line for path, line in lines.items() if not line.endswith((".", ".`"))} == {}


def test_every_room_and_file_is_on_the_page():
    drawn = "".join(drawings(SOURCES, FLOORS).values())
    for path in SOURCES:
        if path.count("/") <= 2 and module_name(path) != "course_lib":
            room = path.split("/")[1].removesuffix(".py")
            assert f"| `{room}` |" in drawn
            assert path.count("/") == 1 or path.endswith("__init__.py") or f"- `{path}`: " in drawn


# The drawing, on a small house ----------------------------------------------------------------------------


def test_imports_are_seen_wherever_they_stand():
    assert imports_of_rooms(SMALL) == {"models": {"errors"}, "training": {"models", "data"}}


def test_what_is_drawn():
    drawn = drawings(SMALL, FLOORS)
    assert "| 3 | `training` | The loop. | data, models |" in drawn["floors"]
    assert "| 1 | `models` | The models: `GPT` \\| others. |  |" in drawn["floors"]
    assert "| -2 | `errors` | What goes wrong, in words. |  |" in drawn["floors"]
    floors = re.findall(r'subgraph floor\d+\["(-?\d): .*?"\]\n(.*?)\n    end', drawn["floors"], flags=re.DOTALL)
    assert {level: re.findall(r'\["(\w+)"\]', rooms) for level, rooms in floors} == {
        **{"3": ["training"], "2": ["data"], "1": ["models"], "-2": ["errors"]},
    }
    assert re.findall(r"floor\d+ --> floor\d+", drawn["floors"]) == [
        *("floor5 --> floor4", "floor4 --> floor3", "floor3 --> floor0"),
    ]
    assert drawn["files"].splitlines() == [
        *("### models", "", "- `course_lib/models/gpt.py`: One model.", "- `course_lib/models/micro/`: A small one."),
    ]


CHANGES = {
    "an import more": ("training.py", SMALL["course_lib/training.py"] + "from course_lib.config import Config\n"),
    "an import less": ("training.py", '"""The loop."""\n'),
    "a file more": ("models/blocks.py", '"""Blocks."""\n'),
    "a room more": ("optim.py", '"""Optimizers."""\n'),
    "another docstring": ("data/__init__.py", '"""Texts and batches."""\n'),
}


@pytest.mark.parametrize(("path", "source"), CHANGES.values(), ids=CHANGES)
def test_a_page_that_is_out_of_date_is_drawn_anew(path, source):
    page = redrawn(TEXT, SMALL, FLOORS)
    assert redrawn(page, SMALL, FLOORS) == page
    assert redrawn(page, {**SMALL, f"course_lib/{path}": source}, FLOORS) != page


def test_what_stands_around_the_drawing_stays():
    page = redrawn(TEXT, SMALL, FLOORS)
    for heading in re.findall(r"^## .*$", TEXT, flags=re.MULTILINE):
        assert heading in page
    assert TEXT.split("<!--")[0] == page.split("<!--")[0]
    assert redrawn(page, SOURCES, FLOORS) == TEXT


def test_a_page_without_a_marker_is_refused():
    for marker in re.findall(r"<!-- .* -->", TEXT):
        with pytest.raises(ValueError, match="unpack"):
            redrawn(TEXT.replace(marker, ""), SMALL, FLOORS)


def test_the_command_writes_only_what_has_changed(tmp_path, monkeypatch, capsys):
    page = tmp_path / "architecture.md"
    page.write_text(redrawn(TEXT, SMALL, FLOORS), encoding="utf-8")
    monkeypatch.setattr(architecture, "PAGE", page)
    for words in ("drawn anew", "nothing has changed"):
        assert architecture.main() == 0
        assert words in capsys.readouterr().out
        assert page.read_text(encoding="utf-8") == TEXT
