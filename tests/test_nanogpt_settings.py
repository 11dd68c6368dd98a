"""Every setting of nanoGPT's train.py and sample.py: its place here, its meaning, its old spelling."""

import re
from pathlib import Path

import pytest

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.cli.flags import NewRun, filled, flat, train_form
from course_lib.cli.parse import parse_given
from course_lib.cli.spellings import in_own_words
from course_lib.config import ALIASES, WORDS
from course_lib.errors import CourseError
from course_lib.interop.hf_find import GPT2_SIZES
from course_lib.optim import scheduled_lr
from course_lib.recipes import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")

# train.py's list: its name, a value as one types it there, our name, the value it has here.
TRAIN = [
    ("out_dir", "runs/x", "out_dir", "runs/x"),
    ("eval_interval", "7", "eval_every", 7),
    ("log_interval", "3", "log_every", 3),
    ("eval_iters", "5", "eval_batches", 5),
    ("eval_only", "True", "eval_only", True),
    ("always_save_checkpoint", "False", "always_save", False),
    ("init_from", "gpt2-xl", "init_from", "gpt2-xl"),
    ("wandb_log", "True", "wandb", True),
    ("wandb_project", "owt", "wandb_project", "owt"),
    ("wandb_run_name", "gpt2", "wandb_run_name", "gpt2"),
    ("dataset", "shakespeare_char", "dataset", "shakespeare_char"),
    ("gradient_accumulation_steps", "40", "grad_accum", 40),
    ("batch_size", "9", "batch_size", 9),
    ("block_size", "32", "block_size", 32),
    ("n_layer", "3", "n_layer", 3),
    ("n_head", "2", "n_head", 2),
    ("n_embd", "64", "n_embd", 64),
    ("dropout", "0.2", "dropout", 0.2),
    ("bias", "True", "bias", True),
    ("learning_rate", "1", "max_lr", 1.0),  # an integer for a float: nanoGPT itself stops here
    ("max_iters", "600000", "max_steps", 600_000),
    ("weight_decay", "1e-1", "weight_decay", 0.1),
    ("beta1", "0.8", "beta1", 0.8),
    ("beta2", "0.99", "beta2", 0.99),
    ("grad_clip", "0.0", "grad_clip", 0.0),
    ("decay_lr", "True", "schedule", "cosine"),
    ("decay_lr", "False", "schedule", "constant"),
    ("warmup_iters", "2000", "warmup_steps", 2000),
    ("lr_decay_iters", "600000", "decay_steps", 600_000),
    ("min_lr", "0.00006", "min_lr", 6e-5),
    ("backend", "nccl", "backend", "nccl"),
    ("device", "cuda:1", "device", "cuda:1"),
    ("dtype", "bfloat16", "precision", "bf16"),
    ("dtype", "float16", "precision", "fp16"),
    ("dtype", "float32", "precision", "fp32"),
    ("compile", "True", "compile", True),
]
SAMPLE = [
    ("init_from", "gpt2-xl", "init_from"),
    ("out_dir", "text", "run"),
    ("start", "a=b", "start"),
    ("num_samples", "2", "num_samples"),
    ("max_new_tokens", "6", "max_new_tokens"),
    ("temperature", "1", "temperature"),
    ("top_k", "5", "top_k"),
    ("seed", "7", "seed"),
    ("device", "cpu", "device"),
    ("dtype", "float32", "precision"),
    ("compile", "False", "compile"),
]
TINY = "--n_layer=1 --n_head=2 --n_embd=32 --block_size=16 --batch_size=2 --eval_iters=2 --device=cpu".split()


@pytest.fixture(scope="module")
def recipe_form():
    form, recipe = train_form(NewRun), load_recipe("nanogpt_shakespeare_char_cpu")

    def parsed(*args: str) -> tuple[dict, set[str]]:
        def default():
            return filled(form, recipe.all_settings() | {"vocab_size": 2}, NewRun())

        made, given = parse_given(form, in_own_words(list(args)), "course train", "", ALIASES, default)
        return flat(made), given

    return parsed


def test_the_list_is_nanogpts():
    """As its own train.py has it: 33 names, each once, but for those whose values have other names here."""
    names = [name for name, *_ in TRAIN]
    assert len(set(names)) == 33
    assert {name for name in names if names.count(name) > 1} == set(WORDS)
    assert {name for name, _, own, _ in TRAIN if name != own} == {*ALIASES, *WORDS}


@pytest.mark.parametrize(("name", "typed", "own", "value"), TRAIN)
def test_each_old_spelling_is_accepted_on_the_command_line(recipe_form, name, typed, own, value):
    dashes = name.replace("_", "-")
    for args in ([f"--{name}={typed}"], [f"--{name}", typed], [f"--{dashes}={typed}"], [f"--{dashes}", typed]):
        settings, given = recipe_form(*args)
        assert settings[own] == value
        assert given == ({own, "warmup_steps"} if (name, value) == ("decay_lr", "constant") else {own})


@pytest.mark.parametrize(("name", "typed", "own", "value"), TRAIN)
def test_each_old_spelling_is_accepted_in_a_recipe(project, name, typed, own, value):
    is_word = isinstance(value, str) and name != "decay_lr"
    written = f'"{typed}"' if is_word else typed.lower()
    (project / "mine.toml").write_text(f"{name} = {written}\n")
    recipe = load_recipe("mine.toml")
    assert (recipe.all_settings() | recipe.running.to_dict())[own] == value


def helped(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *args: str) -> dict[str, str]:
    """What --help says of each flag: one line each where the terminal is wide."""
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        course([*args, "--help"])
    printed = re.sub(r"[\u2500-\u257f]", " ", capsys.readouterr().out)
    flags: dict[str, str] = {}
    for line in printed.splitlines():
        if match := re.match(r"^  ?(?:--([a-z][a-z0-9-]*)|\[?([A-Z]+)\]? )", line):
            flag = (match[1] or match[2].lower()).replace("-", "_")
            flags[flag] = line
        elif flags:
            flags[flag] += line
    return flags


def test_each_old_spelling_stands_in_the_help_beside_its_new_name(capsys, monkeypatch):
    flags = helped(capsys, monkeypatch, "train", "nanogpt_shakespeare_char_cpu")
    for name, _, own, _ in TRAIN:
        assert own in flags
        assert name == own or re.search(rf"\bnanoGPT: {name}\b", flags[own]), (name, flags[own])


def test_each_of_samples_stands_in_its_help(capsys, monkeypatch):
    flags = helped(capsys, monkeypatch, "sample")
    for name, _, own in SAMPLE:
        assert own in flags
        assert name == own or re.search(rf"\bnanoGPT: {name}\b", flags[own]), (name, flags)


def test_a_rate_that_does_not_decay_has_no_warm_up_as_in_nanogpt(recipe_form, project):
    settings, _ = recipe_form("--warmup_iters=100", "--decay_lr=False")
    assert (settings["schedule"], settings["warmup_steps"]) == ("constant", 0)
    (project / "mine.toml").write_text("warmup_iters = 100\ndecay_lr = false\n")
    train = load_recipe("mine.toml").train
    assert (train.schedule, train.warmup_steps) == ("constant", 0)
    (project / "mine.toml").write_text('warmup_iters = 100\ndecay_lr = "False"\n')
    assert load_recipe("mine.toml").train.warmup_steps == 0, "as a text, too"


@pytest.mark.parametrize("flag", ["--decay_lr=True", "--schedule=linear"])
def test_a_rate_that_decays_after_all_has_the_recipes_warm_up(project, flag):
    (project / "some.txt").write_text("the cat sat on the mat.\n" * 40)
    words = ["train", "mine.toml", "--dataset=text:some.txt", *TINY, "--max_iters=4", "--out_dir=runs/a"]
    (project / "mine.toml").write_text("warmup_iters = 3\ndecay_lr = false\n")
    assert course([*words, flag]) == 0
    assert checkpoint.load("runs/a").config.train.warmup_steps == 3


@pytest.mark.parametrize(
    ("flag", "schedule"),
    [("--decay_lr=0", "constant"), ("--decay_lr=1", "cosine"), ("--no-decay-lr", "constant"),
     ("--no_decay_lr", "constant"), ("--decay_lr", "cosine")],
)  # fmt: skip
def test_yes_and_no_of_decay_lr_in_other_spellings(recipe_form, flag, schedule):
    settings, given = recipe_form("--batch_size=3", flag)
    assert (settings["schedule"], settings["batch_size"]) == (schedule, 3)
    assert ("warmup_steps" in given) == (schedule == "constant")


def test_a_rate_that_does_not_decay_may_lie_below_the_recipes_min_lr(recipe_form, project):
    """nanoGPT does not look at min_lr then."""
    recipe = load_recipe("nanogpt_shakespeare_char_cpu")
    assert recipe.train.min_lr > 1e-5
    settings, given = recipe_form("--decay_lr=False", "--learning_rate=1e-5")
    train = recipe.replace(**{name: settings[name] for name in given}).train
    assert [scheduled_lr(train, step) for step in (0, 5, train.max_steps)] == [1e-5] * 3
    with pytest.raises(CourseError, match="min_lr should not be above max_lr"):
        recipe_form("--learning_rate=1e-5", "--decay_lr=True")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--dtype=fp32", "dtype should be float32 or bfloat16 or float16; it is 'fp32'"),
        ("--dtype", "dtype should be float32 or bfloat16 or float16; it is None"),
        ("--decay_lr=maybe", "decay_lr should be True or False; it is 'maybe'"),
        ("--dtype=float32 --precision bf16", "--dtype is another name for --precision, and both are given"),
        ("--decay_lr --schedule=linear", "--decay_lr is another name for --schedule, and both are given"),
        ("--max_iters=3 --max-steps 4", "are one setting under two names"),
        ("--n_layers=3", "did you mean --n-layer?"),
        ("--backend=mpi", "--backend should be 'auto' or 'nccl' or 'gloo'; it is 'mpi'"),
    ],
)
def test_what_nanogpt_never_had_is_refused(recipe_form, args, message):
    with pytest.raises(CourseError) as refused:
        recipe_form(*args.split())
    assert message in str(refused.value)


@pytest.fixture
def text_run(project: Path, capsys: pytest.CaptureFixture) -> Path:
    (project / "some.txt").write_text("a=b, c=d; the cat sat on the mat.\n" * 40)
    words = ["train", "nanogpt_shakespeare_char_cpu", "--dataset=text:some.txt", *TINY, "--max_iters=4"]
    assert course([*words, "--out_dir=runs/text"]) == 0
    capsys.readouterr()
    return project / "runs" / "text"


def test_each_of_samples_settings_is_accepted(text_run, capsys):
    args = [f"--{name}={typed}" for name, typed, _ in SAMPLE if name != "init_from"]
    assert course(["sample", "--init_from=resume", *args]) == 0
    first = capsys.readouterr().out
    assert first.count("a=b") == 2, "a start with the sign of equality, which nanoGPT's own parser refuses"
    new = "--start a=b --num-samples 2 --max-new-tokens 6 --temperature 1 --top-k 5 --seed 7 --precision fp32"
    assert course(["sample", "text", *new.split()]) == 0
    assert capsys.readouterr().out == first
    assert course(["sample", *args]) == 0, "an out_dir alone says which run"


def test_resume_by_nanogpts_words_is_the_resume(text_run, capsys):
    assert course(["train", "--init_from=resume", "--out_dir=runs/text", "--max_iters=6"]) == 0
    assert checkpoint.load(text_run).state["step"] == 6
    words = ["--init_from=resume", "--out_dir=runs/text", "--max_iters=8"]
    assert course(["train", "nanogpt_shakespeare_char_cpu", *words]) == 0
    assert checkpoint.load(text_run).state["step"] == 8
    assert "nanogpt_shakespeare_char_cpu is not read" in capsys.readouterr().err
    Path("mine.toml").write_text('init_from = "resume"\nout_dir = "runs/text"\n')
    assert course(["train", "mine.toml", "--max_iters=9"]) == 0
    assert checkpoint.load(text_run).state["step"] == 9
    assert course(["train", "--init_from=resume"]) == 2
    assert "needs its folder: --out-dir RUN" in capsys.readouterr().err


def test_the_same_command_line_and_a_resume_go_on_as_in_nanogpt(text_run, capsys):
    """Settings that a run keeps to its end pass where they are the run's own; another value is refused."""
    same = ["--dataset=text:some.txt", *TINY, "--out_dir=runs/text", "--init_from=resume", "--bias=False"]
    assert course(["train", *same, "--max_iters=5"]) == 0
    assert checkpoint.load(text_run).state["step"] == 5
    assert course(["train", *same, "--max_iters=6", "--n_layer=2"]) == 2
    message = capsys.readouterr().err
    assert "so --n-layer cannot change when it goes on. Leave it out (the run has 1; it is 2 here), or start" in message
    assert course(["train", *same, "--block_size=8"]) == 2
    assert "course train RECIPE --init-from runs/text --block-size 8" in capsys.readouterr().err
    shorter = ["--dataset=text:some.txt", "--init-from", "runs/text", "--block-size", "8", "--max-steps=2"]
    assert course(["train", "nanogpt_shakespeare_char_cpu", *shorter, "--device=cpu", "--out-dir=runs/cut"]) == 0
    assert checkpoint.load("runs/cut").config.model.block_size == 8, "what the message says works"
    assert checkpoint.load(text_run).state["step"] == 5


def test_the_settings_of_a_recipe_that_was_written_to_go_on_are_taken(text_run, capsys):
    Path("mine.toml").write_text(
        'init_from = "resume"\nout_dir = "runs/text"\nmax_iters = 6\nlearning_rate = 0.02\ndropout = 0.25\n'
        "always_save_checkpoint = false\nn_layer = 1\n"
    )
    assert course(["train", "mine.toml"]) == 0
    state = checkpoint.load(text_run).state
    assert (state["step"], state["train"]["max_lr"], state["dropout"]) == (6, 0.02, 0.25)
    assert state["train"]["always_save"] is False
    assert "is not read" not in capsys.readouterr().err
    assert course(["train", "mine.toml", "--max-steps=7", "--learning_rate=0.03"]) == 0, "flags go before"
    assert checkpoint.load(text_run).state["train"]["max_lr"] == 0.03
    Path("mine.toml").write_text('init_from = "resume"\nout_dir = "runs/text"\nn_layer = 3\n')
    assert course(["train", "mine.toml"]) == 2
    assert "--n-layer cannot change" in capsys.readouterr().err


def test_a_recipe_that_is_not_read_is_said_to_differ(text_run, capsys):
    Path("mine.toml").write_text("max_iters = 9\nbatch_size = 2\n")
    words = ["train", "mine.toml", "--init_from=resume", "--out_dir=runs/text"]
    assert course(words) == 0
    note = capsys.readouterr().err.splitlines()[0]
    assert note.endswith("mine.toml is not read. The run has other values for some of its settings; to take them, give:"
                         " --max-steps 9")  # fmt: skip
    assert course([*words, "--max_iters=9"]) == 0
    assert capsys.readouterr().err.splitlines()[0].endswith("mine.toml is not read.")
    assert course(words) == 0
    assert capsys.readouterr().err.splitlines()[0].endswith("mine.toml is not read."), "its last save has them now"


def test_the_place_of_a_checkpoint_of_nanogpt_is_no_run_to_go_on_with(project, capsys):
    (project / "out").mkdir()
    (project / "out" / "ckpt.pt").touch()
    assert course(["train", "--init_from=resume", "--out_dir=out"]) == 2
    message = capsys.readouterr().err
    assert "it holds nanoGPT's ckpt.pt. A new run begins from its weights: course train RECIPE --init-from" in message
    assert f"--init-from {project / 'out'}" in message or "--init-from out" in message


@pytest.mark.parametrize("name", ["ckpt.pt", "gpt2:weights"])
@pytest.mark.parametrize("command", ["sample", "eval"])
def test_weights_that_are_no_run_have_no_saves_to_choose_from(project, capsys, name, command):
    (project / "ckpt.pt").touch()
    (project / "weights").mkdir()
    assert course([command, name, "--which", "77"]) == 2
    assert f"--which names a save of a run, and {name} is no run; it is '77'. Leave" in capsys.readouterr().err


def test_eval_knows_the_old_word_for_the_arithmetic(text_run, capsys):
    assert course(["eval", "text", "--precision=bf16", "--device=cpu"]) == 0
    new = capsys.readouterr().out
    assert course(["eval", "text", "--dtype=bfloat16", "--device=cpu"]) == 0
    assert capsys.readouterr().out == new
    assert course(["eval", "text", "--dtype=bf16"]) == 2
    assert "dtype should be float32 or bfloat16 or float16; it is 'bf16'" in capsys.readouterr().err


def test_the_latest_run_is_kept_by_its_own_name(text_run):
    """What is latest later is another run: this one."""
    words = ["nanogpt_shakespeare_char_cpu", "--dataset=text:some.txt", *TINY, "--max_iters=2", "--out_dir=runs/next"]
    assert course(["train", *words, "--init-from=latest"]) == 0
    kept = checkpoint.load("runs/next")
    assert Path(kept.config.train.init_from).resolve() == text_run.resolve()
    assert kept.state["train"]["init_from"] == kept.config.train.init_from


@pytest.mark.parametrize("exists", [True, False])
def test_a_configuration_in_python_is_told_how_it_becomes_a_recipe(project, capsys, exists):
    if exists:
        (project / "mine.py").write_text("n_layer = 4\n")
    assert course(["train", "mine.py"]) == 2
    message = capsys.readouterr().err
    assert "a recipe is a TOML file. Write the settings" in message
    assert "NAME = value: False becomes false, True true, and None is left out." in message
    assert "text:" not in message


def everything(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.parametrize("words", [["--resume=text"], ["--init_from=resume", "--out_dir=runs/text"]])
def test_eval_only_takes_no_step_whatever_goes_on(text_run, capsys, words):
    """In nanoGPT a run that is resumed with eval_only keeps training."""
    before = everything(text_run)
    assert course(["train", *words, "--eval_only=True", "--max_iters=99", "--device=cpu"]) == 0
    assert {p: v for p, v in everything(text_run).items() if p.name != "lock"} == {
        path: value for path, value in before.items() if path.name != "lock"
    }
    row = [row for row in checkpoint.read_metrics(text_run) if row["val_loss"] is not None][-1]
    assert re.search(rf"^step 4  train \d\.\d+  val {row['val_loss']:.4f} nats", capsys.readouterr().out, re.MULTILINE)


def test_eval_only_of_a_recipe_makes_no_folder(project, capsys):
    (project / "some.txt").write_text("the cat sat on the mat.\n" * 40)
    words = ["train", "nanogpt_shakespeare_char_cpu", "--dataset=text:some.txt", *TINY]
    assert course([*words, "--eval_only=True", "--out_dir=runs/none"]) == 0
    assert not (project / "runs").exists()
    assert re.search(r"^step 0  train 2\.\d+  val 2\.\d+ nats per token", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("always", [True, False])
def test_always_save_checkpoint(project, always):
    """Without it a save is made where the validation loss has fallen, and at the end."""
    (project / "some.txt").write_text("the cat sat on the mat.\n" * 40)
    rate = "--learning_rate=0.05 --decay_lr=False --eval_interval=1 --max_iters=9"  # so high that it rises now and then
    words = ["train", "nanogpt_shakespeare_char_cpu", "--dataset=text:some.txt", *TINY, *rate.split()]
    saved: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        keep = checkpoint.save
        patch.setattr(checkpoint, "save", lambda run, step, *rest: (saved.append(step), keep(run, step, *rest)))
        assert course([*words, f"--always_save_checkpoint={always}", "--out_dir=runs/a"]) == 0
    rows = checkpoint.read_metrics(project / "runs" / "a")
    best = [row["step"] + 1 for row in rows if row["best"]]
    assert len(best) < 8
    assert saved == ([*range(1, 10)] if always else sorted({*best, 9}))


def test_the_recipes_are_nanogpts_configurations():
    """config/train_gpt2.py, finetune_shakespeare.py, eval_gpt2*.py, and train.py's defaults where they are silent."""
    shared = {"block_size": 1024, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "grad_clip": 1.0, "dropout": 0.0}
    gpt2 = load_recipe("gpt2_124m").all_settings()
    large = {"n_layer": 12, "n_head": 12, "n_embd": 768, "batch_size": 12, "grad_accum": 40, "max_steps": 600_000}
    rates = {"max_lr": 6e-4, "min_lr": 6e-5, "warmup_steps": 2000, "schedule": "cosine", "decay_steps": None}
    often = {"eval_every": 1000, "eval_batches": 200, "log_every": 10, "dataset": "openwebtext", "bias": False}
    expected = shared | large | rates | often | {"position": "learned", "norm": "layernorm", "mlp": "gelu"}
    assert {name: gpt2[name] for name in expected} == expected
    assert 12 * 1024 * 40 == gpt2["batch_size"] * gpt2["block_size"] * gpt2["grad_accum"] == 491_520
    tuned = load_recipe("finetune_shakespeare").all_settings()
    expected = {"init_from": "gpt2-xl", "dataset": "shakespeare", "batch_size": 1, "grad_accum": 32, "max_steps": 20}
    expected |= {"max_lr": 3e-5, "schedule": "constant", "warmup_steps": 0, "eval_every": 5, "eval_batches": 40}
    expected |= shared | {"always_save": False, "optimizer": "adamw"}
    assert {name: tuned[name] for name in expected} == expected
    for size in GPT2_SIZES:
        recipe = load_recipe(f"eval_{size.replace('-', '_')}")
        found = recipe.all_settings()
        assert (found["init_from"], found["batch_size"], found["eval_batches"]) == (size, 8, 500)
        assert (found["dataset"], found["block_size"], recipe.running.eval_only) == ("openwebtext", 1024, True)
    by_pairs = load_recipe("shakespeare_bpe").all_settings()
    assert (by_pairs["dataset"], by_pairs["tokenizer"]) == ("shakespeare", "auto"), "whose tokenizer is GPT-2's"
