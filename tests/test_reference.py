"""Recorded results: written whole, read with care, found where there is nothing but the library."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from course_lib import bench, reference
from course_lib.errors import CourseError
from course_lib.measurements import RECORDINGS
from course_lib.measurements.vocabularies import VOCABULARIES
from course_lib.notebook import recorded
from course_lib.recipes import Recipe, load_recipe

ROWS = [[{"step": 0, "train_loss": 3.5, "val_loss": None}, {"step": 9, "train_loss": None, "val_loss": 0.361}]] * 2
CONTENT = bench.report(
    "some_seeds", "course record seeds", "seconds", {"course": [1.0, 2.0]},
    recipe="tiny", settings={"lr": 0.1}, seeds=[1, 2], val_loss=[0.361, 0.348], share=[0.9, 0.85], rows=ROWS,
    none=[None],
)  # fmt: skip


@pytest.fixture
def record(project: Path) -> reference.Reference:
    reference.keep(CONTENT, project / "data" / "reference" / "some_seeds.json")
    return recorded("some_seeds")


def test_what_is_kept_is_what_is_read(record):
    assert record.content == CONTENT
    assert record.rows == ROWS
    assert repr(record).startswith("some_seeds: course record seeds, 20")
    assert f"torch {CONTENT['versions']['torch']}" in record.where


def test_yours_beside_what_is_expected(record):
    assert record.band("val_loss") == (0.348, 0.361)
    assert record.compare(0.3549, "val_loss") == "yours 0.35, expected 0.35 to 0.36 over 2 seeds"
    assert record.compare(0.876, "share", ".0%") == "yours 88%, expected 85% to 90% over 2 seeds"


def test_what_a_record_does_not_hold_is_told(record):
    with pytest.raises(CourseError, match="no 'val_los' for each seed: did you mean 'val_loss'"):
        record.values("val_los")
    with pytest.raises(CourseError, match="no 'recipe'"):
        record.values("recipe")
    for name in ("none", "rows"):
        with pytest.raises(CourseError, match="one number for each seed"):
            record.band(name)


def test_an_unknown_or_damaged_record_is_told(record, project):
    with pytest.raises(CourseError, match="There is no record 'some_seed': did you mean 'some_seeds'"):
        recorded("some_seed")
    path = project / "data" / "reference" / "some_seeds.json"
    for damage in (path.read_text()[:-20], "[]", "{}", '{"command": 1}', json.dumps(CONTENT | {"details": []})):
        path.write_text(damage)
        with pytest.raises(CourseError, match="not a whole record"):
            recorded("some_seeds")


def test_your_own_record_comes_before_the_librarys(record, project, monkeypatch):
    bundled = project / "bundled"
    monkeypatch.setattr(reference, "BUNDLED", bundled)
    reference.keep(CONTENT | {"date": "2001-01-01"}, bundled / "some_seeds.json")
    reference.keep(CONTENT | {"date": "2001-01-01"}, bundled / "other.json")
    assert reference.names() == ["other", "some_seeds"]
    assert recorded("some_seeds").content["date"] != "2001-01-01"
    assert recorded("other").content["date"] == "2001-01-01", "found in a folder that holds nothing"


def test_a_new_record_goes_where_the_chapters_look(project, monkeypatch):
    assert reference.home() == Path(reference.__file__).parent, "in a checkout"
    monkeypatch.setattr(reference, "BUNDLED", project / "site-packages" / "course_lib" / "reference")
    assert reference.home() == project / "data" / "reference", "where the library is installed"


def test_an_interrupted_write_leaves_the_old_record(record, project, monkeypatch):
    def cut_off(*args):
        raise KeyboardInterrupt

    path = project / "data" / "reference" / "some_seeds.json"
    before = path.read_text()
    monkeypatch.setattr(os, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        reference.keep(CONTENT | {"date": "2001-01-01"}, path)
    assert path.read_text() == before


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(project):
    (project / "file").touch()
    for path in (project / "file" / "x.json", project):
        with pytest.raises(CourseError, match=r"Cannot write .* --out PATH"):
            reference.make_room(path)
    reference.make_room(project / "new" / "x.json")
    assert list((project / "new").iterdir()) == []


def test_the_file_is_short_to_read_and_the_same_json():
    text = reference.to_text(CONTENT)
    assert json.loads(text) == CONTENT
    assert '\n    {"step": 9, "train_loss": null, "val_loss": 0.361}\n' in text
    assert max(map(len, text.splitlines())) <= 120
    odd = {"a": ["[x", "{", "\n  y"], "long": list(range(100)), "empty": [], "deep": [[1, 2], {"k": []}]}
    assert json.loads(reference.to_text(odd)) == odd
    assert max(map(len, reference.to_text(odd).splitlines())) <= 120, "what is long stays on many lines"


def test_every_tenth_step_the_last_and_every_validation_are_kept():
    rows = [{"step": s, "train_loss": 1 / 3, "val_loss": 0.5 if s == 14 else None, "lr": 1.0} for s in range(26)]
    kept = reference.kept_rows(rows)
    assert [row["step"] for row in kept] == [0, 10, 14, 20, 25]
    assert kept[2] == {"step": 14, "train_loss": None, "val_loss": 0.5}
    assert kept[0]["train_loss"] == 0.3333


def leaves(value: Any) -> Iterator[float]:
    """The numbers of a score that was measured once for a seed, or once for each of several runs, by name."""
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


def scores_of_runs(record):
    """What each run of a record was scored by: one for each seed, or for each point of a grid or a sweep from each."""
    details = record.content["details"]
    if "trials" in details:
        return [[loss for _, loss in trial["val"]] for trial in details["trials"]]
    if "sweeps" in details:
        points = [point for points in details["sweeps"].values() for point in points]
        assert {len(point["losses"]) for point in points} == {len(details["seeds"])}
        return [loss for point in points for loss in point["losses"]]
    scored = record.values("val_loss" if "val_loss" in details else "scores")
    assert len(scored) == len(record.values("seeds"))
    return scored


@pytest.mark.parametrize("path", sorted(reference.BUNDLED.glob("*.json")), ids=lambda path: path.stem)
def test_a_record_that_the_library_brings_is_whole(path):
    record = recorded(path.stem)
    assert record.name == record.content["benchmark"]
    details = record.content["details"]
    scored = scores_of_runs(record)
    assert len(scored) == len(record.content["runs"]["course"])
    for of_seed in scored:
        numbers = list(leaves(of_seed))
        assert numbers
        assert all(0 < number < math.inf for number in numbers)
    if RECORDINGS[path.stem].recipe == "":
        assert "recipe" not in details
        return
    now = load_recipe(details["recipe"]).replace(**RECORDINGS[path.stem].changes)
    # `device` says where it is trained, not how; the records were made on the CPU before the recipes said so.
    elsewhere = {"device": now.settings["device"]}
    then = Recipe(details["recipe"], details["settings"] | elsewhere)
    assert then.all_settings() == now.all_settings(), "the recipe has changed: record it anew"
    assert record.content["machine"]["device"] == now.settings["device"] == "cpu"
    if "rows" in details:  # not every record keeps the curves
        losses = record.values("val_loss")
        # None where all runs were scored after their end, by bytes that the trainer's own evaluation does not choose.
        assert all(rows[-1]["val_loss"] in (None, loss) for rows, loss in zip(record.rows, losses, strict=True))


def test_the_record_of_chapter_08_compares_runs_that_cost_the_same():
    details = recorded("chapter_08").content["details"]
    assert set(details["forms"]) == set(VOCABULARIES), "every text was there"
    for forms in details["forms"].values():
        for form in forms:
            step = form["flops"] / form["max_steps"]
            assert abs(form["flops"] - details["flops"]) <= step
            assert len(form["bits_per_byte"]) == len(form["nats_per_token"]) == len(details["seeds"]) >= 3
            for bits, nats in zip(form["bits_per_byte"], form["nats_per_token"], strict=True):
                assert bits == pytest.approx(nats / math.log(2) / form["bytes_per_token"], abs=2e-3)
        shares = [form["head_share"] for form in forms if form["tokenizer"] != "char"]
        assert shares == sorted(shares), "by rising vocabulary"
