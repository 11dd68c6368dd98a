"""Flags: yes and no in every spelling, and nothing else touched by it."""

import ast
import inspect
import io
import itertools
import re
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from tyro.conf import Positional, arg

from course_lib.cli.flags import NewRun, OldRun, filled, flat, train_form
from course_lib.cli.parse import parse, parse_given
from course_lib.cli.resuming import FIXED
from course_lib.config import DataConfig, GPTConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.recipes import FROM_DATA, load_recipe, setting_fields


@dataclass
class Form:
    word: Annotated[Positional[str], arg(help="A word.")]
    plain: bool = False
    helped: Annotated[bool, arg(help="With a help text.")] = False
    maybe: Annotated[bool | None, arg(help="Or nothing.")] = None
    text: str = ""


def parsed(*args: str) -> Form:
    return parse_given(Form, list(args), "p", "", {"other_name": "maybe"})[0]


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
def test_other_words_are_refused(bad):
    with pytest.raises(CourseError, match=f"^--plain should be true or false; it is '{bad}'\\.$"):
        parsed("w", "--plain", bad)


@pytest.mark.parametrize("name", ["plain", "helped", "maybe"])
def test_no_has_a_flag_of_its_own(name):
    for args in (["word", f"--no-{name}"], [f"--no_{name}", "word"], ["--plain", "true", f"--no-{name}", "word"]):
        assert getattr(parsed(*args), name) is False


@dataclass
class Numbers:
    word: Annotated[Positional[str], arg(help="A word.", metavar="WORD")]
    whole: int = 1
    number: float = 0.5
    choice: Literal["one", "two"] = "one"
    maybe: int | None = None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("w --whole x", "--whole should be a whole number; it is 'x'."),
        ("w --whole=1.5", "--whole should be a whole number; it is '1.5'."),
        ("w --whole 1 --number one", "--number should be a finite number; it is 'one'."),
        ("w --choice three", "--choice should be 'one' or 'two'; it is 'three'."),
        ("w --maybe some", "--maybe should be a whole number or nothing (None); it is 'some'."),
        ("w --number", "--number should be a finite number; it is not given."),
        ("w --whole=4 --whole=4.0", "--whole should be a whole number; it is '4.0'."),
        ("w --whole 4 --number 1 --whole x", "--whole should be a whole number; it is 'x'."),
        ("", "p needs WORD. p --help says more."),
        ("w more words", "p does not understand this: more, words. p --help lists what there is."),
        ("w -x", "p does not understand this: -x. p --help lists what there is."),
    ],
)
@pytest.mark.parametrize("width", ["20", "80", "200"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_tyro_refuses_is_told_in_a_sentence(args, message, width, encoding, monkeypatch, capsys):
    """However wide the terminal is, and whatever frame it can show: in it the words are broken into lines."""
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    with pytest.raises(CourseError) as refused:
        parse(Numbers, args.split(), "p", "")
    assert str(refused.value) == message
    assert capsys.readouterr() == ("", "")


def recipe_form():
    form = train_form(NewRun)
    return form, lambda: filled(form, load_recipe("tinytales_cpu").all_settings() | {"vocab_size": 2}, NewRun())


def run_form():
    form = train_form(OldRun, FIXED)
    return form, lambda: filled(form, load_recipe("tinytales_cpu").all_settings() | {"vocab_size": 2}, OldRun())


@pytest.mark.parametrize("made", [recipe_form, run_form])
def test_every_yes_or_no_of_course_train(made):
    """Of a new run and of one that goes on, where not given means as it was."""
    form, default = made()
    settings = {n: v for n, v in flat(default()).items() if made is recipe_form or n in TrainConfig.names()}
    flags = [name for name, value in settings.items() if isinstance(value, bool) and name not in FROM_DATA]
    assert {"compile", "tensorboard"} <= set(flags)
    for name, (spelling, value) in itertools.product(flags, SPELLINGS.items()):
        for words in ([f"--{name.replace('_', '-')}", spelling], [f"--{'' if value else 'no_'}{name}"]):
            filled_in, given = parse_given(form, words, "p", "", default=default)
            assert flat(filled_in)[name] is value
            assert given == {name}


def test_what_is_not_given_is_as_the_run_has_it():
    form, default = run_form()
    made, given = parse_given(form, ["--max-lr", "0.5", "--resume=x"], "p", "", default=default)
    assert given == {"max_lr", "resume"}
    assert flat(made) == flat(default()) | {"max_lr": 0.5, "resume": "x"}


@pytest.mark.parametrize("made", [recipe_form, run_form])
def test_the_help_has_a_group_for_each_kind_of_setting_and_the_text_under_each_field(made, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1000")
    form, default = made()
    with pytest.raises(SystemExit):
        parse_given(form, ["--help"], "p", "At the top.", default=default)
    printed = re.sub(r"[\u2500-\u257f]", " ", capsys.readouterr().out)
    is_new = made is recipe_form
    titles = re.findall(r"^ +(\w+) options +$", printed, flags=re.MULTILINE)
    assert titles == ["text", "model", "training", "running"][0 if is_new else 1 :]
    shown = setting_fields().keys() - (set() if is_new else FIXED)
    flags = {name.replace("-", "_") for name in re.findall(r"^  ?--([a-z][a-z0-9-]*)", printed, flags=re.MULTILINE)}
    more = {"speed", "profile", "eval_only", "backend"}
    assert flags == {*shown, *more} | ({"out_dir"} if is_new else {"resume", "which", "dataset"})
    for group in (DataConfig, GPTConfig, TrainConfig):
        for name, text in texts_under_fields(group).items():
            if name in shown and name != "dataset":
                assert text.strip('"') in printed, name


def texts_under_fields(group: type) -> dict[str, str]:
    """By Python's own parser: the string after each field."""
    (body,) = [node.body for node in ast.parse(inspect.getsource(group)).body]
    pairs = [pair for pair in itertools.pairwise(body) if isinstance(pair[0], ast.AnnAssign)]
    return {field.target.id: text.value.value for field, text in pairs}


@pytest.mark.parametrize("name", ["plain", "helped", "maybe", "other-name"])
def test_a_flag_alone_means_yes(name):
    for args in (["word", f"--{name}"], [f"--{name}", "--text", "x", "word"]):
        assert getattr(parsed(*args), "maybe" if name.startswith("other") else name) is True
