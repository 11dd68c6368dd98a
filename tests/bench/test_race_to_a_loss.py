"""Who reaches a loss first: what is heard from outside, what is kept, and that both are scored alike."""

import itertools
import json
import math
import os
import sys
import time
from pathlib import Path

import pytest
import torch

from course_lib.bench import until
from course_lib.bench.race import PATIENCE, PeerWay, Way, peer_loss, race
from course_lib.bench.watching import watch
from course_lib.data import load_text
from course_lib.errors import CourseError
from course_lib.recipes import Recipe, load_recipe

TINY = dict(block_size=16, n_layer=1, n_head=2, n_embd=16, batch_size=4, max_steps=20, eval_every=5, warmup_steps=2)


def recipe(**changes: object) -> Recipe:
    small = TINY | {"dataset": "tinytales", "dropout": 0.0, "compile": False, "device": "cpu", "cooldown_steps": 5}
    return load_recipe("shakespeare_char").replace(**(small | changes))


# What is heard -----------------------------------------------------------------------------------------------


def test_the_first_evaluation_at_or_below_the_target_counts():
    way = Way(1.5)
    assert not way.heard(1.0, "some other line\n")
    assert not way.heard(10.0, "step 100: val loss 1.6000, evaluations 0.500 s\n")
    assert way.heard(20.0, "step 200: val loss 1.5000, evaluations 1.250 s\n")
    result = way.result("stopped")
    assert (result["reached"], result["step"], result["seconds"]) == (True, 200, 20.0)
    assert result["without evaluations"] == 18.75


@pytest.mark.parametrize("losses", [[1.9, 1.7, 1.8], [1.7, float("nan"), 1.9], [float("nan"), 1.7]])
def test_a_target_that_was_not_reached_gives_the_lowest_loss(losses: list[float]):
    way = Way(1.5)
    for i, loss in enumerate(losses):
        assert not way.heard(10.0 * i, f"step {i}: val loss {loss:.4f}, evaluations 0.000 s\n")
    result = way.result("ended")
    assert (result["reached"], result["val_loss"]) == (False, 1.7)
    assert result["seconds"] == 10.0 * losses.index(1.7)
    assert Way(1.5).result("timed out")["seconds"] is None


def nanogpt_lines(losses: list[float], step_seconds: float, evaluation_seconds: float) -> list[tuple[float, str]]:
    """(time, line) as nanoGPT prints them: a line every 10 steps, an evaluation every 50."""
    now, lines = 5.0, []
    for step in range(50 * len(losses)):
        if step % 50 == 0:
            now += evaluation_seconds
            lines.append((now, f"step {step}: train loss 1.0000, val loss {losses[step // 50]:.4f}\n"))
            if step and losses[step // 50] == min(losses[: step // 50 + 1]):
                lines.append((now, "saving checkpoint to out\n"))
        now += step_seconds
        if step % 10 == 0:
            lines.append((now, f"iter {step}: loss 1.0000, time 8.00ms, mfu 20.00%\n"))
    return lines


@pytest.mark.parametrize(("step_seconds", "evaluation_seconds"), [(0.008, 1.5), (0.5, 0.1), (0.01, 0.0)])
def test_the_evaluations_of_a_peer_are_told_from_its_steps(step_seconds: float, evaluation_seconds: float):
    way = PeerWay(1.0)
    for seconds, line in nanogpt_lines([4.0, 3.0, 2.5, 2.4, 2.3], step_seconds, evaluation_seconds):
        way.heard(seconds, line)
    for n in range(5):
        assert way.evaluating_until(50 * n) == pytest.approx(n * evaluation_seconds, abs=1e-6)


def test_each_save_of_a_peer_is_moved_aside_when_it_is_whole(tmp_path: Path):
    way = PeerWay(1.0, out=tmp_path)
    saved = 0
    for seconds, line in nanogpt_lines([4.0, 3.0, 3.5, 2.5, 2.6], 0.01, 1.0):
        way.heard(seconds, line)
        if line.startswith("saving"):
            assert not (tmp_path / "ckpt.pt").exists()  # the one before it is out of the way
            saved += 1
            (tmp_path / "ckpt.pt").write_text(f"save {saved}")
    way.keep()
    assert {step: path.read_text() for step, path in way.saves.items()} == {50: "save 1", 150: "save 2"}
    scores = {"save 1": (50, 1.2), "save 2": (150, 0.9)}
    way.score(lambda path: scores[path.read_text()])
    assert way.result("ended")["step"] == 150


def test_a_save_that_took_the_place_of_another_counts_for_its_own_step(tmp_path: Path):
    """A program that saves faster than it is heard: what a save holds says which step it is of."""
    way = PeerWay(1.0, out=tmp_path)
    for seconds, line in nanogpt_lines([4.0, 3.0, 2.5, 2.4], 0.01, 1.0):
        if line.startswith("iter 50"):
            (tmp_path / "ckpt.pt").write_text("100")  # already, while the save of step 50 is being heard of
        way.heard(seconds, line)
    way.score(lambda path: (int(path.read_text()), 0.9))
    assert [(step, seconds) for step, _, seconds in way.evaluations] == [(100, way.own_scores[2][2])]


def test_a_peer_that_learns_by_heart_is_stopped_and_one_below_the_target_too():
    def stopped_after(losses: list[float]) -> int | None:
        way = PeerWay(1.5)
        for seconds, line in nanogpt_lines(losses, 0.01, 1.0):
            if way.heard(seconds, line):
                return len(way.own_scores)
        return None

    assert stopped_after([4.0, 1.52, 1.53, 1.54, 1.55, 1.56]) == 2 + PATIENCE
    assert stopped_after([4.0, 2.0, 1.9, 1.8, 1.7]) is None
    assert (
        stopped_after([4.0, 1.49, 1.485, 1.47, 1.6]) == 4
    )  # 1.49 on random batches may be above it on the whole split


# Programs ----------------------------------------------------------------------------------------------------


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_program_that_goes_on_for_ever_is_ended_with_all_that_it_started(tmp_path: Path):
    code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid)
time.sleep(600)
"""
    children: list[int] = []

    def heard(seconds: float, line: str) -> bool:
        children.append(int(line.split()[1]))
        return True

    assert watch(python(code), tmp_path, {}, heard, 60) == "stopped"
    for _ in range(100):
        state = Path(f"/proc/{children[0]}/stat")
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the child is still there")


def test_a_program_has_a_limit_and_its_failure_is_told(tmp_path: Path):
    ears: list[str] = []
    heard = lambda seconds, line: bool(ears.append(line))  # noqa: E731
    assert watch(python("import time; print(1); time.sleep(600)"), tmp_path, {}, heard, 1.0) == "timed out"
    assert watch(python("print(2)"), tmp_path, {}, heard, 60) == "ended"
    assert ears[-1] == "2\n"
    with pytest.raises(CourseError, match="ZeroDivisionError"):
        watch(python("1 / 0"), tmp_path, {}, heard, 60)
    watch(python("import os; print(os.environ['A'], os.getcwd())"), tmp_path, {"A": "b"}, heard, 60)
    assert ears[-1].split() == ["b", os.path.realpath(tmp_path)]


def test_until_ends_at_the_first_evaluation_that_is_low_enough(project: Path, capsys: pytest.CaptureFixture):
    path = project / "small.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in recipe().settings.items()))
    assert until.main([str(path), "--loss", "1.0", "--out-dir", "whole"]) == 0
    whole = Way(0.0)
    for line in capsys.readouterr().out.splitlines():
        whole.heard(0.0, line)
    assert [step for step, _, _ in whole.evaluations] == [5, 10, 15, 20]
    target = whole.evaluations[1][1]
    assert until.main([str(path), "--loss", str(target), "--out-dir", "part"]) == 0
    first = next(e for e in whole.evaluations if e[1] <= target)[0]
    assert f"step {first}:" in capsys.readouterr().out.splitlines()[-1]
    rows = [json.loads(line) for line in (project / "part" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] + 1 == first
    assert (project / "part" / "saves" / str(first)).is_dir()  # saved, as `course train` would have


def test_until_refuses_a_recipe_that_scores_a_part(project: Path, capsys: pytest.CaptureFixture):
    path = project / "small.toml"
    path.write_text('dataset = "tinytales"\neval_batches = 2\n')
    assert until.main([str(path), "--loss", "1", "--out-dir", "run"]) == 2
    assert "leave eval_batches out" in capsys.readouterr().err


def bigram_loss(table: torch.Tensor, ids: list[int]) -> float:
    """Of a model that sees one character only: the mean over all neighbors, however they are cut into windows."""
    logs = table.log_softmax(dim=1)
    return -sum(logs[a, b].item() for a, b in itertools.pairwise(ids)) / (len(ids) - 1)


def test_both_ways_to_a_loss(project: Path, stand_in: Path):
    """The course in a process of its own; beside it a stand-in whose loss on the whole split is known by counting."""
    chosen = recipe()
    alone, both = race(chosen, 3.3, stand_in, [], lambda: 120.0)
    assert alone["course"]["reached"]
    assert both["course"]["val_loss"] <= 3.3
    theirs = both["nanoGPT"]
    text = load_text("tinytales")
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}
    cut = int(len(text) * 0.9)
    train, val = [stoi[c] for c in text[:cut]], [stoi[c] for c in text[cut:]]
    expected = []
    for n in range(1, 6):
        seen = train[: 4**n]
        counts = torch.full((len(stoi), len(stoi)), 0.5, dtype=torch.float64)
        for a, b in itertools.pairwise(seen):
            counts[a, b] += 1
        expected.append((10 * n, bigram_loss(counts.log(), val)))
        if expected[-1][1] <= 3.3:
            break
    assert [step for step, _, _ in theirs["evaluations"]] == [step for step, _ in expected]
    for (_, loss, _), (_, known) in zip(theirs["evaluations"], expected, strict=True):
        assert loss == pytest.approx(known, abs=1e-3)
    assert theirs["reached"]
    ratio = both["course"]["seconds"] / theirs["seconds"]
    assert both["share of nanoGPT's time"] == pytest.approx(ratio, rel=0.01)
    assert not list(project.glob("out*"))


def test_without_a_peer_the_course_runs_alone(project: Path):
    (alone,) = [dict(result) for result in race(recipe(max_steps=5), 0.1, None, [], lambda: 60.0)]
    assert not alone["course"]["reached"]
    assert math.isfinite(alone["course"]["val_loss"])


def test_a_save_of_nanogpt_is_scored_as_its_own_model_scores_it(project: Path, nanogpt: Path, tmp_path: Path):
    """Its own loss over the windows of the split, one after another."""
    from course_lib.bench.peer import build_peer, load_peer

    text = load_text("tinytales")
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}
    shape = dict(block_size=16, vocab_size=len(stoi), n_layer=1, n_head=2, n_embd=16, dropout=0.0, bias=False)
    torch.manual_seed(0)
    model = build_peer(load_peer(nanogpt), **shape)
    torch.save({"model": model.state_dict(), "model_args": shape, "iter_num": 250}, tmp_path / "ckpt.pt")
    ids = torch.tensor([stoi[c] for c in text[int(len(text) * 0.9) :]])
    total = 0.0
    for start in range(0, len(ids) - 1, 16):
        x, y = ids[start : start + 16], ids[start + 1 : start + 17]
        with torch.no_grad():
            total += model(x[: len(y)][None], y[None])[1].item() * len(y)
    step, loss = peer_loss(nanogpt, tmp_path / "ckpt.pt", recipe())
    assert step == 250
    assert loss == pytest.approx(total / (len(ids) - 1), abs=1e-5)
