"""The benchmark's report: its arithmetic and its errors. Nothing here asserts a speed."""

import json
import os
import sys
from pathlib import Path

import pytest

from course_lib import bench
from course_lib.bench import benchmarks, peer
from course_lib.cli import main as course
from course_lib.errors import CourseError
from course_lib.kernels import find_compiler
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer


def test_ratios_say_how_much_faster_the_course_is_in_both_units():
    seconds = bench.report("x", "c", "seconds", {"course": [2.0, 1.0, 9.0], "other": [6.0, 6.0, 6.0]})
    assert seconds["medians"] == {"course": 2.0, "other": 6.0}
    assert seconds["ratios"] == {"course vs other": 3.0}
    speed = bench.report("x", "c", "tokens per second", {"course": [30.0], "other": [10.0]})
    assert speed["ratios"] == {"course vs other": 3.0}


def test_the_report_names_command_machine_versions_and_date_as_json():
    result = json.loads(bench.to_json(bench.report("x", "course bench x", "seconds", {"course": [1.0]}, size=3)))
    assert result["command"] == "course bench x"
    assert {"system", "processor", "cores", "threads", "device"} <= result["machine"].keys()
    assert {"python", "torch", "numpy", "course-lib"} == result["versions"].keys()
    assert result["details"] == {"size": 3}
    assert len(result["date"]) == 10


def test_rows_take_turns():
    order: list[str] = []
    rows = {name: lambda name=name: order.append(name) or float(len(order)) for name in ("course", "other")}
    assert bench.take_turns(rows, 2) == {"course": [1.0, 3.0], "other": [2.0, 4.0]}
    assert order == ["course", "other", "course", "other"]


def test_errors_name_what_is_wrong(tmp_path: Path):
    with pytest.raises(CourseError, match="did you mean 'generate'"):
        bench.run("generat", "c", 1)
    with pytest.raises(CourseError, match="runs should be at least 1"):
        bench.run("generate", "c", 0)
    with pytest.raises(CourseError, match=r"model\.py"):
        bench.load_peer(tmp_path)


# Beside a peer ----------------------------------------------------------------------------------------------

SMALL = dict(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=4, max_steps=4, eval_every=2, eval_batches=2)


def write_recipe(folder: Path, **settings: object) -> str:
    path = folder / "small.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in (SMALL | settings).items()))
    return str(path)


def test_a_peer_generates_beside_the_course(project: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmarks, "SIZE", benchmarks.SIZE | {"n_layer": 1, "n_embd": 12})
    result = bench.run("generate", "c", 1, stand_in)
    assert result["runs"].keys() - {"C++"} == {"course", "course without cache", "nanoGPT"}
    assert ("C++" in result["runs"]) == (find_compiler() is not None)
    assert result["details"]["max_new_tokens"] == 255
    streams = result["details"]["streams"]
    assert (streams["number"], streams["runs"].keys()) == (16, {"course", "nanoGPT"})
    assert streams["ratios"].keys() == {"course vs nanoGPT"}


@pytest.mark.parametrize("grad_accum", [1, 3])
def test_a_peer_takes_the_steps_of_the_course_on_the_same_windows(project: Path, stand_in: Path, grad_accum: int):
    """All of a step's micro-batches: the speed is counted in tokens of whole steps."""
    recipe = write_recipe(project, grad_accum=grad_accum)
    result = bench.run("step", "c", 2, stand_in, recipe)
    assert {row: len(values) for row, values in result["runs"].items()} == {"course": 2, "nanoGPT": 2}
    seen = sys.modules["peer_model"].losses
    steps = result["details"]["steps"]
    assert len(seen) == 3 * steps * grad_accum  # a first time that does not count, and two runs
    batches = build_trainer(load_recipe(recipe)).batches
    expected = [batches.batch(step, micro)[0].tolist() for step in range(steps) for micro in range(grad_accum)]
    assert [x for x, _ in seen] == expected * 3
    assert seen[-1][1] < seen[0][1]  # it learns


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in bench.BENCHMARKS if name != "micro"])  # its peer is another
def test_every_benchmark_beside_nanogpt(project: Path, nanogpt: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """As the command line runs it, with small models and few steps: whether it runs, not how fast."""
    if name == "cpp" and find_compiler() is None:
        pytest.skip("no C++ compiler was found (c++, g++, clang++ or CXX)")
    if name == "recipe":
        mirror = os.environ.get("COURSE_DATA")
        if not mirror or not (Path(mirror) / "tinyshakespeare" / "input.txt").is_file():
            pytest.skip("real text: set COURSE_DATA to a folder that holds tinyshakespeare/input.txt")
    monkeypatch.setattr(benchmarks, "SIZE", benchmarks.SIZE | {"n_layer": 1, "n_head": 2, "n_embd": 32})
    recipe = write_recipe(project, dataset="shakespeare_char" if name == "recipe" else "tinytales", device="cpu")
    few = "--eval_iters=2 --eval_interval=2 --n_layer=1 --n_head=2 --n_embd=16 --max_iters=4"
    monkeypatch.setitem(peer.PEER_ARGS, recipe, [*peer.PEER_CPU.split(), *few.split()])
    command = ["bench", name, "--peer", str(nanogpt), "--runs", "1", "--recipe", recipe, "--out", "result.json"]
    assert course(command) == 0
    result = json.loads(Path("result.json").read_text())
    beside = set() if name == "cpp" else {"nanoGPT"}  # nanoGPT has no such program
    assert {"course"} | beside <= result["runs"].keys()
    assert all(value > 0 for values in result["runs"].values() for value in values)
    if name == "recipe":
        assert all(2 < loss < 5 for losses in result["details"]["best_val_loss"].values() for loss in losses)
        for sizes in result["details"]["sizes"].values():
            assert 0 < sizes["active_weights"] <= sizes["weights"]
            assert 4 * sizes["weights"] <= sizes["save_bytes"] < sizes["peak_bytes"]


@pytest.mark.slow
def test_the_cpp_program_beside_the_python_sampler():
    if find_compiler() is None:
        pytest.skip("no C++ compiler was found (c++, g++, clang++ or CXX)")
    result = bench.run("cpp", "c", 2)
    assert {row: len(values) for row, values in result["runs"].items()} == {"course": 2, "C++": 2}
    assert all(0 < value < 600 for values in result["runs"].values() for value in values)
    assert result["details"]["same_tokens"] is True


def test_a_measurement_from_elsewhere_gets_the_same_report():
    asked: list[object] = []

    def measure(runs: int, recipe: str | None) -> tuple[str, dict[str, list[float]], dict[str, object]]:
        asked.extend((runs, recipe))
        return "tokens per second", {"course": [90.0, 95.0, 99.0], "plain loop": [100.0, 100.0, 100.0]}, {"steps": 3}

    result = bench.run("lab", "course bench lab", 3, recipe="a_recipe", more={"lab": measure})
    assert asked == [3, "a_recipe"]
    assert result["ratios"] == {"course vs plain loop": 0.95}
    assert (result["benchmark"], result["details"]) == ("lab", {"steps": 3})
    with pytest.raises(CourseError, match="did you mean 'lab'"):
        bench.run("labb", "c", 1, more={"lab": measure})


@pytest.mark.slow
def test_the_lab_is_measured_in_a_kernel(project: Path):
    from course_lib.lab.cost import measure_lab

    unit, rows, details = measure_lab(2, steps=4)
    assert (unit, details["steps"]) == ("tokens per second", 4)
    assert set(rows) == {"course", "plain loop"}
    assert [len(values) for values in rows.values()] == [2, 2]
    turns = details["course vs plain loop, turn by turn"]
    assert turns == [round(a / b, 3) for a, b in zip(rows["course"], rows["plain loop"])]
    assert all(value > 0 for values in rows.values() for value in values)
    assert len(details["chart updates per second"]) <= 2
    assert {size: len(seconds) for size, seconds in details["seconds to stop"].items()} == {"64": 5, "256": 5}
    assert all(seconds > 0 for stops in details["seconds to stop"].values() for seconds in stops)


@pytest.mark.slow
def test_a_measurement_that_fails_says_why(project: Path):
    from course_lib.lab.cost import measure_lab

    with pytest.raises(CourseError, match="no recipe 'none'"):
        measure_lab(1, recipe="none", steps=4)
