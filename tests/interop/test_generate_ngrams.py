"""The C++ program's embeddings of n-grams; `test_generate` runs the forms that have them against Python as well."""

from pathlib import Path
from typing import Any

import pytest
import torch
from damage import model_with, put_together, refused, taken_apart, weights_of
from small_runs import Small, build, keep

pytestmark = pytest.mark.usefixtures("one_thread")
TABLE = "ngram_embedding.tables.{}.weight"


@pytest.fixture
def kept(tmp_path: Path) -> Small:
    """Of 24 digits there are 576 pairs, and more fives than rows: the first table has a row for each, the other not."""
    return keep(tmp_path / "run", build(ngrams=(2, 5), ngram_rows=600, block_size=12))


def scores(run: Any, kept: Small, ids: list[int]) -> torch.Tensor:
    done = run(kept.path, "--prompt-ids", " ".join(map(str, ids)), "--logits")
    assert done.returncode == 0, done.stderr
    return torch.tensor([float(line) for line in done.stdout.split()])


@torch.no_grad()
def expected(kept: Small, ids: list[int]) -> torch.Tensor:
    return kept.model(torch.tensor([ids[-kept.model.config.block_size :]]))[0, -1]


@pytest.mark.parametrize("rows", [24**2 - 1, 24**2, 24**2 + 1, 10**18], ids=["too few", "a row each", "more", "all"])
def test_where_all_pairs_fit_none_is_hashed(tmp_path: Path, run, rows: int) -> None:
    """Also the pair of the highest token with itself, which has the last row."""
    small = keep(tmp_path / "run", build(ngrams=(2,), ngram_rows=rows))
    assert len(small.model.ngram_embedding.tables[0].weight) == min(rows, 24**2)
    for ids in ([0], [22], [22, 22], [3, 0, 0, 22], [0, 22]):
        wanted = expected(small, ids)
        assert (scores(run, small, ids) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("length", [1, 4, 5, 6, 11, 12, 13, 40])
def test_a_prompt_begins_where_the_window_does(kept: Small, run, length: int) -> None:
    """What has slid out of the window is no token any more, and what an n-gram misses of it is nothing."""
    ids = [(7 * i + 3) % 23 for i in range(length)]
    wanted = expected(kept, ids)
    assert (scores(run, kept, ids) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    with torch.no_grad():
        for table in kept.model.ngram_embedding.tables:
            table.weight.zero_()
        assert (expected(kept, ids) - wanted).abs().max() > 1e-2 * wanted.abs().max()  # the tables matter


SETTINGS = {
    "no list": (model_with(ngrams=2), "'ngrams' should be a list of whole numbers, such as [2, 3, 4]"),
    "a text": (model_with(ngrams="2 5"), "'ngrams' should be a list of whole numbers"),
    "single tokens": (model_with(ngrams=[1, 5]), "'ngrams': a number of tokens should be a whole number from 2 to 32"),
    "too many tokens": (model_with(ngrams=[2, 33]), "a number of tokens should be a whole number from 3 to 32"),
    "falling": (model_with(ngrams=[5, 2]), "a number of tokens should be a whole number from 6 to 32"),
    "twice the same": (model_with(ngrams=[2, 2]), "a number of tokens should be a whole number from 3 to 32"),
    "after the last": (model_with(ngrams=[32, 33]), "'ngrams' should end with 32 at the latest"),
    "true": (model_with(ngrams=[2, True]), "a number of tokens should be a whole number from 3 to 32"),
    "a half": (model_with(ngrams=[2.5]), "a number of tokens should be a whole number from 2 to 32"),
    "negative": (model_with(ngrams=[-2]), "a number of tokens should be a whole number from 2 to 32"),
    "past 64 bits": (model_with(ngrams=[2**64 + 2]), "a number of tokens should be a whole number from 2 to 32"),
    "a list in a list": (model_with(ngrams=[[2], 5]), "a number of tokens should be a whole number from 2 to 32"),
    "one fewer": (model_with(ngrams=[2]), "has the unknown weight 'ngram_embedding.tables.1.weight'"),
    "none": (model_with(ngrams=[]), "has the unknown weight 'ngram_embedding.tables."),
    "left out": (model_with(ngrams=None), "has the unknown weight 'ngram_embedding.tables."),
    "one more": (model_with(ngrams=[2, 5, 6]), f"lacks the weight '{TABLE.format(2)}'"),
    "no rows": (model_with(ngram_rows=0), "'ngram_rows' should be a whole number from 1 to 1000000000000000000"),
    "rows past 64 bits": (model_with(ngram_rows=2**64), "'ngram_rows' should be a whole number from 1"),
    "rows that overflow": (model_with(ngram_rows=2**63), "'ngram_rows' should be a whole number from 1"),
    "rows that are true": (model_with(ngram_rows=True), "'ngram_rows' should be a whole number from 1"),
    "a row more": (model_with(ngram_rows=601), f"'{TABLE.format(1)}' should have the shape (601, 32); it has (600"),
    "a row fewer": (model_with(ngram_rows=575), f"'{TABLE.format(0)}' should have the shape (575, 32); it has (576"),
    "a row for all": (model_with(ngram_rows=10**18), f"'{TABLE.format(1)}' should have the shape (7962624, 32)"),
    "rows without end": (model_with(ngrams=[2, 32], ngram_rows=10**18), "the shape (1000000000000000000, 32)"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), SETTINGS.values(), ids=SETTINGS)
def test_settings_of_ngrams_that_make_no_sense(kept: Small, run, change: Any, words: str) -> None:
    path = kept.path / "config.json"
    path.write_bytes(change(path.read_bytes()))
    assert words in refused(run(kept.path, "--prompt", "a", "--max-new-tokens", 3))


def test_settings_that_say_the_same_are_read(kept: Small, ids) -> None:
    """Older runs say nothing of n-grams; and with fewer pairs than rows, rows more change nothing."""
    plain, pairs = keep(kept.path.parent / "plain", build()), keep(kept.path.parent / "pairs", build(ngrams=(2,)))
    same = [(plain, dict(ngrams=None)), (plain, dict(ngrams=[], ngram_rows=1)), (plain, dict(ngram_rows=None))]
    for small, changes in [*same, (pairs, dict(ngram_rows=24**2)), (pairs, dict(ngram_rows=10**18))]:
        found = ids(small.path, "abc", "--max-new-tokens", 20, "--temperature", 0)
        path = small.path / "config.json"
        before = path.read_bytes()
        path.write_bytes(model_with(**changes)(before))
        assert path.read_bytes() != before
        assert ids(small.path, "abc", "--max-new-tokens", 20, "--temperature", 0) == found


@pytest.mark.parametrize("number", [0, 1])
def test_damaged_tables(kept: Small, run, number: int) -> None:
    whole = weights_of(kept).read_bytes()
    name = TABLE.format(number)
    header, numbers = taken_apart(whole)
    begin = header[name]["data_offsets"][0]
    rows, width = header[name]["shape"]

    def complaint(entry: dict, new: str = name, more: bytes = numbers) -> str:
        changed = {n: e for n, e in header.items() if n != name} | {new: header[name] | entry}
        weights_of(kept).write_bytes(put_together(changed, more))
        return refused(run(kept.path, "--prompt", "a"))

    turned = complaint({"shape": [width, rows]})
    assert f"'{name}' should have the shape ({rows}, {width}); it has ({width}, {rows})" in turned
    assert "bytes, which is not what" in complaint({"shape": [rows - 1, width]})
    assert f"lacks the weight '{name}'" in complaint({}, "ngram_embedding.tables.2.weight")
    not_a_number = numbers[:begin] + b"\0\0\xc0\x7f" + numbers[begin + 4 :]
    assert f"'{name}' has a number that is not finite" in complaint({}, more=not_a_number)
    weights_of(kept).write_bytes(whole)
    assert run(kept.path, "--prompt", "a", "--max-new-tokens", 3).returncode == 0
