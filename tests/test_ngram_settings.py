"""The settings of n-grams through every way in and out: Python, JSON, TOML, pickles, recipes, the command line."""

import json
import pickle
import tomllib
from pathlib import Path

import pytest

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.recipes import Recipe, load_recipe

SHAPE = dict(block_size=8, vocab_size=5, n_layer=2, n_head=2, n_embd=8)
RECIPE = """
dataset = "numbers"
val_fraction = 0.01
block_size = 8
n_layer = 1
n_head = 2
n_embd = 16
batch_size = 2
max_steps = 4
eval_every = 2
eval_batches = 2
device = "cpu"
ngrams = [2, 3]
ngram_rows = 50
ngram_lr_scale = 4
"""
A_LIST = "ngrams should be whole numbers in a row, such as 2 3 4; it is "
WRONG = {
    "falling": ([3, 2], "ngrams should be in rising order, each of them once; it is (3, 2)."),
    "twice": ([2, 2], "ngrams should be in rising order, each of them once; it is (2, 2)."),
    "single tokens": ([1], "ngrams should be numbers from 2 to 32; it is (1,)."),
    "too many": ([2, 33], "ngrams should be numbers from 2 to 32; it is (2, 33)."),
    "below nothing": ([-2], "ngrams should be numbers from 2 to 32; it is (-2,)."),
    "a text": ("2 3", A_LIST + "'2 3'."),
    "true": ([2, True], A_LIST + "(2, True)."),
    "a half": ([2.5], A_LIST + "(2.5,)."),
    "as a fraction": ([2.0], A_LIST + "(2.0,)."),
    "no list": (2.5, A_LIST + "2.5."),
    "one number": (2, A_LIST + "2."),
    "a list in a list": ([[2, 3]], A_LIST + "([2, 3],)."),
}

pytestmark = pytest.mark.usefixtures("one_thread")


def run_config(**changes) -> RunConfig:
    return RunConfig("test", DataConfig(), GPTConfig(**SHAPE | changes), TrainConfig(ngram_lr_scale=4.0))


@pytest.fixture
def recipe(project: Path) -> Path:
    (project / "mine.toml").write_text(RECIPE)
    return project / "mine.toml"


# Values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ngrams", [(), (2,), (2, 3, 4), (32,)], ids=str)
def test_a_tuple_in_python_is_a_list_in_a_file(ngrams: tuple[int, ...]) -> None:
    config = GPTConfig(**SHAPE, ngrams=ngrams, ngram_rows=77)
    assert config == GPTConfig(**SHAPE, ngrams=list(ngrams), ngram_rows=77)
    assert config.to_dict()["ngrams"] == list(ngrams)
    assert tomllib.loads(config.to_toml())["ngrams"] == list(ngrams)
    assert type(config.ngrams) is tuple
    ways = [
        GPTConfig.from_dict(config.to_dict()),
        GPTConfig.from_dict(json.loads(json.dumps(config.to_dict()))),
        pickle.loads(pickle.dumps(config)),
        config.replace(ngrams=list(ngrams)),
        GPTConfig.from_toml(config.to_toml()),
        RunConfig.from_json(run_config(ngrams=ngrams, ngram_rows=77).to_json()).model,
    ]
    for found in ways:
        assert found == config
        assert type(found.ngrams) is tuple
        assert hash(found) == hash(config)
    assert hash(config) != hash(config.replace(ngrams=(2, 5)))


def test_without_them_nothing_is_as_it_was_not() -> None:
    """Runs from before there were n-grams say nothing of them, and have none."""
    older = json.loads(run_config().to_json())
    for name in ("ngrams", "ngram_rows"):
        del older["model"][name]
    del older["train"]["ngram_lr_scale"]
    found = RunConfig.from_json(json.dumps(older))
    assert (found.model.ngrams, found.model.ngram_rows, found.train.ngram_lr_scale) == ((), 32_768, 1.0)
    assert found.model == run_config().model


@pytest.mark.parametrize(("value", "words"), WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_refused_in_words(value: object, words: str, project: Path) -> None:
    with pytest.raises(CourseError) as refused:
        GPTConfig(**SHAPE, ngrams=value)
    assert str(refused.value) == words
    if isinstance(value, list):
        with pytest.raises(CourseError) as refused:
            GPTConfig(**SHAPE, ngrams=tuple(value))
        assert str(refused.value) == words
    damaged = json.loads(run_config().to_json())
    damaged["model"]["ngrams"] = value
    with pytest.raises(CourseError) as refused:
        RunConfig.from_json(json.dumps(damaged))
    assert words in str(refused.value)
    (project / "wrong.toml").write_text(RECIPE.replace("[2, 3]", json.dumps(value)))
    with pytest.raises(CourseError) as refused:
        load_recipe("wrong.toml")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(ngram_rows=0), "ngram_rows should be at least 1; it is 0."),
        (dict(ngram_rows=True), "ngram_rows should be a whole number; it is True."),
        (dict(ngram_rows=5.0), "ngram_rows should be a whole number; it is 5.0."),
        (dict(ngram_lr_scale=0), "ngram_lr_scale should be above 0; it is 0.0."),
        (dict(ngram_lr_scale="2"), "ngram_lr_scale should be a finite number; it is '2'."),
    ],
    ids=str,
)
def test_the_numbers_beside_them_are_checked_too(settings: dict, words: str) -> None:
    kind, whole = (TrainConfig, settings) if "ngram_lr_scale" in settings else (GPTConfig, SHAPE | settings)
    with pytest.raises(CourseError) as refused:
        kind(**whole)
    assert str(refused.value) == words


# Recipes --------------------------------------------------------------------------------------------------


def test_a_recipe_holds_them_as_a_list(recipe: Path) -> None:
    found = load_recipe(str(recipe))
    assert found.model(5).ngrams == (2, 3)
    assert (found.model(5).ngram_rows, found.train.ngram_lr_scale) == (50, 4.0)
    assert found.all_settings()["ngrams"] == [2, 3]
    assert Recipe("mine", found.all_settings()).model(5) == found.model(5)
    changed = found.replace(ngrams=(2, 5))
    assert changed.model(5).ngrams == (2, 5)
    assert found.replace(ngrams=()).model(5).ngrams == ()
    assert hash(found.model(5)) == hash(load_recipe(str(recipe)).model(5))


# The command line -----------------------------------------------------------------------------------------


def trained(*args: str) -> GPTConfig:
    assert course(["train", "mine.toml", *args, "--out-dir", "run"]) == 0
    return checkpoint.load("run").model.config


@pytest.mark.parametrize(
    ("words", "ngrams"),
    [
        ("", (2, 3)),
        ("--ngrams 2 3 4", (2, 3, 4)),
        ("--ngrams 4 --ngram-rows 9", (4,)),
        ("--ngrams=4", (4,)),
        ("--ngram-rows 9 --ngrams 2 4 --max-lr 1e-3", (2, 4)),
        ("--ngrams", ()),
        ("--ngrams --max-lr 1e-3", ()),
    ],
)
def test_several_numbers_follow_one_flag_and_none_turn_them_off(recipe: Path, words: str, ngrams: tuple) -> None:
    config = trained(*words.split())
    assert config.ngrams == ngrams
    assert config.ngram_rows == (9 if "rows" in words else 50)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--ngrams", "2 3"], "--ngrams should be whole numbers in a row, such as 2 3 4; it is '2 3'."),
        (["--ngrams", "2,3"], "--ngrams should be whole numbers in a row, such as 2 3 4; it is '2,3'."),
        (["--ngrams", "2", "x"], "--ngrams should be whole numbers in a row, such as 2 3 4; it is '2 x'."),
        (["--ngrams", "2", "x", "--max-steps", "3"], "such as 2 3 4; it is '2 x'."),
        (["--ngrams", "2.5"], "--ngrams should be whole numbers in a row, such as 2 3 4; it is '2.5'."),
        (["--ngrams="], "--ngrams should be whole numbers in a row, such as 2 3 4; it is ''."),
        (["--ngrams", "None"], "--ngrams should be whole numbers in a row, such as 2 3 4; it is 'None'."),
        (["--ngrams", "3", "2"], "ngrams should be in rising order, each of them once; it is (3, 2)."),
        (["--ngrams", "1"], "ngrams should be numbers from 2 to 32; it is (1,)."),
        (["--ngrams", "-2"], "ngrams should be numbers from 2 to 32; it is (-2,)."),
        (["--ngrams=2", "3"], "There is a word too many: '3'."),
        (["--ngrams", "2", "3", "--max-steps", "3", "5"], "There is a word too many: '5'."),
        (["--ngram-rows", "2", "3"], "There is a word too many: '3'."),
        (["--ngram", "2"], "--ngrams"),
    ],
)
def test_what_the_command_line_refuses(recipe: Path, capsys, words: list[str], complaint: str) -> None:
    assert course(["train", "mine.toml", *words, "--out-dir", "run"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("course: ")
    assert complaint in said.err
    assert not Path("run").exists()


def test_every_command_works_on_such_a_run(recipe: Path, capsys) -> None:
    """Its weights are told with the tables; a resume goes on with them, and cannot change them."""
    assert trained().ngrams == (2, 3)
    model = checkpoint.load("run").model
    assert f"{model.num_parameters():,} weights; vocabulary" in capsys.readouterr().out
    commands = "eval run", "sample run --max-new-tokens 20", "runs", "export run --to cpp", "export run --to pth"
    for command in (*commands, "upload run --repo x --dry-run"):
        assert course(command.split()) == 0, command
        assert capsys.readouterr().out.strip(), command
    assert course(["train", "--resume", "run", "--max-steps", "6"]) == 0
    assert f"{model.num_parameters():,} weights; vocabulary" in capsys.readouterr().out
    assert checkpoint.load("run").model.config == model.config
    for flag in (["--ngrams", "2"], ["--ngrams"], ["--ngram-rows", "60"]):
        assert course(["train", "--resume", "run", "--max-steps", "8", *flag]) == 2
        assert f"{flag[0]} cannot change when it goes on" in capsys.readouterr().err
    assert course(["export", "run", "--to", "hf"]) == 2
    assert "this one has embeddings of n-grams" in capsys.readouterr().err
    assert not Path("run-hf").exists()
    assert course(["inspect", "run"]) == 2
    assert "which does not think" in capsys.readouterr().err
