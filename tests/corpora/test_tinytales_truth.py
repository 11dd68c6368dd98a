"""The lines in a loss curve: the stored floors against fresh measurements, and what is asked for outside of them."""

import math
import statistics

import pytest

from course_lib.corpora import tinytales
from course_lib.corpora.tinytales import truth
from course_lib.corpora.tinytales.grammar import Grammar
from course_lib.corpora.tinytales.story import TALES, read_words
from course_lib.data.datasets import find_corpus
from course_lib.errors import CourseError

LONGEST = truth.LONGEST

# The table that comes with the course ---------------------------------------------------------------------


def test_the_table_is_that_of_this_grammar():
    table = truth._table()
    assert table["grammar"] == truth.fingerprint(), "the grammar has changed since: run truth.build_table again"
    assert len(table["floors"]) == LONGEST == 512
    assert table["windows"] >= 2000
    assert table["unit"] == "nats per character"


@pytest.fixture(scope="module")
def fresh():
    """150 windows that the table has not seen."""
    return truth.draw_windows(150, LONGEST + 1, seed=12345)


@pytest.mark.parametrize("block_size", [1, 8, 64, 256, LONGEST])
def test_the_table_agrees_with_other_windows(fresh, block_size):
    stored = tinytales.floor(block_size)
    measured = tinytales.floor_of(window[: block_size + 1] for window in fresh)
    assert stored.block_size == measured.block_size == block_size
    assert abs(stored.nats - measured.nats) < 4 * math.hypot(stored.error, measured.error)
    assert 0 < stored.error < measured.error


def test_floors_fall_toward_the_entropy_rate():
    rate = tinytales.entropy_rate()
    floors = [tinytales.floor(T).nats for T in range(1, LONGEST + 1)]
    assert min(floors) > rate
    doubled = [floors[2**k - 1] for k in range(10)]
    assert doubled == sorted(doubled, reverse=True)
    assert floors[0] > 5 * rate
    assert floors[-1] < 1.2 * rate
    late = statistics.fmean(tinytales.surprise_at(place) for place in range(257, LONGEST + 1))
    assert late == pytest.approx(rate, rel=0.1)


def test_the_surprises_add_up_to_the_floors():
    total = 0.0
    for T in range(1, LONGEST + 1):
        total += tinytales.surprise_at(T)
        assert total / T == pytest.approx(tinytales.floor(T).nats, abs=1e-9)
    assert tinytales.surprise_at(1) == tinytales.floor(1).nats


def test_each_surprise_has_its_error():
    """At one place it is the floor's; a mean over more places is surer than the surprises that it is made of."""
    errors = [tinytales.surprise_error_at(place) for place in range(1, LONGEST + 1)]
    assert errors[0] == pytest.approx(tinytales.floor(1).error, abs=1e-6)
    assert all(0.005 < error < 0.02 for error in errors)
    for T in (2, 8, 64, LONGEST):
        floor = tinytales.floor(T).error
        assert floor < statistics.fmean(errors[:T])
        assert floor > 0.3 * math.sqrt(sum(error**2 for error in errors[:T])) / T


def test_the_lines_of_a_loss_curve():
    rate = tinytales.entropy_rate()
    nats = tinytales.floor(64).nats
    expected = {f"floor for block_size 64 = {nats:.2f}": nats, f"entropy rate = {rate:.2f}": rate}
    assert list(tinytales.lines(64).items()) == list(expected.items())
    assert find_corpus("tinytales").lines(64) == expected
    assert len(tinytales.lines(LONGEST)) == 2
    assert tinytales.lines(LONGEST + 1) == {f"entropy rate = {rate:.2f}": rate}  # longer than the table: no floor


@pytest.mark.parametrize("block_size", [-1, 0])
def test_no_lines_for_a_block_size_that_there_cannot_be(block_size):
    with pytest.raises(CourseError, match=rf"from 1 to {LONGEST}; this is {block_size}\."):
        tinytales.lines(block_size)


@pytest.mark.parametrize("block_size", [-1, 0, LONGEST + 1, 10_000])
def test_what_the_table_does_not_hold_is_refused(block_size):
    for ask in (tinytales.floor, tinytales.surprise_at, tinytales.surprise_error_at):
        with pytest.raises(CourseError, match=rf"from 1 to {LONGEST}; this is {block_size}\. `floor_of` measures"):
            ask(block_size)


# How it is made -------------------------------------------------------------------------------------------


def test_building_the_table_anew(monkeypatch):
    monkeypatch.setattr(truth, "LONGEST", 24)
    table = truth.build_table(40, seed=9)
    assert table["grammar"] == truth.fingerprint()
    assert (table["windows"], table["seed"], len(table["floors"])) == (40, 9, 24)
    windows = truth.draw_windows(40, 25, seed=9)
    for T in (1, 2, 7, 24):
        measured = truth.floor_of(window[: T + 1] for window in windows)
        assert table["floors"][T - 1] == pytest.approx([measured.nats, measured.error], abs=1e-6)
        at_last = [truth.the_reader().window_surprises(window)[T] for window in windows]
        error = statistics.stdev(at_last) / math.sqrt(40)
        assert table["errors"][T - 1] == pytest.approx(error, abs=1e-6)


def test_a_floor_is_a_mean_over_places_and_windows_with_its_error():
    reader = truth.the_reader()
    windows = truth.draw_windows(30, 10, seed=2)
    rows = [reader.window_surprises(window)[1:] for window in windows]
    measured = truth.floor_of(windows)
    assert measured.block_size == 9
    assert measured.nats == pytest.approx(sum(map(sum, rows)) / (30 * 9))
    squares = sum((sum(row) / 9 - measured.nats) ** 2 for row in rows)
    assert measured.error == pytest.approx(math.sqrt(squares / 29 / 30))


def test_the_fingerprint_changes_with_any_word_or_chance():
    bound, free, scenes = read_words()
    assert truth.fingerprint(Grammar(bound, free, scenes)) == truth.fingerprint(TALES)
    assert len(truth.fingerprint()) == 12
    others = [
        Grammar(bound, free | {"extra": ["word"]}, scenes),
        Grammar(bound, {name: words[::-1] for name, words in free.items()}, scenes),
        Grammar(bound, free, scenes[:-1]),
        Grammar(bound, free, [*scenes[:-1], (0.5, scenes[-1][1])]),
        Grammar(bound, free, [(scenes[0][0], scenes[0][1][:1]), *scenes[1:]]),
    ]
    assert len({truth.fingerprint(grammar) for grammar in [TALES, *others]}) == 6
