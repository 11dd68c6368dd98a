"""The benchmark's report: its arithmetic and its errors. Nothing here asserts a speed."""

import json
from pathlib import Path

import pytest

from course_lib import bench
from course_lib.errors import CourseError
from course_lib.interop import find_compiler


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


@pytest.mark.slow
def test_a_benchmark_beside_a_peer_given_by_its_path(tmp_path: Path):
    """A stand-in peer with nanoGPT's interface: the benchmark loads it from a path and reports it."""
    (tmp_path / "model.py").write_text(
        "import dataclasses, torch\n"
        "@dataclasses.dataclass\n"
        "class GPTConfig:\n"
        "    block_size: int; vocab_size: int; n_layer: int; n_head: int; n_embd: int; dropout: float; bias: bool\n"
        "class GPT(torch.nn.Module):\n"
        "    def __init__(self, config):\n"
        "        super().__init__()\n"
        "    def generate(self, idx, max_new_tokens, temperature=1.0, top_k=None):\n"
        "        return idx\n"
    )
    result = bench.run("generate", "c", 1, tmp_path)
    assert result["runs"].keys() == {"course", "course without cache", "nanoGPT"}
    assert result["details"]["max_new_tokens"] == 255


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
    from course_lib.lab.bench import measure_lab

    unit, rows, details = measure_lab(2, steps=4)
    assert (unit, details["steps"]) == ("tokens per second", 4)
    assert set(rows) == {"course", "plain loop"}
    assert [len(values) for values in rows.values()] == [2, 2]
    turns = details["course vs plain loop, turn by turn"]
    assert turns == [round(a / b, 3) for a, b in zip(rows["course"], rows["plain loop"])]
    assert all(value > 0 for values in rows.values() for value in values)


@pytest.mark.slow
def test_a_measurement_that_fails_says_why(project: Path):
    from course_lib.lab.bench import measure_lab

    with pytest.raises(CourseError, match="no recipe 'none'"):
        measure_lab(1, recipe="none", steps=4)
