"""Saves: what is kept comes back, and nothing that goes wrong while writing loses what was kept before."""

import contextlib
import errno
import json
import os
import re
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.checkpoint import locked, writing
from course_lib.checkpoint.explaining import explained
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.optim import AnyOptimizer, build_optimizer
from course_lib.tokenizers import CharTokenizer

TOKENIZER = CharTokenizer("abcdefghijk")
TIED = GPTConfig(block_size=8, vocab_size=11, n_layer=1, n_head=2, n_embd=8)
MODERN = TIED.replace(position="rope", norm="rmsnorm", mlp="swiglu", tie_weights=False)


pytestmark = pytest.mark.usefixtures("one_thread")


def make_run(folder: Path, config: GPTConfig = TIED, optimizer: str = "adamw") -> tuple[GPT, AnyOptimizer]:
    train = TrainConfig(optimizer=optimizer)
    checkpoint.create_run(folder, RunConfig("test", DataConfig(), config, train), TOKENIZER)
    torch.manual_seed(0)
    model = GPT(config)
    return model, build_optimizer(model, train)


def train(model: GPT, optimizer: AnyOptimizer, steps: int, seed: int = 1) -> None:
    """A few plain steps on noise, so that weights and optimizer state are all their own."""
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        idx = torch.randint(0, 11, (4, 8), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(idx).flatten(0, 1), idx.flatten()).backward()
        optimizer.step()


def copies(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def header(path: Path) -> dict[str, dict]:
    """The table of contents of a safetensors file, read by hand: 8 bytes of length, then JSON."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length])
    table.pop("__metadata__", None)
    assert max(entry["data_offsets"][1] for entry in table.values()) == len(content) - 8 - length
    return table


def scratch_in(run: Path) -> list[str]:
    """Files and folders that only a write in progress should have."""
    return [p.name for folder in (run, run / "saves") for p in folder.iterdir() if p.name.startswith(".")]


# What is kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer_kind", ["adamw", "muon"])
@pytest.mark.parametrize("config", [TIED, MODERN], ids=["tied", "untied"])
def test_a_save_gives_back_weights_and_optimizer(project: Path, config: GPTConfig, optimizer_kind: str) -> None:
    model, optimizer = make_run(project / "run", config, optimizer_kind)
    train(model, optimizer, 3)
    checkpoint.save(project / "run", 3, model, optimizer, {"note": "three"})
    loaded = checkpoint.load(project / "run")
    assert equal(copies(loaded.model), copies(model))
    assert loaded.state == {"note": "three", "step": 3}
    assert loaded.tokenizer == TOKENIZER
    assert loaded.config.model == config
    assert not loaded.model.training

    again = build_optimizer(loaded.model, loaded.config.train)
    checkpoint.load_optimizer(again, loaded.model, loaded.path)
    train(model, optimizer, 3, seed=2)
    before = copies(loaded.model)
    train(loaded.model, again, 3, seed=2)
    assert not equal(copies(loaded.model), before)
    assert equal(copies(loaded.model), copies(model))  # the optimizer's memory came back whole: the same three steps


def test_optimizer_state_matters_for_the_round_trip(project: Path) -> None:
    """The test above could not fail if a fresh optimizer took the same steps; it does not."""
    model, optimizer = make_run(project / "run")
    train(model, optimizer, 3)
    checkpoint.save(project / "run", 3, model, optimizer)
    fresh = checkpoint.load(project / "run").model
    train(model, optimizer, 3, seed=2)
    train(fresh, build_optimizer(fresh, TrainConfig()), 3, seed=2)
    assert not equal(copies(fresh), copies(model))


def test_tied_weights_are_stored_once_and_come_back_tied(project: Path) -> None:
    model, optimizer = make_run(project / "run")
    folder = checkpoint.save(project / "run", 0, model, optimizer)
    table = header(folder / "model.safetensors")
    assert "token_embedding.weight" in table
    assert "head.weight" not in table
    assert sum(entry["shape"] == [11, 8] for entry in table.values()) == 1
    loaded = checkpoint.load(project / "run").model
    assert loaded.head.weight is loaded.token_embedding.weight


def test_the_files_are_plain_safetensors(project: Path) -> None:
    model, optimizer = make_run(project / "run", MODERN)
    train(model, optimizer, 2)
    folder = checkpoint.save(project / "run", 2, model, optimizer)
    table = header(folder / "model.safetensors")
    assert {name: tuple(entry["shape"]) for name, entry in table.items()} == {
        name: tuple(p.shape) for name, p in model.named_parameters()
    }
    assert {entry["dtype"] for entry in table.values()} == {"F32"}
    # One value by hand, from the bytes: the last weight of the head.
    content = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    end = start + table["head.weight"]["data_offsets"][1]
    value = torch.frombuffer(bytearray(content[end - 4 : end]), dtype=torch.float32).item()
    assert value == model.head.weight[-1, -1].item()

    quantities = {name.rpartition("/")[2] for name in header(folder / "optimizer.safetensors")}
    assert quantities == {"step", "exp_avg", "exp_avg_sq"}


def test_no_file_of_a_run_is_a_pickle_or_a_zip(project: Path) -> None:
    model, optimizer = make_run(project / "run")
    checkpoint.save(project / "run", 1, model, optimizer, best=True)
    files = [path for path in (project / "run").rglob("*") if path.is_file()]
    names = {str(path.relative_to(project / "run")) for path in files}
    assert names - {"lock"} == {  # an empty file, which some systems remove when it is let go of
        "config.json", "tokenizer.json", "last", "best", "saves/1/model.safetensors",
        "saves/1/optimizer.safetensors", "saves/1/state.json",
    }  # fmt: skip
    for path in files:
        assert not path.read_bytes().startswith((b"\x80", b"PK")), path


def test_others_can_read_a_save(project: Path) -> None:
    model, optimizer = make_run(project / "run")
    folder = checkpoint.save(project / "run", 1, model, optimizer)
    for path in (folder, *folder.iterdir()):
        assert path.stat().st_mode & stat.S_IROTH, path


def test_a_save_without_an_optimizer_can_be_loaded(project: Path) -> None:
    model, _ = make_run(project / "run")
    checkpoint.save(project / "run", 5, model)
    assert checkpoint.load(project / "run").state == {"step": 5}


def test_a_second_run_in_the_same_folder_is_refused(project: Path) -> None:
    model, optimizer = make_run(project / "run")
    checkpoint.save(project / "run", 1, model, optimizer)
    with pytest.raises(CourseError, match=r"already holds a run.*--resume.*another --out-dir"):
        make_run(project / "run", MODERN)
    assert checkpoint.load(project / "run").config.model == TIED


# Pointers and pruning -------------------------------------------------------------------------------------


def test_last_and_best_name_saves_and_others_are_pruned(project: Path) -> None:
    model, optimizer = make_run(project / "run")
    run = project / "run"
    weights = {}
    for step, best in [(10, True), (20, False), (30, True), (40, False), (50, False)]:
        train(model, optimizer, 1, seed=step)
        weights[step] = copies(model)
        checkpoint.save(run, step, model, optimizer, best=best)
        assert (run / "last").read_text() == f"{step}\n"
    assert (run / "best").read_text() == "30\n"
    assert sorted(p.name for p in (run / "saves").iterdir()) == ["30", "50"]
    for which, step in (("last", 50), ("best", 30), (30, 30), ("50", 50)):
        loaded = checkpoint.load(run, which)
        assert loaded.state["step"] == step
        assert equal(copies(loaded.model), weights[step])
    with pytest.raises(CourseError, match=r"no save 40; it has 30 and 50"):
        checkpoint.load(run, 40)


def test_a_second_save_of_the_same_step_replaces_the_first(project: Path) -> None:
    model, optimizer = make_run(project / "run")
    run = project / "run"
    checkpoint.save(run, 10, model, optimizer, best=True)
    first = copies(model)
    train(model, optimizer, 1)
    checkpoint.save(run, 10, model, optimizer)
    assert equal(copies(checkpoint.load(run, "last").model), copies(model))
    assert equal(copies(checkpoint.load(run, 10).model), copies(model))
    assert equal(copies(checkpoint.load(run, "best").model), first)  # still the one that was best
    train(model, optimizer, 1)
    checkpoint.save(run, 10, model, optimizer, best=True)
    assert equal(copies(checkpoint.load(run, "best").model), copies(model))
    assert len(list((run / "saves").iterdir())) == 1


def test_what_a_killed_process_left_is_swept_up(project: Path) -> None:
    model, optimizer = make_run(project / "run")
    left = project / "run" / "saves" / ".new-abc"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    checkpoint.save(project / "run", 1, model, optimizer)
    assert not left.exists()


# Trouble while writing ------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the library may catch it, and after it nothing reaches the disk."""


class Disk:
    """Counts the library's calls into the operating system, and at the chosen one kills or fails.

    ``torn``: a call that writes content leaves half of it first.
    """

    CALLS = "mkdir chmod open fsync rename replace unlink rmdir".split()

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: list[str] = CALLS) -> None:
        self.seen: list[str] = []
        self.at: int | None = None
        self.error: BaseException = Killed()
        self.only: list[str] | None = None
        self.torn = self.dead = False
        for name in calls:
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))
        monkeypatch.setattr(writing, "save_file", self.wrapped("save_file", writing.save_file))
        monkeypatch.setattr(Path, "write_text", self.wrapped("write_text", Path.write_text))

    def wrapped(self, name, function):
        def call(*args, **kwargs):
            if self.dead:
                raise Killed
            if self.only is None or name in self.only:
                self.seen.append(name)
            if self.at != len(self.seen) or name != self.seen[-1]:
                return function(*args, **kwargs)
            if self.torn and name in ("save_file", "write_text"):
                function(*args, **kwargs)
                path = Path(args[1] if name == "save_file" else args[0])
                with path.open("r+b") as file:
                    file.truncate(path.stat().st_size // 2)
            self.dead = isinstance(self.error, Killed)
            raise self.error

        return call

    @contextlib.contextmanager
    def failing(
        self, at: int, error: BaseException, torn: bool = False, only: list[str] | None = None
    ) -> Iterator[None]:
        self.seen.clear()
        self.at, self.error, self.torn, self.only, self.dead = at, error, torn, only, False
        try:
            yield
        finally:
            self.at, self.dead = None, False


@pytest.fixture
def two_saves(project: Path) -> tuple[Path, GPT, AnyOptimizer, dict[int, dict[str, Tensor]]]:
    """A run with saves best = 10 and last = 20, a model that is ready to be saved at 30, and all three's weights."""
    run, weights = project / "run", {}
    model, optimizer = make_run(run)
    for step in (10, 20, 30):
        train(model, optimizer, 1, seed=step)
        weights[step] = copies(model)
        if step < 30:
            checkpoint.save(run, step, model, optimizer, {"loss": 1 / step}, best=step == 10)
    return run, model, optimizer, weights


def assert_whole(run: Path, weights: dict[int, dict[str, Tensor]], which: str) -> int:
    """``which`` names a save of which every part belongs to the same step; returns that step."""
    loaded = checkpoint.load(run, which)
    step = loaded.state["step"]
    assert loaded.state["loss"] == 1 / step
    assert equal(copies(loaded.model), weights[step])
    optimizer = build_optimizer(loaded.model, loaded.config.train)
    checkpoint.load_optimizer(optimizer, loaded.model, loaded.path)
    first = optimizer.param_groups[0]["params"][0]
    assert optimizer.state[first]["step"].item() == step / 10
    return step


@pytest.mark.parametrize("best", [False, True], ids=["last", "last and best"])
@pytest.mark.parametrize("torn", [False, True], ids=["before the call", "in the middle of a write"])
def test_a_kill_at_any_call_leaves_a_whole_save(two_saves, monkeypatch, best: bool, torn: bool) -> None:
    run, model, optimizer, weights = two_saves
    disk = Disk(monkeypatch)
    outcomes = []
    for k in range(1, 200):
        copy = run.with_name(f"copy{k}")
        shutil.copytree(run, copy)
        with disk.failing(k, Killed(), torn):
            try:
                checkpoint.save(copy, 30, model, optimizer, {"loss": 1 / 30}, best)
            except Killed:
                finished = False
            else:
                finished = True
        outcomes.append((assert_whole(copy, weights, "last"), assert_whole(copy, weights, "best")))
        if finished:
            break
        # The next process saves as if nothing had happened, and sweeps up.
        checkpoint.save(copy, 30, model, optimizer, {"loss": 1 / 30}, best)
        assert assert_whole(copy, weights, "last") == 30
        assert assert_whole(copy, weights, "best") == (30 if best else 10)
        assert scratch_in(copy) == []
        assert len(list((copy / "saves").iterdir())) == (1 if best else 2)
    assert finished
    assert {"mkdir", "save_file", "write_text", "fsync", "rename", "replace", "unlink", "rmdir"} <= set(disk.seen)
    assert outcomes[0] == (20, 10)
    assert outcomes[-1] == (30, 30 if best else 10)
    assert outcomes == sorted(outcomes)  # never back
    if best:  # a run that goes on from the new save will not score it again, so best has to be first
        assert (30, 10) not in outcomes


def test_a_kill_while_a_run_goes_back_leaves_whole_saves_and_the_next_process_goes_back(two_saves, monkeypatch) -> None:
    """From a run that has reached 30 steps, its best, to the save of 20; best was 10 at that time, and is gone."""
    run, model, optimizer, weights = two_saves
    earlier = run / "saves" / "20"
    shutil.copytree(earlier, run.parent / "20")
    checkpoint.save(run, 30, model, optimizer, {"loss": 1 / 30}, best=True)
    shutil.copytree(run.parent / "20", earlier)
    disk, outcomes, finished = Disk(monkeypatch), [], False
    for k in range(1, 200):
        copy = shutil.copytree(run, run.with_name(f"copy{k}"))
        with disk.failing(k, Killed(), torn=True):
            try:
                checkpoint.rewind(copy, earlier)
                finished = True
            except Killed:
                pass
        best = (copy / "best").exists()
        assert not best or assert_whole(copy, weights, "best") == 30
        outcomes.append((assert_whole(copy, weights, "last"), best))
        if finished:
            break
        checkpoint.rewind(copy, earlier)
        assert assert_whole(copy, weights, "last") == 20
        assert not (copy / "best").exists()
        assert [p.name for p in (copy / "saves").iterdir()] == ["20"]
        assert scratch_in(copy) == []
    assert finished
    assert outcomes[0] == (30, True)
    assert outcomes[-1] == (20, False)
    assert outcomes == sorted(outcomes, reverse=True)  # never forward
    assert (30, False) not in outcomes  # a run that has not gone back has lost nothing


def test_a_run_that_goes_back_keeps_a_best_save_that_is_not_beyond(two_saves) -> None:
    run, _, _, weights = two_saves
    checkpoint.rewind(run, run / "saves" / "20")  # to where it is
    assert (assert_whole(run, weights, "last"), assert_whole(run, weights, "best")) == (20, 10)
    checkpoint.rewind(run, run / "saves" / "10")
    assert (assert_whole(run, weights, "last"), assert_whole(run, weights, "best")) == (10, 10)
    assert [p.name for p in (run / "saves").iterdir()] == ["10"]


def test_of_two_saves_of_one_step_the_best_is_not_beyond(two_saves) -> None:
    run, model, optimizer, _ = two_saves
    checkpoint.save(run, 10, model, optimizer)
    checkpoint.rewind(run, run / "saves" / "10.1")
    assert ((run / "last").read_text(), (run / "best").read_text()) == ("10.1\n", "10\n")


def test_going_back_on_a_disk_that_fails_names_the_remedy(two_saves, monkeypatch) -> None:
    run, _, _, weights = two_saves
    disk, full = Disk(monkeypatch), OSError(errno.ENOSPC, "No space left on device")
    told = pytest.raises(CourseError, match=r"Cannot write .*run: No space left on device.*whole.*--resume")
    with locked(run), disk.failing(1, full, only=["write_text"]), told:
        checkpoint.rewind(run, run / "saves" / "10")
    assert (assert_whole(run, weights, "last"), assert_whole(run, weights, "best")) == (20, 10)


@pytest.mark.parametrize(
    "make_error",
    [
        lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        lambda: PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
        lambda: SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["disk full", "permission denied", "disk full inside safetensors"],
)
def test_a_write_that_fails_names_the_remedy_and_loses_nothing(two_saves, monkeypatch, make_error) -> None:
    run, model, optimizer, weights = two_saves
    before = {path: path.read_bytes() for path in (run / "saves").rglob("*") if path.is_file()}
    only = ["save_file"] if isinstance(make_error(), SafetensorError) else None
    disk = Disk(monkeypatch, "mkdir chmod open fsync rename replace".split())
    failed = []
    for k in range(1, 200):
        copy = shutil.copytree(run, run.with_name(f"copy{k}"))
        with disk.failing(k, make_error(), torn=True, only=only):
            message = "saved"  # for a call that may fail, such as making a folder that is there; or k is past the end
            try:
                checkpoint.save(copy, 30, model, optimizer, {"loss": 1 / 30}, best=True)
            except CourseError as error:
                message = str(error)
        raised = message != "saved"
        if raised:
            assert re.search(r"Cannot write .*(saves|lock).*whole.*disk space.*permissions.*--resume", message)
            failed.append(disk.seen[k - 1])
        at = (assert_whole(copy, weights, "last"), assert_whole(copy, weights, "best"))
        assert at in ({(20, 10), (20, 30), (30, 30)} if raised else {(30, 30)})
        assert scratch_in(copy) == []
        if raised:  # nothing of the earlier saves is gone, and there is no half folder under a save's name
            assert {p: (copy / p.relative_to(run)).read_bytes() for p in before} == before
            for folder in (copy / "saves").iterdir():
                assert_whole(copy, weights, folder.name)
        if len(disk.seen) < k:
            break
    assert set(failed) >= (
        {"save_file"} if only else {"mkdir", "save_file", "write_text", "fsync", "rename", "replace"}
    )


def test_a_disk_that_fills_up_while_many_saves_are_kept_loses_none_of_them(two_saves, monkeypatch) -> None:
    """At each of the calls that write: all saves that were there are whole afterwards, also the oldest, which was to
    go; and when there is room again, the newest are kept."""
    run, model, optimizer, weights = two_saves
    checkpoint.save(run, 25, model, optimizer, {"loss": 1 / 25}, keep=3)
    before = {path: path.read_bytes() for path in (run / "saves").rglob("*") if path.is_file()}
    weights = weights | {25: copies(model)}
    disk, failures = Disk(monkeypatch, "mkdir chmod open fsync rename replace".split()), 0
    for k in range(1, 200):
        copy = shutil.copytree(run, run.with_name(f"copy{k}"))
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with disk.failing(k, full, torn=True), contextlib.suppress(CourseError):
            checkpoint.save(copy, 30, model, optimizer, {"loss": 1 / 30}, keep=3)
            if len(disk.seen) < k:
                break
            continue  # the call that failed was one that may
        failures += 1
        assert {p: (copy / p.relative_to(run)).read_bytes() for p in before} == before
        checkpoint.save(copy, 30, model, optimizer, {"loss": 1 / 30}, keep=3)
        assert (copy / "last").read_text().startswith("30")
        assert len(list((copy / "saves").iterdir())) == 4  # three of the newest, and the best
    assert failures > 5
    names = {p.name for p in (copy / "saves").iterdir()}
    assert names == {"10", "20", "25", "30"}  # 10 is the best one


def test_going_back_gives_up_what_came_after_and_keeps_what_came_before(two_saves) -> None:
    run, model, optimizer, _ = two_saves
    for step in (30, 40, 50):
        checkpoint.save(run, step, model, optimizer, keep=9)
    checkpoint.save(run, 30, model, optimizer, keep=9)  # by hand, without going back: 40 and 50 are of another history
    assert sorted(p.name for p in (run / "saves").iterdir()) == ["10", "20", "30", "30.1"]
    checkpoint.rewind(run, run / "saves" / "30", keep=2)
    assert sorted(p.name for p in (run / "saves").iterdir()) == ["10", "20", "30"]
    checkpoint.rewind(run, run / "saves" / "20", keep=1)
    assert sorted(p.name for p in (run / "saves").iterdir()) == ["10", "20"]


def test_a_disk_that_is_really_full(two_saves) -> None:
    """The operating system itself refuses, inside safetensors' own writing: files may not grow past a kilobyte."""
    run, model, optimizer, weights = two_saves
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(CourseError, match=r"Cannot write .*File too large.*whole.*--resume"):
            checkpoint.save(run, 30, model, optimizer, {"loss": 1 / 30})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert assert_whole(run, weights, "last") == 20
    assert scratch_in(run) == []
    assert sorted(p.name for p in (run / "saves").iterdir()) == ["10", "20"]


def test_what_to_do_about_a_write_error_depends_on_what_there_is(project: Path, monkeypatch) -> None:
    """A resume is told of where there is something to resume from, and then by the run's own name."""
    full = OSError(errno.ENOSPC, "No space left on device")

    def message(path: Path, run: Path) -> str:
        with pytest.raises(CourseError) as told, explained(path, run):
            raise full
        return str(told.value)

    run = project / "runs" / "mine"
    assert "--resume" not in message(run, run)
    assert "start the run again, or choose another --out-dir" in message(run, run)
    make_run(run)
    assert "--resume" not in message(run / "saves", run)
    without = "The run has no save yet. Free some disk space or check the folder's permissions, then delete"
    assert f"{without} {run}" in message(run / "metrics.jsonl", run)
    checkpoint.save(run, 10, GPT(TIED))
    for path in (run / "metrics.jsonl", run / "saves", run / "lock"):
        assert message(path, run).startswith(f"Cannot write {path}: No space left on device. What was saved before is")
        assert message(path, run).endswith(f"then go on with: course train --resume {run}")


def test_a_run_that_cannot_be_written_leaves_no_folder(project: Path, monkeypatch) -> None:
    """The disk fails at each of the calls that make a run folder: afterwards the name is free again."""
    run, failed, disk = project / "run", 0, Disk(monkeypatch)
    for k in range(1, 10):
        with disk.failing(k, OSError(errno.ENOSPC, "No space left on device"), only=["write_text", "replace"]):
            try:
                make_run(run)
            except CourseError:
                failed += 1
                assert not run.exists(), disk.seen
        shutil.rmtree(run, ignore_errors=True)
    assert failed == 4  # two files, each written and put in place; who holds the lock may stay unwritten


def test_a_folder_that_cannot_be_made_is_explained(project: Path) -> None:
    (project / "file").write_text("in the way")
    with pytest.raises(CourseError, match=r"Cannot write .*file/run.*permissions"):
        make_run(project / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission(two_saves) -> None:
    run, model, optimizer, weights = two_saves
    (run / "saves").chmod(0o555)
    try:
        with pytest.raises(CourseError, match=r"Permission denied.*whole"):
            checkpoint.save(run, 30, model, optimizer, {"loss": 1 / 30})
    finally:
        (run / "saves").chmod(0o755)
    assert assert_whole(run, weights, "last") == 20
