"""What the README tells people to type works."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from course_lib.cli.commands import BenchSettings, PrepareSettings
from course_lib.cli.evaluate import EvalSettings
from course_lib.cli.export import ExportSettings
from course_lib.cli.flags import NewRun, OldRun
from course_lib.cli.inspect import InspectSettings
from course_lib.cli.sample import SampleSettings
from course_lib.cli.upload import UploadSettings
from course_lib.config import ALIASES, WORDS
from course_lib.recipes import load_recipe

OF_OTHERS = ("standalone", "nproc_per_node", "nproc", "help", "tiny", "go-on", "agiformer", "tyro-print-completion")
"""torchrun's flags, and those that tests/bench gives to the card's list."""
README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_trains(project: Path, capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    losses = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 100
    assert losses[-1] < losses[0] - 0.5  # it starts at ln 24 = 3.18


def test_the_recipes_and_settings_it_names_exist():
    for name in re.findall(r"course train ([a-z][a-z_]+)\b(?![:.])", README):
        assert load_recipe(name).name == name
    forms = (
        *(NewRun, OldRun, SampleSettings, PrepareSettings, BenchSettings, ExportSettings),
        *(EvalSettings, InspectSettings, UploadSettings),
    )
    settings = {*load_recipe("shakespeare_char_cpu").all_settings(), *ALIASES, *WORDS}
    settings |= {field.name for form in forms for field in fields(form)}
    flags = re.findall(r"--([a-z]+(?:-[a-z]+)*)(?=[ `])", README)
    ours = [flag.replace("-", "_") for flag in flags if flag not in OF_OTHERS]
    assert ours
    assert [name for name in ours if name.removeprefix("no_") not in settings] == []


def test_every_file_it_links_to_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (Path(__file__).resolve().parents[1] / link).exists()] == []
