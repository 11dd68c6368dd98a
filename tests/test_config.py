"""Settings: types, bounds, what an unknown name is told, and the ways into a file and back."""

import copy
import dataclasses
import functools
import inspect
import json
import math
import pickle
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.config import DataConfig, GPTConfig, OwnModel, RunConfig, TrainConfig, read_toml
from course_lib.errors import CourseError, nearest
from course_lib.recipes import Recipe

SHAPE = dict(block_size=8, vocab_size=5, n_layer=2, n_head=2, n_embd=8)
steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
GROUPS = (DataConfig, GPTConfig, TrainConfig)


def gpt(**changes):
    return GPTConfig(**(SHAPE | changes))


# Names ----------------------------------------------------------------------------------------------------


def test_one_name_has_one_meaning():
    """No two groups share a setting's name: on the command line all of them are flat."""
    names = [name for group in GROUPS for name in group.names()]
    assert sorted(set(names)) == sorted(names)


def test_the_public_names_are_there():
    """Names that notebooks and other tools rely on."""
    assert {"block_size", "vocab_size", "n_layer", "n_head", "n_embd", "dropout", "bias"} <= set(GPTConfig.names())
    wanted = (
        "max_steps batch_size grad_accum max_lr min_lr warmup_steps decay_steps schedule optimizer weight_decay beta1 "
        "beta2 grad_clip eval_every eval_batches save_every precision compile seed"
    )
    assert set(wanted.split()) <= set(TrainConfig.names())


def test_the_defaults_are_gpt2s_form():
    config = gpt()
    assert (config.position, config.norm, config.mlp) == ("learned", "layernorm", "gelu")
    assert (config.tie_weights, config.qk_norm, config.zero_init, config.dropout) == (True, False, False, 0.0)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("batch_sise", "batch_size"), ("maxlr", "max_lr"), ("grad_acum", "grad_accum"), ("warmup", "warmup_steps")],
)
def test_an_unknown_setting_is_told_the_nearest(typed, meant):
    with pytest.raises(CourseError, match=f"TrainConfig has no setting '{typed}': did you mean '{meant}'"):
        TrainConfig.from_dict({typed: 1})


def test_a_setting_like_no_other_is_told_all():
    known = r"bpe_vocab_size, dataset, sha256, start, test_fraction, tokenizer, val_fraction\."
    with pytest.raises(CourseError, match=f"no setting 'zzz': known are {known}"):
        DataConfig.from_dict({"zzz": 1})


def test_nearest_is_the_word_with_the_fewest_changes():
    def distance(a, b):  # Levenshtein's, by the textbook
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            row, above = [i], row
            for j, y in enumerate(b, 1):
                row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        return row[-1]

    known = TrainConfig.names()
    for name in known:
        typed = name[:-1] + "x"
        near = [k for k in known if distance(typed, k) == min(distance(typed, other) for other in known)]
        assert any(repr(k) in nearest(typed, known) for k in near), typed


def test_missing_settings_are_named():
    with pytest.raises(CourseError, match="GPTConfig also needs n_layer, n_head"):
        GPTConfig.from_dict({"block_size": 4, "vocab_size": 5, "n_embd": 8})


@pytest.mark.parametrize("settings", [None, 5, "abc", ["block_size"]])
def test_settings_that_are_no_table_are_refused(settings):
    with pytest.raises(CourseError, match="names and values"):
        DataConfig.from_dict(settings)


# Types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_steps", bad) for bad in (True, 10.0, "10", None, float("nan"))],
        *[("max_lr", bad) for bad in (True, "0.1", None, math.nan, math.inf, -math.inf, 10**400)],
        *[("compile", bad) for bad in (1, 0, "true", None)],
        *[("schedule", bad) for bad in ("Cosine", "", None, 1, ["cosine"])],
        *[("decay_steps", bad) for bad in (True, 1.5, "none")],
        ("device", None),
    ],
)
def test_a_wrong_type_is_refused_by_name(name, value):
    with pytest.raises(CourseError, match=f"^{name} should be "):
        TrainConfig(**{name: value})


def test_the_message_says_what_was_expected_and_what_came():
    with pytest.raises(CourseError, match=r"max_steps should be a whole number; it is '10'\."):
        TrainConfig(max_steps="10")
    with pytest.raises(CourseError, match=r"decay_steps should be a whole number or nothing \(None\); it is 1\.5\."):
        TrainConfig(decay_steps=1.5)
    with pytest.raises(CourseError, match=r"position should be 'learned' or 'rope'; it is 'alibi'\."):
        gpt(position="alibi")


def test_a_whole_number_serves_as_a_float():
    config = TrainConfig(max_lr=1, grad_clip=0)
    assert (type(config.max_lr), config.max_lr) == (float, 1.0)
    assert type(config.grad_clip) is float
    assert config == TrainConfig(max_lr=1.0, grad_clip=0.0)


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        gpt().n_layer = 3


# Bounds ---------------------------------------------------------------------------------------------------

LOWEST = {  # the smallest value that is allowed; the one below it is not
    **dict.fromkeys(["max_steps", "batch_size", "grad_accum", "log_every"], 1),
    **dict.fromkeys(["decay_steps", "cooldown_steps", "eval_batches", "save_every"], 1),
    **dict.fromkeys(["warmup_steps", "eval_every", "seed"], 0),
}


@pytest.mark.parametrize(("name", "lowest"), LOWEST.items())
def test_whole_numbers_have_a_lowest_value(name, lowest):
    assert getattr(TrainConfig(**{name: lowest}), name) == lowest
    with pytest.raises(CourseError, match=f"{name} should be at least {lowest}.*it is {lowest - 1}"):
        TrainConfig(**{name: lowest - 1})


@pytest.mark.parametrize("name", ["decay_steps", "cooldown_steps", "eval_batches", "save_every"])
def test_none_is_allowed_where_it_means_something(name):
    assert getattr(TrainConfig(**{name: None}), name) is None


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        *[(name, [0.0, 0.999], [-0.001, 1.0]) for name in ("beta1", "beta2", "momentum")],
        *[(name, [1e-12, 5.0], [0.0, -1.0]) for name in ("max_lr", "embedding_lr_scale", "head_lr_scale")],
        *[(name, [0.0, 1.0], [-1e-9]) for name in ("weight_decay", "grad_clip")],
        ("seed", [0, 2**63 - 1], [-1, 2**63]),
    ],
)
def test_numbers_have_their_range(name, inside, outside):
    for value in inside:
        assert getattr(TrainConfig(**{name: value}), name) == value
    for value in outside:
        with pytest.raises(CourseError, match=f"^{name} should be "):
            TrainConfig(**{name: value})


def test_the_learning_rate_does_not_end_above_its_peak():
    assert TrainConfig(max_lr=1e-3, min_lr=1e-3).min_lr == 1e-3
    with pytest.raises(CourseError, match="min_lr should not be above max_lr"):
        TrainConfig(max_lr=1e-3, min_lr=2e-3)
    assert TrainConfig(max_lr=1e-3, min_lr=2e-3, schedule="constant").max_lr == 1e-3, "which has no use for min_lr"


@pytest.mark.parametrize("name", list(SHAPE))
def test_a_models_sizes_are_at_least_one(name):
    with pytest.raises(CourseError, match=f"{name} should be at least 1; it is 0"):
        gpt(**{name: 0})


@steady
@given(st.integers(1, 12), st.integers(1, 48))
def test_heads_divide_the_width_and_rope_needs_pairs(n_head, n_embd):
    fits = n_embd % n_head == 0
    for position, allowed in (("learned", fits), ("rope", fits and (n_embd // n_head) % 2 == 0)):
        if allowed:
            assert gpt(n_head=n_head, n_embd=n_embd, position=position).n_embd == n_embd
        else:
            with pytest.raises(CourseError, match="multiple of n_head" if not fits else "should be even"):
                gpt(n_head=n_head, n_embd=n_embd, position=position)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 2])
def test_dropout_below_one(dropout):
    with pytest.raises(CourseError, match="dropout should be at least 0 and below 1"):
        gpt(dropout=dropout)


@pytest.mark.parametrize("val_fraction", [0, 1, -0.5, 1.5])
def test_the_validation_share_is_a_share(val_fraction):
    with pytest.raises(CourseError, match="val_fraction should be above 0 and below 1"):
        DataConfig(val_fraction=val_fraction)


@pytest.mark.parametrize("test_fraction", [1, -0.5, 1.5])
def test_the_share_for_testing_is_a_share(test_fraction):
    with pytest.raises(CourseError, match="test_fraction should be at least 0 and below 1"):
        DataConfig(test_fraction=test_fraction)


@steady
@given(st.integers(1, 100), st.integers(0, 100))
def test_both_shares_leave_something_for_training(val, test):
    """In hundredths, so that whole numbers say what is right."""
    shares = {"val_fraction": val / 100, "test_fraction": test / 100}
    if val + test < 100:
        assert DataConfig(**shares).test_fraction == test / 100
    else:
        with pytest.raises(CourseError, match="fraction"):
            DataConfig(**shares)


def test_shares_that_leave_nothing_are_told_so():
    with pytest.raises(CourseError, match=r"together below 1; 0\.6 and 0\.4 are not\. Make one of them smaller"):
        DataConfig(val_fraction=0.6, test_fraction=0.4)


def test_a_copy_is_checked_again():
    config = TrainConfig()
    assert config.replace(max_steps=7) == TrainConfig(max_steps=7)
    with pytest.raises(CourseError, match="max_steps should be at least 1"):
        config.replace(max_steps=0)
    with pytest.raises(CourseError, match="did you mean 'max_steps'"):
        config.replace(max_step=7)


# Files ----------------------------------------------------------------------------------------------------

floats = st.floats(0, 1e300, allow_nan=False, allow_infinity=False)
train_configs = st.builds(
    TrainConfig,
    max_steps=st.integers(1, 10**12),
    decay_steps=st.none() | st.integers(1, 10**6),
    max_lr=floats.filter(bool),
    weight_decay=floats,
    compile=st.booleans(),
    schedule=st.sampled_from(["constant", "cosine", "linear", "trapezoid"]),
    device=st.text(st.characters(exclude_categories=["Cs"])),
    seed=st.integers(0, 2**63 - 1),
)


@steady
@given(train_configs)
def test_json_round_trip(config):
    again = TrainConfig.from_json(config.to_json())
    assert again == config
    assert [type(v) for v in again.to_dict().values()] == [type(v) for v in config.to_dict().values()]


@steady
@given(train_configs)
def test_toml_round_trip(config):
    """Any text survives, also one with quotes, line ends, control characters or emoji."""
    assert TrainConfig.from_toml(config.to_toml()) == config


def test_toml_is_what_others_read():
    text = DataConfig(dataset='text:a "b" \\ \U0001f600\x7f\n').to_toml()
    assert tomllib.loads(text)["dataset"] == 'text:a "b" \\ \U0001f600\x7f\n'
    assert "decay_steps" not in TrainConfig().to_toml()  # TOML has no null
    assert tomllib.loads(TrainConfig(decay_steps=5).to_toml())["decay_steps"] == 5


@pytest.mark.parametrize("reader", ["from_json", "from_toml"])
@pytest.mark.parametrize("text", ["{", "\x00", "a = = 1"])
def test_text_that_is_neither_is_a_clear_error(reader, text):
    with pytest.raises(CourseError, match="not valid"):
        getattr(DataConfig, reader)(text)


def test_reading_a_toml_file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('dataset = "text:é"\nval_fraction = 0.2\n', encoding="utf-8")
    assert read_toml(path) == {"dataset": "text:é", "val_fraction": 0.2}
    path.write_text("max_steps = 1\nmax_lr = \n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"a\.toml is not valid TOML.*line 2"):
        read_toml(path)
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(CourseError, match=r"a\.toml is not valid TOML"):
        read_toml(path)


# A run's configuration ------------------------------------------------------------------------------------


@pytest.fixture
def run_config():
    return RunConfig("custom", DataConfig(dataset="text:a"), gpt(dropout=0.1), TrainConfig(max_steps=3))


def test_run_config_round_trip(run_config):
    again = RunConfig.from_json(run_config.to_json())
    assert again == run_config
    assert type(again.model) is GPTConfig


def test_run_config_file_is_plain_json_with_the_kind_of_model(run_config):
    parts = json.loads(run_config.to_json())
    assert parts["recipe"] == "custom"
    assert parts["model"] == {"kind": "gpt", **run_config.model.to_dict()}
    assert set(parts) == {"recipe", "data", "model", "train"}


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '"text"', "{}", '{"model": 5}', '{"model": "ab"}'])
def test_json_that_is_no_run_is_refused(text):
    with pytest.raises(CourseError, match="not the configuration of a run"):
        RunConfig.from_json(text)


def test_a_run_may_not_say_what_it_is_trained_on(run_config):
    unsaid = dataclasses.replace(run_config, data=None)
    assert json.loads(unsaid.to_json())["data"] is None
    assert RunConfig.from_json(unsaid.to_json()) == unsaid
    assert RunConfig.from_json(run_config.to_json()).data == DataConfig(dataset="text:a")  # as older runs have it


DAMAGE = [(part, change) for part in ("recipe", "data", "model", "train") for change in ("missing", None, 7, [1])]


@pytest.mark.parametrize(("part", "change"), [pair for pair in DAMAGE if pair != ("data", None)])
def test_a_damaged_part_is_refused(run_config, part, change):
    parts = json.loads(run_config.to_json())
    if change == "missing":
        del parts[part]
    else:
        parts[part] = change
    with pytest.raises(CourseError):
        RunConfig.from_json(json.dumps(parts))


@pytest.mark.parametrize(
    ("group", "name", "value", "complaint"),
    [
        ("model", "kind", [], "not the configuration"),
        ("model", "n_layer", 0, "n_layer should be at least 1"),
        ("model", "n_layers", 2, "did you mean 'n_layer'"),
        ("train", "max_lr", "fast", "max_lr should be a finite number"),
        ("data", "tokenizer", "word", "tokenizer should be 'auto' or"),
    ],
)
def test_a_damaged_setting_is_named(run_config, group, name, value, complaint):
    parts = json.loads(run_config.to_json())
    parts[group][name] = value
    with pytest.raises(CourseError, match=complaint):
        RunConfig.from_json(json.dumps(parts))


def test_a_kind_of_model_that_is_not_known_is_kept_as_it_is(run_config):
    parts = json.loads(run_config.to_json())
    parts["model"] = {"kind": "lstm", "width": 3, "parts": {"a": [1, 2]}}
    again = RunConfig.from_json(json.dumps(parts))
    assert again.model == OwnModel("lstm", {"width": 3, "parts": {"a": [1, 2]}})
    assert json.loads(again.to_json()) == parts


@steady
@given(st.data())
def test_cut_off_anywhere_it_is_refused(data):
    text = RunConfig("custom", DataConfig(), gpt(), TrainConfig()).to_json().rstrip()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(CourseError, match="not the configuration of a run"):
        RunConfig.from_json(text[:cut])


# Who chose what -------------------------------------------------------------------------------------------


def changed(config):
    """The names whose values are not the defaults."""
    return {name for name, value in TrainConfig().to_dict().items() if getattr(config, name) != value}


WAYS = {
    "by name": lambda settings: TrainConfig(**settings),
    "by place": lambda settings: TrainConfig(1000, 12, **settings),
    "from_dict": TrainConfig.from_dict,
    "replace": lambda settings: TrainConfig().replace(**settings),
    "one by one": lambda settings: functools.reduce(
        lambda config, one: config.replace(**dict([one])), settings.items(), TrainConfig()
    ),
    "TOML": lambda settings: TrainConfig.from_toml("".join(f"{n} = {json.dumps(v)}\n" for n, v in settings.items())),
    "JSON": lambda settings: TrainConfig.from_json(json.dumps(settings)),
    "recipe": lambda settings: Recipe("a", settings).train,
    "recipe, replaced": lambda settings: Recipe("a", {}).replace(**settings).train,
}


@pytest.mark.parametrize("settings", [{}, {"batch_size": 12}, {"seed": 5, "max_lr": 1e-3, "max_steps": 1000}], ids=str)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_config_knows_which_settings_were_chosen_also_where_the_default_was(way, settings):
    by_place = {"max_steps", "batch_size"} if way is WAYS["by place"] else set()
    if by_place & set(settings):
        settings = {"seed": 1337}
    config = way(settings)
    assert config.given == by_place | set(settings)
    assert changed(config) <= config.given


def test_who_chose_changes_nothing_else():
    plain, chosen = TrainConfig(), TrainConfig(batch_size=12, seed=1337)
    assert plain == chosen
    assert hash(plain) == hash(chosen)
    assert repr(plain) == repr(chosen)
    assert plain.to_dict() == chosen.to_dict()
    assert plain.to_json() == chosen.to_json()
    assert plain.to_toml() == chosen.to_toml()
    assert "given" not in TrainConfig.names()
    assert dataclasses.fields(plain) == dataclasses.fields(chosen)
    assert "batch_size: int = 12" in str(inspect.signature(TrainConfig))  # what an editor shows
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.given = frozenset()


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, *(lambda c, p=p: pickle.loads(pickle.dumps(c, p)) for p in range(2, 6))]
)
def test_copies_and_pickles_keep_it(copied):
    config = TrainConfig(batch_size=12, max_lr=0.5)
    again = copied(config)
    assert again == config
    assert again.given == {"batch_size", "max_lr"}
    assert TrainConfig().given == set()


def test_defaults_that_follow_from_elsewhere_give_way_to_what_was_chosen():
    config = TrainConfig(batch_size=12).with_defaults(batch_size=99, seed=7)
    assert (config.batch_size, config.seed) == (12, 7)
    assert config.given == {"batch_size"}
    assert config.with_defaults(seed=8).seed == 8  # still nobody has chosen it
    assert config.replace(max_steps=5).given == {"batch_size", "max_steps"}
    with pytest.raises(CourseError, match="seed should be at least 0"):
        config.with_defaults(seed=-1)
