"""Replay: recorded runs on a page without a kernel; and the recording itself, which can be cut off."""

import json
import re
from functools import partial

import pytest

from course_lib import reference
from course_lib.bench import report
from course_lib.cli import main as course
from course_lib.errors import CourseError
from course_lib.lab import Replay
from course_lib.measurements import RECORDINGS, Recording
from course_lib.measurements import grid as grid_module
from course_lib.measurements.grid import measure_grid
from course_lib.measurements.partial import Partial
from course_lib.recipes import load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.reference import Reference

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = load_recipe("tinytales_cpu").replace(
    n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=6, eval_every=3, device="cpu"
)
GRID = {"block_size": (8, 16), "dropout": (0.0, 0.2), "max_lr": (0.01, 0.3)}


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "SCORED_TOKENS", 64)
    monkeypatch.setattr(grid_module, "SAMPLE_LENGTH", 12)


# ---- the recording -----------------------------------------------------------------------------------


def test_every_point_is_a_run_of_the_recipe_and_its_own_row_has_more_seeds(project, known_text):
    recipe = SMALL.replace(dataset=known_text)
    seconds, details = measure_grid(recipe, 3, GRID, "tried")
    runs = details["trials"]
    assert len(runs) == len(seconds) == 8 + 2 * 2
    assert [run["at"] for run in runs if run["seed"] == 3] == [[16, 0.0, 0.01], [16, 0.0, 0.3]]
    assert details["lines"]["8"] == {"floor at block_size 8": 1.0, "entropy rate": 0.1}
    for run in runs:
        settings = dict(zip(GRID, run["at"], strict=True))
        trainer = build_trainer(recipe.replace(**settings, seed=run["seed"], eval_batches=64 // (2 * run["at"][0])))
        plain = list(trainer)
        assert run["train"] == [round(plain[step].train_loss, 3) for step in details["steps"]]
        assert run["val"] == [[3, round(plain[2].val_loss, 4)], [6, round(plain[5].val_loss, 4)]]
        assert [sample["step"] for sample in run["samples"]] == [0, 1, 3, 6]
        assert all(len(sample["text"]) == 12 for sample in run["samples"])
        assert not run["diverged"]


def test_a_recording_that_was_cut_off_makes_no_run_twice(project, monkeypatch):
    made = []
    plain = grid_module._run

    def run(recipe, every):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append((recipe.all_settings()["block_size"], recipe.train.seed))
        return plain(recipe, every)

    monkeypatch.setattr(grid_module, "_run", run)
    with pytest.raises(KeyboardInterrupt):
        measure_grid(SMALL, 1, GRID, "tried")
    path = project / "data" / "partial" / "tried.jsonl"
    with path.open("a") as file:
        file.write('{"key": "cut o')  # as a power cut would leave it
    made[:] = [None] * 6
    recording = Recording("x", 1, partial(measure_grid, grid=GRID, name="tried"), "numbers_cpu", seeds=1)
    monkeypatch.setitem(RECORDINGS, "tried", recording)
    monkeypatch.setattr("course_lib.measurements.load_recipe", lambda name: SMALL)
    assert course(["record", "tried", "--out", str(project / "tried.json")]) == 0
    assert len(made) == 6 + 3, "five of the eight were there"
    details = json.loads((project / "tried.json").read_text())["details"]
    whole = measure_grid(SMALL, 1, GRID, "again")[1]
    for one, other in zip(details["trials"], whole["trials"], strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    assert not path.exists(), "the whole is kept, and the next recording is a new one"


def test_parts_that_were_made_for_something_else_do_not_count(project):
    first = Partial("tried", {"torch": "1", "grid": (1, 2)})
    assert first.get("a", lambda: 1) == 1
    assert first.get("a", lambda: 2) == 1
    assert Partial("tried", {"torch": "1", "grid": (1, 2)}).get("a", lambda: 3) == 1
    assert Partial("tried", {"torch": "2", "grid": (1, 2)}).get("a", lambda: 4) == 4


def test_a_run_that_diverges_is_kept_as_far_as_it_came(project):
    wild = SMALL.replace(optimizer="adamw", grad_clip=0.0, qk_norm=False)
    _, details = measure_grid(wild, 1, {"block_size": (16,), "dropout": (0.0,), "max_lr": (1e30,)}, "tried")
    (run,) = details["trials"]
    assert run["diverged"]
    assert len(run["train"]) < len(details["steps"])
    json.dumps(details, allow_nan=False)
    found = Replay(record_of(details))
    assert "ceased to be finite" in repr(found)


# ---- the page ----------------------------------------------------------------------------------------


def record_of(details) -> Reference:
    content = report("tried", "course record", "seconds", {"course": [1.0]}, **details)
    return Reference("tried", json.loads(json.dumps(content)))


def data_of(replay: Replay) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', replay.html(), re.DOTALL)[1])


def test_the_page_holds_what_was_recorded_and_needs_nothing_else(project):
    _, details = measure_grid(SMALL, 2, GRID, "tried")
    details["trials"][0]["samples"][0]["text"] = "</script><b>&amp;"  # a text that would end the script
    replay = Replay(record_of(details))
    data = data_of(replay)
    assert [(run["at"], run["train"], run["val"]) for run in data["runs"]] == [
        (run["at"], run["train"], run["val"]) for run in details["trials"]
    ]
    assert data["runs"][0]["samples"][0]["text"] == "</script><b>&amp;"
    assert [slider["values"] for slider in data["sliders"]] == [list(values) for values in GRID.values()]
    assert [slider["at"] for slider in data["sliders"]] == [1, 0, 0], "at the recipe's own values, or the nearest"
    floors = [dict(data["lines"][T]) for T in ("8", "16")]
    assert floors[0]["floor for block_size 8"] > floors[1]["floor for block_size 16"] > floors[1]["entropy rate"]
    assert (data["windows"], data["over"]) == (
        2,
        "Recorded runs of a smaller model than the lab's: " + ("n_layer 1, n_embd 16, 6 steps."),
    )
    assert [slider["label"] for slider in data["sliders"]] == ["block_size", "dropout", "peak learning rate"]
    assert "seeds 2 to 2 at the recipe's own block_size and dropout" in data["about"]
    assert "src=" not in replay.html()
    assert "import " not in replay.html()
    assert "http" not in replay.html().replace("http://www.w3.org/2000/svg", "")
    assert replay.html() == Replay(record_of(details)).html(), "stored outputs are compared"
    assert set(replay._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_the_sentences_of_a_sample_are_marked_where_the_judge_counts_as_it_did(project):
    _, details = measure_grid(SMALL, 1, {"block_size": (16,), "dropout": (0.0,), "max_lr": (0.01,)}, "tried")
    text = "Once there was a gentle weeke globe.\nThe bear.\nAnd"
    right, old = (
        {"step": 0, "text": text, "good": 0, "sentences": 2},
        {"step": 1, "text": text, "good": 1, "sentences": 2},
    )
    details["trials"][0]["samples"] = [right, old, {"step": 3, "text": text, "good": None, "sentences": None}]
    samples = data_of(Replay(record_of(details)))["runs"][0]["samples"]
    assert [text[start:end].strip() for start, end, fits in samples[0]["marks"]] == text.split("\n")[:2]
    assert [fits for *_, fits in samples[0]["marks"]] == [0, 0]
    assert samples[1]["marks"] == samples[2]["marks"] == []


def test_what_is_no_grid_is_told(project):
    with pytest.raises(CourseError, match="chapter_05 is no recording of a grid"):
        Replay("chapter_05")
    assert reference.recorded("chapter_05").content["details"].keys()
