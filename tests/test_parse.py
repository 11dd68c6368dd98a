"""Flags: yes and no in every spelling, and nothing else touched by it."""

import itertools
from dataclasses import dataclass
from typing import Annotated

import pytest
from tyro.conf import Positional, arg

from course_lib.cli.parse import parse
from course_lib.cli.train import _form
from course_lib.config import TrainConfig
from course_lib.recipes import load_recipe


@dataclass
class Form:
    word: Annotated[Positional[str], arg(help="A word.")]
    plain: bool = False
    helped: Annotated[bool, arg(help="With a help text.")] = False
    maybe: Annotated[bool | None, arg(help="Or nothing.")] = None
    text: str = ""


def parsed(*args: str) -> Form:
    return parse(Form, list(args), "p", "", {"other_name": "maybe"})


SPELLINGS = {"true": True, "True": True, "false": False, "False": False}


@pytest.mark.parametrize("name", ["plain", "helped", "maybe", "other_name", "other-name"])
@pytest.mark.parametrize(("spelling", "value"), SPELLINGS.items())
def test_yes_and_no_as_toml_and_as_python_have_them(name, spelling, value):
    for words in ([f"--{name}", spelling], [f"--{name}={spelling}"]):
        for args in (["word", *words], [*words, "word"]):
            assert getattr(parsed(*args), "maybe" if name.startswith("other") else name) is value


def test_the_same_word_elsewhere_is_a_text():
    assert parsed("true", "--text", "false").text == "false"
    assert parsed("true", "--text=true").text == "true"
    assert parsed("true").word == "true"
    assert parsed("--plain", "true", "true").word == "true"
    assert parsed("--", "false").word == "false"
    assert parsed("w", "--maybe", "None").maybe is None


@pytest.mark.parametrize("bad", ["yes", "1", "TRUE", "maybe", ""])
def test_other_words_are_refused(bad, capsys):
    with pytest.raises(SystemExit):
        parsed("w", "--plain", bad)
    assert "plain" in capsys.readouterr().err


@pytest.mark.parametrize("resume", [True, False])
def test_every_yes_or_no_of_course_train(resume):
    """Of a new run and of one that goes on, where not given means as it was."""
    recipe = load_recipe("tinytales_cpu").all_settings()
    form = _form(dict.fromkeys(TrainConfig.names()) if resume else recipe, [])
    flags = [name for name, value in (TrainConfig().to_dict() if resume else recipe).items() if value in (True, False)]
    flags = [name for name in flags if isinstance(recipe[name], bool)]
    assert {"compile", "tensorboard"} <= set(flags)
    for name, (spelling, value) in itertools.product(flags, SPELLINGS.items()):
        assert getattr(parse(form, [f"--{name.replace('_', '-')}", spelling], "p", ""), name) is value


@pytest.mark.parametrize("name", ["plain", "helped", "maybe", "other-name"])
def test_a_flag_alone_means_yes(name):
    for args in (["word", f"--{name}"], [f"--{name}", "--text", "x", "word"]):
        assert getattr(parsed(*args), "maybe" if name.startswith("other") else name) is True
