"""The best reader against brute force: every window of tiny grammars, its probability added up over all stories."""

import math
import random
import statistics
from collections import Counter
from itertools import pairwise

import pytest
from brute_force import TINY, TWO_WAYS, Endless, all_stories
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.corpora.tinytales.grammar import Grammar
from course_lib.corpora.tinytales.reader import Reader
from course_lib.corpora.tinytales.story import TALES
from course_lib.corpora.tinytales.truth import draw_windows, floor_of

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

SPECS = TINY | {"two ways": TWO_WAYS}
LONG = {"optional": 10, "forms": 13, "told": 12, "unsaid": 13, "two ways": 12}
"""Windows of so many characters may hold the ends of several stories, and are few enough to try them all."""


def test_the_brute_force_on_a_case_that_one_can_count_by_hand():
    spec = ({}, {"x": ["a", "b"]}, [(1.0, ["{x}.", "c!"]), (0.25, ["d?"])])
    stories = {"a.\n\n": 0.1875, "b.\n\n": 0.1875, "c!\n\n": 0.375}
    longer = {"a.\nd?\n\n": 0.0625, "b.\nd?\n\n": 0.0625, "c!\nd?\n\n": 0.125}
    assert dict(all_stories(spec)) == stories | longer
    endless = Endless(spec)
    assert endless.mean_length == 4.75
    assert endless.windows(1)["\n"] == pytest.approx(2.25 / 4.75)
    assert endless.windows(2)["\n\n"] == pytest.approx(1 / 4.75)
    assert "\n\nd" not in endless.windows(3)


# Surprises ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_every_window_that_there_can_be(name):
    """Exact also where a text can have been written in several ways: their probabilities add up."""
    endless, reader = Endless(SPECS[name]), Reader(Grammar(*SPECS[name]))
    windows = endless.windows(LONG[name])
    assert max(window.count("\n\n") for window in windows) >= 2
    for window in windows:
        assert reader.window_surprises(window) == pytest.approx(endless.surprises(window), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", SPECS)
def test_every_story_from_its_start(name):
    reader = Reader(Grammar(*SPECS[name]))
    for text, p in Endless(SPECS[name]).stories.items():
        assert sum(reader.surprises(text, reader.at_story())) == pytest.approx(-math.log(p), rel=1e-9)


@pytest.mark.parametrize("name", SPECS)
def test_what_cannot_follow_has_no_beliefs(name):
    """The signs that a reader goes on with are those with which some window goes on, and no others."""
    endless, reader = Endless(SPECS[name]), Reader(Grammar(*SPECS[name]))
    longer = endless.windows(7)
    signs = sorted(set("".join(longer)) | {"~"})
    for window in endless.windows(6):
        beliefs = reader.anywhere()
        for sign in window:
            beliefs = reader.step(beliefs, sign)
        for sign in signs:
            assert bool(reader.step(beliefs, sign)) == (window + sign in longer)


strings = st.text("ab", min_size=1, max_size=2)


@st.composite
def specs(draw):
    """Grammars at random, ambiguous ones among them."""
    rows = draw(st.lists(st.tuples(strings, st.sampled_from("cd")), min_size=1, max_size=3, unique_by=lambda r: r[0]))
    free = draw(st.lists(strings, min_size=1, max_size=3, unique=True))
    lines = st.lists(
        st.lists(st.sampled_from(["{s}", "{f}", "{s.t}{s}", "a", ".\n", "-"]), min_size=1, max_size=2).map("".join),
        min_size=1,
        max_size=2,
    )
    chances = st.sampled_from([0.25, 0.5, 1.0])
    scenes = [(1.0, draw(lines)), *draw(st.lists(st.tuples(chances, lines), max_size=2))]
    return {"s": [("plain", "t"), *rows]}, {"f": free}, scenes


@settings(steady, max_examples=60)
@given(specs())
def test_any_grammar(spec):
    endless, reader = Endless(spec), Reader(Grammar(*spec))
    for window in endless.windows(6):
        assert reader.window_surprises(window) == pytest.approx(endless.surprises(window), rel=1e-9, abs=1e-9)


def test_what_no_story_holds_is_refused():
    reader = Reader(Grammar(*TINY["unsaid"]))
    with pytest.raises(ValueError, match="no story holds 'x'"):
        reader.window_surprises("x.")
    with pytest.raises(ValueError, match=r"no story goes on with 'x' after '\.'"):
        reader.window_surprises("p.x")
    with pytest.raises(ValueError, match="no story goes on with 'q' after 'p'"):
        reader.surprises("pq!", reader.step(reader.anywhere(), "p"))


# Floors ---------------------------------------------------------------------------------------------------


def block_entropy(endless, length):
    """The mean -ln p of a whole window."""
    return -sum(p * math.log(p) for p in endless.windows(length).values())


@pytest.mark.parametrize("name", SPECS)
def test_the_floor_over_all_windows_is_a_difference_of_block_entropies(name):
    """The mean of what characters 2 to T + 1 add is (H(T + 1) - H(1)) / T."""
    endless, reader = Endless(SPECS[name]), Reader(Grammar(*SPECS[name]))
    T = LONG[name] - 1
    found = sum(
        p * statistics.fmean(reader.window_surprises(window)[1:]) for window, p in endless.windows(T + 1).items()
    )
    assert found == pytest.approx((block_entropy(endless, T + 1) - block_entropy(endless, 1)) / T, rel=1e-9)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("block_size", [1, 8])
def test_the_measured_floor_and_its_error(name, block_size):
    grammar, endless = Grammar(*SPECS[name]), Endless(SPECS[name])
    n = 1500
    measured = floor_of(draw_windows(n, block_size + 1, 1, grammar), Reader(grammar))
    exact = (block_entropy(endless, block_size + 1) - block_entropy(endless, 1)) / block_size
    assert measured.block_size == block_size
    assert abs(measured.nats - exact) < 4 * measured.error
    squares = sum(
        p * statistics.fmean(endless.surprises(window)[1:]) ** 2
        for window, p in endless.windows(block_size + 1).items()
    )
    assert measured.error == pytest.approx(math.sqrt((squares - exact**2) / n), rel=0.15)


@pytest.mark.parametrize("name", TINY)
def test_floors_fall_toward_the_entropy_rate(name):
    endless, rate = Endless(TINY[name]), Grammar(*TINY[name]).entropy_rate()
    H = [block_entropy(endless, length) for length in range(1, 14)]
    floors = [(H[T] - H[0]) / T for T in range(1, 13)]
    assert floors == sorted(floors, reverse=True)
    steps = [after - before for before, after in pairwise(H)]
    assert min(steps) == pytest.approx(rate, rel=0.1)
    assert min(steps) > rate - 1e-12


@pytest.mark.parametrize("name", TINY)
def test_windows_are_drawn_as_often_as_they_should_be(name):
    """Each place of an endless text alike: so long stories more often than short ones."""
    expected, n = Endless(TINY[name]).windows(3), 20_000
    counts = Counter(draw_windows(n, 3, 0, Grammar(*TINY[name])))
    assert set(counts) <= set(expected)
    deviation = sum((counts[text] - n * p) ** 2 / (n * p) for text, p in expected.items())  # chi-square
    freedom = len(expected) - 1
    assert abs(deviation - freedom) < 4 * math.sqrt(2 * freedom)


def test_windows_are_the_same_for_a_seed():
    windows = draw_windows(20, 50, 3)
    assert windows == draw_windows(20, 50, 3) != draw_windows(20, 50, 4)
    assert {len(window) for window in windows} == {50}
    assert draw_windows(5, 50, 3) == windows[:5]


# TinyTales ------------------------------------------------------------------------------------------------


def test_beliefs_anywhere_add_up_to_one():
    assert sum(Reader(TALES).anywhere().values()) == pytest.approx(1, rel=1e-9)


def test_whoever_has_seen_a_story_end_knows_where_the_next_begins():
    """After an empty line, a window's reader expects what the reader of a story's start expects."""
    reader = Reader(TALES)
    windows = [window for window in draw_windows(60, 256, 5) if "\n\n" in window]
    assert len(windows) > 10
    for window in windows:
        start = window.index("\n\n") + 2
        expected = reader.surprises(window[start:], reader.at_story())
        assert reader.window_surprises(window)[start:] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(steady, max_examples=25)
@given(st.integers(0, 10**9), st.integers(2, 300))
def test_any_window_of_any_text_can_be_read(seed, length):
    generator = random.Random(seed)
    text = "".join(TALES.story(generator) for _ in range(3))
    start = generator.randrange(len(text) - length)
    surprises = Reader(TALES).window_surprises(text[start : start + length])
    assert len(surprises) == length
    assert min(surprises) > -1e-9


def test_the_sum_of_surprises_does_not_depend_on_where_the_text_is_cut():
    reader = Reader(TALES)
    (window,) = draw_windows(1, 200, 6)
    whole = reader.window_surprises(window)
    for cut in (1, 2, 50, 199):
        beliefs = reader.anywhere()
        for sign in window[:cut]:
            beliefs = reader.step(beliefs, sign)
        assert reader.surprises(window[cut:], beliefs) == pytest.approx(whole[cut:], rel=1e-9, abs=1e-9)
