"""`course bench bpe`: its rows, on small texts; the numbers are the machine's."""

import json

import pytest

from course_lib.bench import to_json, tokenizing
from course_lib.bench.tokenizing import bench_bpe
from course_lib.corpora import tinytales
from course_lib.errors import CourseError

MINBPE = """
class RegexTokenizer:
    def __init__(self, pattern):
        self.pattern = pattern

    def train(self, text, vocab_size):
        assert (len(text), vocab_size) == (1000, 512)
"""


@pytest.fixture
def small_texts(monkeypatch):
    text = tinytales.tinytales_text(8000, seed=3)[:8000]
    monkeypatch.setattr(tokenizing, "_texts", lambda: {"shakespeare": text, "wikipedia": text})
    monkeypatch.setattr(tokenizing, "SIZES", {"shakespeare": 280, "wikipedia": 300})
    monkeypatch.setattr(tokenizing, "_peers", lambda text, size: {})


@pytest.fixture
def minbpe(tmp_path):
    (tmp_path / "minbpe").mkdir()
    (tmp_path / "minbpe" / "regex.py").write_text(MINBPE)
    return tmp_path


def test_growth_is_told_apart_for_splitting_and_merging(small_texts, minbpe):
    found = json.loads(to_json(bench_bpe("course bench bpe", 2, minbpe, None)))["parts"]
    assert set(found["train on an eighth of shakespeare"]["medians"]) == {"course", "minbpe"}
    assert "train on an eighth of wikipedia" not in found
    for name in ("shakespeare", "wikipedia"):
        growth = found[f"growth on {name}"]
        points = growth["details"]
        assert {f"{what}, {point}" for what in ("splitting", "merging") for point in points} == set(growth["runs"])
        words = {point: row["distinct words"] for point, row in points.items()}
        assert words["a quarter"] < words["half"] < words["whole"]
        assert words["four times"] - words["whole"] <= 1  # where two copies meet
        assert points["four times"]["characters"] == 4 * points["whole"]["characters"]


def test_a_folder_that_is_no_copy_of_minbpe(small_texts, tmp_path):
    with pytest.raises(CourseError, match=r"should be a copy of minbpe, with minbpe/regex\.py in it"):
        bench_bpe("course bench bpe", 1, tmp_path, None)
