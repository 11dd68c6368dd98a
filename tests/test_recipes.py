"""Recipes: each a difference from the defaults, and nanoGPT's hold nanoGPT's published numbers."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from course_lib import recipes
from course_lib.config import ALIASES, MODEL_KINDS, DataConfig, GPTConfig, RunningConfig, TrainConfig
from course_lib.device import select
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.recipes import FROM_DATA, Recipe, load_recipe, setting_fields
from course_lib.recipes.build import build_trainer, resume_trainer

NAMES = recipes.names()


def test_the_recipes_that_the_course_names_are_bundled():
    own = {"shakespeare_char", "shakespeare_char_cpu"}
    assert own | {f"nanogpt_{name}" for name in own} | {"tinytales_cpu", "shakespeare_bpe_cpu"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_bundled_recipe_makes_a_whole_configuration(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert isinstance(recipe.data, DataConfig)
    assert isinstance(recipe.train, TrainConfig)
    vocab_size = 65 if recipe.kind == "gpt" else 256
    model = recipe.model(vocab_size)
    assert type(model) is MODEL_KINDS[recipe.kind].config
    assert isinstance(model, GPTConfig) == (recipe.kind == "gpt")
    assert model.vocab_size == vocab_size
    everything = recipe.all_settings() | recipe.running.to_dict()
    for setting in recipe.settings.keys() - {"kind"}:
        assert everything[setting] == recipe.settings[setting]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_holds_only_what_differs_from_the_defaults(name):
    recipe = load_recipe(name)
    kind = {"kind": recipe.kind} if "kind" in recipe.settings else {}
    defaults = Recipe("defaults", kind).all_settings() | RunningConfig().to_dict() | {"kind": "gpt"}
    repeated = {n: v for n, v in recipe.settings.items() if v == defaults[n]}
    assert repeated == {}


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_setting_but_those_of_the_data_can_be_in_a_recipe(kind):
    every = [name for group in (DataConfig, MODEL_KINDS[kind].config, TrainConfig) for name in group.names()]
    assert sorted([*setting_fields(kind), *FROM_DATA]) == sorted(every)
    assert list(Recipe("defaults", {"kind": kind}).all_settings()) == list(setting_fields(kind))


# nanoGPT's README and its config/train_shakespeare_char.py and train.py, by the names used here.
NANOGPT_BOTH = {
    "dataset": "shakespeare_char",
    "schedule": "cosine",
    "optimizer": "adamw",
    "max_lr": 1e-3,
    "min_lr": 1e-4,
    "warmup_steps": 100,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.99,
    "grad_clip": 1.0,
    "grad_accum": 1,
    "seed": 1337,
    "eval_every": 250,
    "bias": False,
    "position": "learned",
    "norm": "layernorm",
    "mlp": "gelu",
    "tie_weights": True,
    "qk_norm": False,
    "zero_init": False,
    "val_fraction": 0.1,
}
NANOGPT = {
    "nanogpt_shakespeare_char": dict(
        n_layer=6, n_head=6, n_embd=384, block_size=256, batch_size=64, dropout=0.2, max_steps=5000, compile=True
    ),
    "nanogpt_shakespeare_char_cpu": dict(
        n_layer=4, n_head=4, n_embd=128, block_size=64, batch_size=12, dropout=0.0, max_steps=2000, compile=False
    )
    | {"eval_batches": 20},
}


@pytest.mark.parametrize("name", NANOGPT)
def test_nanogpts_published_numbers(name):
    settings = load_recipe(name).all_settings()
    published = NANOGPT_BOTH | NANOGPT[name]
    assert {key: settings[key] for key in published} == published
    # its lr_decay_iters equals max_iters
    assert (settings["decay_steps"] or settings["max_steps"]) == published["max_steps"]


@pytest.mark.parametrize(("name", "peer"), [(n, f"nanogpt_{n}") for n in ("shakespeare_char", "shakespeare_char_cpu")])
def test_the_courses_own_recipes_have_the_same_size_as_nanogpts(name, peer):
    own, theirs = load_recipe(name).all_settings(), load_recipe(peer).all_settings()
    for setting in ("n_head", "n_embd", "block_size", "dropout"):
        assert own[setting] == theirs[setting]
    assert own["n_layer"] <= theirs["n_layer"]
    assert own["max_steps"] * own["batch_size"] < theirs["max_steps"] * theirs["batch_size"]
    assert (own["optimizer"], own["position"], own["norm"], own["mlp"]) == ("muon", "rope", "rmsnorm", "relu2")


def test_byte_pairs_cost_what_characters_cost():
    by_pairs = load_recipe("shakespeare_bpe_cpu")
    by_letters = by_pairs.replace(tokenizer="char", max_steps=200, cooldown_steps=180)  # as the recipe says
    flops = [
        GPT(recipe.model(V)).flops_per_token() * recipe.train.max_steps * recipe.train.batch_size
        for recipe, V in ((by_pairs, by_pairs.data.bpe_vocab_size), (by_letters, 65))
    ]
    assert flops[0] == pytest.approx(flops[1], rel=0.005), "in whole steps"
    shares = [r.train.cooldown_steps / r.train.max_steps for r in (by_pairs, by_letters)]
    assert shares[0] == pytest.approx(shares[1], abs=0.005)


@pytest.mark.parametrize("name", ["tinytales_cpu"])
def test_the_default_recipe_needs_no_download(name):
    assert load_recipe(name).data.dataset == "tinytales"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_for_the_cpu_trains_on_the_cpu_whatever_else_is_there(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    card = SimpleNamespace(name="a card", major=9, minor=0, total_memory=2**36)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    config = load_recipe(name).train
    assert select(config.device, config.precision).kind == ("cpu" if name.endswith("_cpu") else "cuda")


# Wrong ones -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"), [("warmup_step", "warmup_steps"), ("n_heads", "n_head"), ("dropuot", "dropout")]
)
def test_an_unknown_setting_is_told_the_nearest_one(typed, meant):
    with pytest.raises(CourseError, match=f"There is no setting '{typed}': .*({meant})"):
        Recipe("mine", {typed: 1})


def test_the_vocabulary_is_not_a_recipes_to_choose():
    with pytest.raises(CourseError, match="no setting 'vocab_size'"):
        Recipe("mine", {"vocab_size": 65})


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"n_layer": 0}, "n_layer should be at least 1"),
        ({"max_lr": "fast"}, "max_lr should be a finite number"),
        ({"val_fraction": 2}, "val_fraction should be above 0 and below 1"),
        ({"n_embd": 100, "n_head": 3}, "multiple of n_head"),
    ],
)
def test_values_are_checked_when_a_recipe_is_made(settings, complaint):
    with pytest.raises(CourseError, match=complaint):
        Recipe("mine", settings)


def test_an_unknown_recipe_is_told_the_nearest():
    with pytest.raises(CourseError, match="There is no recipe 'shakespear_char': did you mean 'shakespeare_char'"):
        load_recipe("shakespear_char")


# One's own ------------------------------------------------------------------------------------------------


def test_a_recipe_from_a_path(project):
    path = project / "mine.toml"
    path.write_text('dataset = "text:story.txt"\nn_layer = 1\nmax_lr = 1 # a whole number serves\n')
    for given in (path, str(path), "mine.toml"):
        recipe = load_recipe(given)
        assert recipe.name == "mine"
        assert (recipe.data.dataset, recipe.model(9).n_layer, recipe.train.max_lr) == ("text:story.txt", 1, 1.0)


def test_a_path_that_is_not_there_says_from_where_it_is_taken(project):
    with pytest.raises(CourseError, match=r"no recipe file .*mine\.toml.*taken from " + str(project)):
        load_recipe("mine.toml")


def test_a_recipe_file_with_mistakes(project):
    path = project / "mine.toml"
    path.write_text("max_steps = \n")
    with pytest.raises(CourseError, match="not valid TOML"):
        load_recipe(path)
    path.write_text("max_step = 5\n")
    with pytest.raises(CourseError, match="did you mean 'max_steps'"):
        load_recipe(path)
    path.write_text("[train]\nmax_steps = 5\n")  # settings are flat
    with pytest.raises(CourseError, match=r"a section \[train\].*such as max_steps = 5\. Delete the line \[train\]"):
        load_recipe(path)


def test_replace_changes_a_copy_and_checks_it():
    recipe = load_recipe("tinytales_cpu")
    changed = recipe.replace(n_layer=3, dropout=0.5)
    assert (changed.name, changed.model(5).n_layer, changed.model(5).dropout) == ("tinytales_cpu", 3, 0.5)
    untouched = set(recipe.all_settings()) - {"n_layer", "dropout"}
    assert all(changed.all_settings()[s] == recipe.all_settings()[s] for s in untouched)
    assert recipe == load_recipe("tinytales_cpu")
    with pytest.raises(CourseError, match="did you mean 'n_layer'"):
        recipe.replace(n_layers=3)
    with pytest.raises(CourseError, match="dropout should be"):
        recipe.replace(dropout=1.5)


def test_a_run_that_goes_on_is_read_once(project, monkeypatch):
    """Its settings, its tokenizer and its state; the log only where an evaluation is owed."""
    (project / "my.txt").write_text("abcdefgh\n" * 200)
    small = dict(n_layer=1, n_embd=16, block_size=8, batch_size=2, eval_batches=1)
    recipe = load_recipe("tinytales_cpu").replace(dataset=f"text:{project}/my.txt", max_steps=2, **small)
    list(build_trainer(recipe, project / "run"))
    read: list[str] = []
    text = Path.read_text

    def counted(path: Path, *args: object, **settings: object) -> str:
        read.append(path.name)
        return text(path, *args, **settings)

    monkeypatch.setattr(Path, "read_text", counted)
    assert resume_trainer(project / "run", max_steps=3).step == 2
    assert {name: read.count(name) for name in ("config.json", "state.json", "metrics.jsonl")} == {
        "config.json": 1, "state.json": 1, "metrics.jsonl": 0,
    }  # fmt: skip


def test_a_run_does_not_go_on_with_a_text_that_was_changed(project):
    path = project / "my.txt"
    path.write_text("abcdefgh\n" * 200)
    recipe = load_recipe("tinytales_cpu").replace(dataset=f"text:{path}", max_steps=1, block_size=8, batch_size=2)
    list(build_trainer(recipe, project / "run"))
    assert resume_trainer(project / "run").step == 1
    path.write_text("hgfedcba\n" * 200)  # the same characters
    with pytest.raises(CourseError, match=r"is not the text that .*run was trained on: its sha256 is"):
        resume_trainer(project / "run")


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_a_name_from_another_script_serves_in_a_file_too(project, alias, name):
    path = project / "mine.toml"
    is_bool = isinstance(getattr(TrainConfig(), name), bool)
    for text, value in [("true", True), ("false", False)] if is_bool else [("3", 3)]:
        path.write_text(f"{alias} = {text}\n")
        assert getattr(load_recipe(path).train, name) == value
    path.write_text(f"{alias} = 3\n{name} = 4\n")
    with pytest.raises(CourseError, match=f"{alias} is another name for {name}, and both are given"):
        load_recipe(path)


def test_a_file_may_begin_with_a_byte_order_mark(project):
    """As Notepad and PowerShell write it."""
    path = project / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + "max_steps = 5 # fünf\n".encode())
    assert load_recipe(path).train.max_steps == 5


@pytest.mark.parametrize(
    ("content", "inside"),
    [
        ("max_steps = 5\n[model]\nn_layer = 2\n", "n_layer = 2"),
        ("[data]\ndataset = 'text:a'\n", 'dataset = "text:a"'),
        ("[train]\n", "n_layer = 4"),
        ("train.compile = true\n", "compile = true"),
        ("[model.gpt]\nn_layer = 2\n", "Delete the line"),
    ],
)
def test_a_section_is_named_with_what_to_write_instead(project, content, inside):
    path = project / "mine.toml"
    path.write_text(content)
    with pytest.raises(CourseError, match=r"has a section .*without sections") as told:
        load_recipe(path)
    assert inside in str(told.value)
