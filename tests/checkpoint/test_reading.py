"""Reading a run directory: whatever is damaged or foreign gets a clear error, never a wrong model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from course_lib import checkpoint
from course_lib.checkpoint import reading
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.optim import build_optimizer
from course_lib.tokenizers import CharTokenizer

CONFIG = GPTConfig(block_size=8, vocab_size=11, n_layer=1, n_head=2, n_embd=8, tie_weights=False)
KEPT = "a run keeps its last save and its best, or more with --keep"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(project: Path) -> Path:
    """runs/small with two saves: best = 10 and last = 20."""
    folder = project / "runs" / "small"
    settings = RunConfig("test", DataConfig(), CONFIG, TrainConfig())
    checkpoint.create_run(folder, settings, CharTokenizer("abcdefghijk"))
    torch.manual_seed(0)
    model = GPT(CONFIG)
    optimizer = build_optimizer(model, TrainConfig())
    for step in (10, 20):
        idx = torch.randint(0, 11, (4, 8))
        model(idx).square().mean().backward()
        optimizer.step()
        checkpoint.save(folder, step, model, optimizer, best=step == 10)
    return folder


def change_tensors(path: Path, **changes: torch.Tensor | None) -> None:
    """Rewrite a safetensors file with some tensors changed, added or (None) taken out."""
    tensors = load_file(path)
    for name, value in changes.items():
        tensors.pop(name.replace("__", "."), None)
        if value is not None:
            tensors[name.replace("__", ".")] = value
    save_file(tensors, path)


def change_json(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def load_error(run: Path, which: str | int = "last") -> str:
    """What `load` says to this run."""
    with pytest.raises(CourseError) as caught:
        checkpoint.load(run, which)
    return str(caught.value)


# Finding ---------------------------------------------------------------------------------------------------


def test_a_run_is_found_by_path_or_by_its_name(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkpoint.find_run(run) == run
    assert checkpoint.find_run("small").resolve() == run
    (run.parents[1] / "chapters").mkdir()
    monkeypatch.chdir(run.parents[1] / "chapters")  # where notebooks work
    assert checkpoint.find_run("small").resolve() == run


def test_a_folder_that_is_no_run_names_those_that_are(run: Path) -> None:
    with pytest.raises(CourseError, match=r"runs is no run directory.*config\.json.*Runs here: small"):
        checkpoint.find_run(run.parent)
    with pytest.raises(CourseError, match="smal is no run directory"):
        checkpoint.find_run("smal")
    assert "no run directory" in load_error(run.parent)


def test_without_any_runs_it_says_how_to_make_one(project: Path) -> None:
    with pytest.raises(CourseError, match=r"There are no runs in .*runs yet; course train makes one"):
        checkpoint.find_run("small")


def test_a_run_without_a_save_says_so(project: Path) -> None:
    settings = RunConfig("test", DataConfig(), CONFIG, TrainConfig())
    folder = checkpoint.create_run(project / "new", settings, None)
    assert "has no save 'last'; it has none yet" in load_error(folder)
    assert "has no save 10; it has none yet" in load_error(folder, 10)


@pytest.mark.parametrize("content", [None, "", "30\n", b"\xff\xfe", "../other\n"], ids=repr)
def test_a_pointer_that_leads_nowhere(run: Path, content: str | bytes | None) -> None:
    (run / "last").unlink()
    if content is not None:
        (run / "last").write_bytes(content if isinstance(content, bytes) else content.encode())
    message = load_error(run)
    assert f"has no save 'last'; it has 10 and 20 ({KEPT}): --which 20, last" in message
    assert checkpoint.load(run, 20).state["step"] == 20
    assert checkpoint.load(run, "best").state["step"] == 10


@pytest.mark.parametrize("word", ["20", "020", "20.0", "10", "10.1", "30", "last", "best", "auto"])
def test_a_save_by_a_word(run: Path, word: str) -> None:
    """As it comes from a command line; step 10 was reached twice, 30 never, and no save is called 20.0."""
    (run / "saves" / "10.1").mkdir()
    (run / "saves" / "10.1" / "state.json").write_text('{"step": 10}')
    expected = {"020": "20", "10": "10.1", "last": "20", "best": "10", "auto": "10"}.get(word, word)
    if word in ("30", "20.0"):
        with pytest.raises(CourseError, match=f"has no save {word}; it has"):
            checkpoint.find_save(run, word)
    else:
        assert checkpoint.find_save(run, word).name == expected


NO_WORDS = ["\u00b2", "\u0662\u0660", "2\u00b2", "", "-1", "+20", "2e1", "20.", ".20", " 20", "20\n", "x", "9" * 5000]


@pytest.mark.parametrize("word", NO_WORDS, ids=ascii)
def test_a_word_that_names_no_save(run: Path, word: str) -> None:
    """Superscripts and Arabic digits are digits to Python's str.isdigit, and the empty word is every hidden file."""
    (run / "saves" / ".new-abc").mkdir()
    there = rf"has no save .*; it has 10 and 20 \({KEPT}\): --which 20, last or best"
    with pytest.raises(CourseError, match=there):
        checkpoint.find_save(run, word)


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("saves/20", "is a save of the run {run}. Name the run, and beside it the save: {run} --which 20"),
        ("saves/20/state.json", "is a save of the run {run}. Name the run, and beside it the save: {run} --which 20"),
        ("saves", "is a part of the run {run}. Name the run: {run}"),
        ("config.json", "is a part of the run {run}. Name the run: {run}"),
        ("tokenizer.json", "is a part of the run {run}. Name the run: {run}"),
    ],
)
def test_a_part_of_a_run_is_not_taken_for_one(run: Path, inside: str, said: str) -> None:
    for given in (str(run), "runs/small", "small"):  # from the root, from here, by its name
        with pytest.raises(CourseError) as told:
            checkpoint.find_run(f"{given}/{inside}")
        assert f"{given}/{inside} {said.format(run=given)}" in str(told.value)
    assert said.format(run=run) in load_error(run / inside)


# Damaged weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 4, 50, 1000, -1], ids=["empty", "length", "header", "data", "last byte"])
def test_cut_off_weights(run: Path, keep: int) -> None:
    path = run / "saves" / "20" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    message = load_error(run)
    assert "model.safetensors is not a whole safetensors file" in message
    assert "Choose another save" in message
    assert checkpoint.load(run, "best").state["step"] == 10


def test_weights_that_are_missing_or_unreadable(run: Path) -> None:
    path = run / "saves" / "20" / "model.safetensors"
    path.unlink()
    assert "model.safetensors is missing; the save is not whole. Choose another save." in load_error(run)
    path.mkdir()  # what cannot be read as a file
    assert "Cannot read" in load_error(run)


def test_something_else_under_the_name_of_weights(run: Path) -> None:
    path = run / "saves" / "20" / "model.safetensors"
    torch.save({"weights": torch.zeros(3)}, path)  # a pickle in a zip: never opened
    assert "is not a whole safetensors file" in load_error(run)


def test_a_weight_of_another_shape(run: Path) -> None:
    change_tensors(run / "saves" / "20" / "model.safetensors", norm__weight=torch.ones(9))
    message = load_error(run)
    assert "norm.weight should have the shape (8,); it has (9,)" in message
    assert "another size or vocabulary" in message


def test_a_weight_that_is_missing_or_unknown(run: Path) -> None:
    path = run / "saves" / "20" / "model.safetensors"
    change_tensors(path, head__weight=None)
    assert "lacks weight 'head.weight'" in load_error(run)
    change_tensors(path, head__weight=torch.zeros(11, 8), head__bias=torch.zeros(11))
    assert "has the unknown weight 'head.bias'" in load_error(run)


def test_loading_draws_nothing_from_the_global_generator(run: Path) -> None:
    before = torch.get_rng_state()
    checkpoint.load(run)
    assert torch.equal(torch.get_rng_state(), before)


# Reading while a trainer writes -----------------------------------------------------------------------------


@pytest.fixture
def beside(run: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """``beside("load_weights")``: a trainer saves, best and last, each time just before (or after) that call of
    `load`, ``times`` times. Returns the names of the saves that are asked for."""

    def make(call: str, times: int = 1, after: bool = False) -> list[str]:
        model, asked = GPT(CONFIG), []
        usual = getattr(reading, call)

        def save() -> None:
            if len(asked) <= times:
                checkpoint.save(run, 20 + 10 * len(asked), model, best=True)

        def called(*args):
            asked.append(str(next(arg for arg in args if isinstance(arg, Path)).name))
            if not after:
                save()
            answer = usual(*args)
            if after:
                save()
            return answer

        monkeypatch.setattr(reading, call, called)
        return asked

    return make


@pytest.mark.parametrize("which", ["last", "best", "auto"])
@pytest.mark.parametrize(("call", "after"), [("read_pointer", True), ("load_weights", False), ("read_state", False)])
def test_a_save_that_is_replaced_while_it_is_read_is_given_up_for_the_newer_one(
    run: Path, beside, which: str, call: str, after: bool
) -> None:
    asked = beside(call, after=after)
    loaded = checkpoint.load(run, which)
    assert (loaded.path.name, loaded.state["step"]) == ("30", 30)
    assert len(asked) == 2
    saved = load_file(run / "saves" / "30" / "model.safetensors")
    assert all(torch.equal(p, saved[name]) for name, p in loaded.model.named_parameters())


def test_a_save_that_is_replaced_while_its_weights_are_opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors opens a file, reads its table of contents, and has torch open it again."""
    usual = torch.UntypedStorage.from_file

    def from_file(name: str, *args, **options):
        if "20" in Path(name).parts:
            checkpoint.save(run, 30, GPT(CONFIG))
        return usual(name, *args, **options)

    monkeypatch.setattr(torch.UntypedStorage, "from_file", from_file)
    assert checkpoint.load(run).state["step"] == 30
    assert not (run / "saves" / "20").exists()


def test_another_error_of_torch_passes_as_it_is(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def from_file(*args, **options):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(torch.UntypedStorage, "from_file", from_file)
    with pytest.raises(RuntimeError, match="not enough memory"):
        checkpoint.load(run)


def test_a_save_that_is_replaced_again_and_again_is_read_in_the_end(run: Path, beside) -> None:
    asked = beside("load_weights", times=5)
    assert checkpoint.load(run).state["step"] == 70
    assert asked == ["20", "30", "40", "50", "60", "70"]


@pytest.mark.parametrize("looks", [0, 1])
def test_a_best_save_that_is_given_up_while_it_is_looked_for(
    run: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Another process takes the run back to before its best save: right before, or after, the pointer is read."""
    checkpoint.save(run, 30, GPT(CONFIG), best=True)
    usual, seen = reading.read_pointer, []

    def read_pointer(folder: Path, which: str) -> str | None:
        found = usual(folder, which) if looks else None
        if not seen:
            (run / "saves" / "20").mkdir()
            (run / "saves" / "20" / "state.json").write_text('{"step": 20}')
            checkpoint.rewind(run, run / "saves" / "20")
        seen.append(which)
        return found if len(seen) <= looks else usual(folder, which)

    monkeypatch.setattr(reading, "read_pointer", read_pointer)
    assert checkpoint.find_save(run, "auto").name == "20"
    assert seen[0] == "best"
    with pytest.raises(CourseError, match="has no save 'best'; it has 20"):
        checkpoint.find_save(run, "best")


@pytest.mark.parametrize("damage", ["model.safetensors", "state.json", "no weights", "gone"])
def test_the_only_save_is_damaged(run: Path, damage: str) -> None:
    """To choose another one is no advice then. Where there are others they are named, and one of them serves."""
    save = run / "saves" / "20"
    if damage == "gone":
        (save / "model.safetensors").unlink()
    elif damage == "no weights":
        (save / "model.safetensors").write_bytes(b"")
    else:
        (save / damage).write_bytes(b"{")
    message = load_error(run)
    assert "Choose another save. There is: --which 10" in message
    assert checkpoint.load(run, "10").state["step"] == 10
    shutil.rmtree(run / "saves" / "10")
    message = load_error(run)
    assert "Choose another" not in message
    assert "no other save: put this one back from a copy, if there is one, or start the run again" in message


@pytest.mark.parametrize("file", ["model.safetensors", "state.json"])
def test_a_save_that_is_damaged_is_read_once_and_no_more(run: Path, beside, file: str) -> None:
    asked = beside("load_weights", times=0)
    (run / "saves" / "20" / file).write_bytes(b"{")
    assert "Choose another save" in load_error(run)
    assert asked == ["20"]


def test_a_damaged_save_in_place_of_one_that_was_replaced_is_named(run: Path, beside) -> None:
    asked = beside("load_weights")
    usual = checkpoint.writing.replace_file

    def damaging(path: Path, text: str) -> None:
        usual(path, text)
        if path.name == "last":
            (run / "saves" / "30" / "state.json").write_text("{")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.writing, "replace_file", damaging)
        assert "saves/30/state.json is damaged" in load_error(run)
    assert asked == ["20", "30"]


def test_a_number_of_steps_whose_save_is_gone_meanwhile_names_those_there_are(run: Path, beside) -> None:
    beside("load_weights")
    assert f"has no save 20; it has 30 ({KEPT}): --which 30" in load_error(run, 20)


def test_a_save_that_is_removed_while_the_newest_of_one_step_is_looked_for(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Path.glob
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [*usual(folder, pattern), folder / "20.1"])
    assert checkpoint.find_save(run, 20).name == "20"
    assert checkpoint.load(run, 20).state["step"] == 20


# Settings, tokenizer, state --------------------------------------------------------------------------------


def test_a_tokenizer_of_another_vocabulary(run: Path) -> None:
    CharTokenizer("abc").save(run / "tokenizer.json")
    message = load_error(run)
    assert "the model has a vocabulary of 11, its tokenizer.json one of 3" in message
    assert "from another run" in message


def test_a_run_without_a_tokenizer_loads_its_model(run: Path) -> None:
    (run / "tokenizer.json").unlink()
    assert checkpoint.load(run).tokenizer is None


def test_a_damaged_tokenizer(run: Path) -> None:
    (run / "tokenizer.json").write_text('{"format": ')
    assert "tokenizer.json" in load_error(run)


def test_a_save_of_another_model(run: Path) -> None:
    """config.json from one run, saves from another: the first weight that does not fit is named."""
    change_json(run / "config.json", lambda c: c["model"].update(n_embd=16))
    assert "should have the shape" in load_error(run)
    change_json(run / "config.json", lambda c: c["model"].update(n_embd=8, n_layer=2))
    assert "lacks weight 'blocks.1" in load_error(run)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe\xff", b'{"recipe": "x", "data": {}, "train": {}, "model": []}'],
    ids=repr,
)
def test_a_damaged_config_names_the_file(run: Path, content: bytes) -> None:
    (run / "config.json").write_bytes(content)
    assert f"{run}/config.json" in load_error(run)


def test_a_config_with_an_impossible_setting(run: Path) -> None:
    change_json(run / "config.json", lambda c: c["model"].update(dropout=2))
    message = load_error(run)
    assert f"{run}/config.json" in message
    assert "dropout should be at least 0 and below 1; it is 2" in message


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"step": "20"}', b'{"step": -1}', b"\xff\xfe"], ids=repr
)
def test_a_damaged_state(run: Path, content: bytes) -> None:
    (run / "saves" / "20" / "state.json").write_bytes(content)
    message = load_error(run)
    assert "saves/20/state.json is damaged" in message
    assert "Choose another save" in message
    assert checkpoint.load(run, "best").state["step"] == 10


def test_a_save_without_its_state_is_no_save(run: Path) -> None:
    (run / "saves" / "20" / "state.json").unlink()
    assert "has no save 'last'; it has 10 (a run keeps" in load_error(run)


# Optimizer -------------------------------------------------------------------------------------------------


def optimizer_error(run: Path, config: TrainConfig | None = None) -> str:
    loaded = checkpoint.load(run)
    optimizer = build_optimizer(loaded.model, config or TrainConfig())
    with pytest.raises(CourseError) as caught:
        checkpoint.load_optimizer(optimizer, loaded.model, loaded.path)
    return str(caught.value)


def test_a_damaged_optimizer_file(run: Path) -> None:
    path = run / "saves" / "20" / "optimizer.safetensors"
    change_tensors(path, **{"norm__weight/exp_avg": torch.zeros(9)})
    assert "norm.weight/exp_avg should have the shape (8,); it has (9,)" in optimizer_error(run)
    change_tensors(path, **{"norm__weight/exp_avg": None})
    assert "norm.weight has ['exp_avg_sq', 'step']" in optimizer_error(run)
    change_tensors(path, **{"norm__weight/exp_avg": torch.zeros(8), "other/step": torch.tensor(1.0)})
    assert "unknown weight 'other'" in optimizer_error(run)
    path.write_bytes(path.read_bytes()[:-1])
    assert "not a whole safetensors file" in optimizer_error(run)
    path.unlink()
    assert "optimizer.safetensors is missing" in optimizer_error(run)


def test_the_state_of_another_optimizer(run: Path) -> None:
    message = optimizer_error(run, TrainConfig(optimizer="muon"))
    assert "this optimizer keeps ['momentum_buffer']" in message
    assert "another optimizer" in message
