"""Sampling against slow versions: the distribution by lists, generation by computing every step afresh."""

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from varied import varied_gpt

from course_lib import sampling
from course_lib.errors import CourseError
from course_lib.sampling import generate, stream, token_probabilities

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
BLOCK, V = 12, 23
FORMS = {
    "gpt2": dict(tie_weights=True),
    "untied": dict(),
    "biases": dict(bias=True),
    "rope": dict(position="rope"),
    "swiglu": dict(mlp="swiglu"),
    "modern": dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2"),
    "n-grams": dict(ngrams=(2, 3), ngram_rows=50),
}


def build(**changes):
    return varied_gpt(BLOCK, V, **changes)


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def model(request):
    return build(**request.param)


def prompt(B, T, seed=0):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


# Greedy ---------------------------------------------------------------------------------------------------


def tie(logits):
    """How near two scores have to be for either to be right: 1e-5, of the largest where that is above 1."""
    return 1e-5 * max(1.0, logits.abs().max().item())


@torch.no_grad()
def assert_greedy(model, idx, n_prompt):
    """Each new token is the likeliest, computed afresh from what stood before it, or tied with it."""
    for end in range(n_prompt, idx.shape[1]):
        logits = model(idx[:, max(0, end - BLOCK) : end])[:, -1]
        chosen = logits.gather(1, idx[:, end : end + 1])[:, 0]
        assert (logits.amax(dim=-1) - chosen <= tie(logits)).all(), f"at place {end}"


@torch.no_grad()
def assert_equal_up_to_a_tie(model, one, two, n_prompt):
    """Two rows of tokens are the same, up to where two scores are tied; from there they may go different ways."""
    differing = (one != two).nonzero()
    if len(differing):
        place = int(differing[0])
        assert place >= n_prompt
        logits = model(one[None, max(0, place - BLOCK) : place])[0, -1]
        assert abs(logits[one[place]] - logits[two[place]]) <= tie(logits), f"at place {place}"


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("n_prompt", [1, 5, BLOCK - 1, BLOCK])
def test_greedy_tokens_are_the_likeliest_within_block_size_and_past_it(model, n_prompt, use_cache):
    idx = generate(model, prompt(8, n_prompt), 2 * BLOCK, temperature=0, use_cache=use_cache)
    assert idx.shape == (8, n_prompt + 2 * BLOCK)
    assert idx.dtype == torch.int64
    assert torch.equal(idx[:, :n_prompt], prompt(8, n_prompt))
    assert_greedy(model, idx, n_prompt)
    assert idx[:, n_prompt:].unique().numel() > 4  # the model does not repeat one token for ever


@pytest.mark.parametrize("n_prompt", [1, 7])
def test_the_cache_changes_no_token(model, n_prompt):
    with_cache, without = (
        generate(model, prompt(4, n_prompt), 3 * BLOCK, temperature=0, use_cache=cache) for cache in (True, False)
    )
    for one, two in zip(with_cache, without, strict=True):
        assert_equal_up_to_a_tie(model, one, two, n_prompt)


@pytest.mark.parametrize("use_cache", [True, False])
def test_of_a_long_prompt_the_last_tokens_count_and_all_are_returned(model, use_cache):
    long = prompt(2, 3 * BLOCK)
    idx = generate(model, long, 5, temperature=0, use_cache=use_cache)
    assert torch.equal(idx[:, : 3 * BLOCK], long)
    short = generate(model, long[:, -BLOCK:], 5, temperature=0, use_cache=use_cache)
    assert torch.equal(idx[:, 3 * BLOCK :], short[:, BLOCK:])
    assert_greedy(model, idx, 3 * BLOCK)


def test_a_batch_is_its_rows(model):
    rows = prompt(5, 4)
    together = generate(model, rows, BLOCK + 3, temperature=0)
    for row, whole in zip(rows, together, strict=True):
        alone = generate(model, row[None], BLOCK + 3, temperature=0)[0]
        assert_equal_up_to_a_tie(model, alone, whole, 4)


class Recorder(nn.Module):
    """Notes what it is asked; the next token is always the last one plus one."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(block_size=5)
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def new_cache(self, batch_size):
        return SimpleNamespace(length=0)

    def forward(self, idx, cache=None):
        self.seen.append((idx[0].tolist(), cache is not None, self.training))
        if cache is not None:
            cache.length += idx.shape[1]
        return nn.functional.one_hot((idx + 1) % 50, 50).float()


def test_prefill_once_then_token_by_token_then_whole_windows():
    model = Recorder().eval()
    idx = generate(model, torch.tensor([[1, 2]]), 6, temperature=0)
    assert idx.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    asked = [seen for seen, _, _ in model.seen]
    assert asked == [[1, 2], [3], [4], [5], [2, 3, 4, 5, 6], [3, 4, 5, 6, 7]]
    assert [cached for _, cached, _ in model.seen] == [True] * 4 + [False] * 2


def test_without_the_cache_every_step_is_computed_afresh():
    model = Recorder()
    generate(model, torch.tensor([[1, 2]]), 5, temperature=0, use_cache=False)
    assert [seen for seen, _, _ in model.seen] == [[1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], [2, 3, 4, 5, 6]]
    assert not any(cached for _, cached, _ in model.seen)


# The distribution -----------------------------------------------------------------------------------------


def slow_probabilities(scores, temperature, top_k, top_p):
    """The same by sorting lists: scale, keep k, softmax, keep the nucleus."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    kept = order[:top_k]
    weights = {i: math.exp((scores[i] - scores[order[0]]) / temperature) for i in kept}
    total = sum(weights.values())
    nucleus, held = [], 0.0
    for i in kept:
        if top_p is not None and held >= top_p:
            break
        nucleus.append(i)
        held += weights[i] / total
    total = sum(weights[i] for i in nucleus)
    return [weights[i] / total if i in nucleus else 0.0 for i in range(len(scores))]


@steady
@given(
    st.lists(st.integers(-300, 300), min_size=1, max_size=12, unique=True),
    st.floats(0.1, 5),
    st.none() | st.integers(1, 15),
    st.none() | st.floats(0.01, 1),
)
def test_temperature_top_k_and_top_p_against_lists(scores, temperature, top_k, top_p):
    scores = [score / 40 for score in scores]
    expected = slow_probabilities(scores, temperature, top_k, top_p)
    held = [sum(sorted(slow_probabilities(scores, temperature, top_k, None))[-n:]) for n in range(1, len(scores) + 1)]
    if top_p is not None and min(abs(top_p - h) for h in held) < 1e-5:
        return  # on the border, fp32 may take one token more or less
    found = token_probabilities(torch.tensor(scores), temperature, top_k, top_p)
    assert found.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert [p == 0 for p in found.tolist()] == [e == 0 for e in expected] or min(e for e in expected if e) < 1e-30


def test_cases_one_can_check_by_hand():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))

    def listed(**settings):
        return [round(p, 4) for p in token_probabilities(logits, **settings).tolist()]

    assert listed() == [0.5, 0.3, 0.15, 0.05]
    assert listed(top_k=2) == [0.625, 0.375, 0, 0]
    assert listed(top_p=0.79) == [0.625, 0.375, 0, 0]  # 0.5 is too little, 0.8 is enough
    assert listed(top_p=0.4) == [1, 0, 0, 0]  # the likeliest always stays
    assert listed(top_k=2, top_p=0.6) == [1, 0, 0, 0]  # after top_k the first holds 0.625
    assert listed(temperature=0.5) == [round(p * p / 0.365, 4) for p in (0.5, 0.3, 0.15, 0.05)]
    assert listed(top_k=4) == listed(top_k=99) == listed(top_p=1.0) == listed()
    assert listed(temperature=0) == [1, 0, 0, 0]


def test_rows_are_treated_one_by_one():
    logits = torch.randn(3, 2, 9, generator=torch.Generator().manual_seed(0))
    found = token_probabilities(logits, 0.7, top_k=5, top_p=0.8)
    for i in range(3):
        for j in range(2):
            torch.testing.assert_close(found[i, j], token_probabilities(logits[i, j], 0.7, top_k=5, top_p=0.8))
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(3, 2))


def test_the_first_of_equals_is_the_greedy_choice():
    assert token_probabilities(torch.tensor([1.0, 4.0, 4.0, 4.0]), temperature=0).tolist() == [0, 1, 0, 0]


def test_half_precision_scores_become_fp32_probabilities():
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    for temperature in (0, 1.0):
        found = token_probabilities(logits, temperature)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.sum(dim=-1), torch.ones(4))


class Fixed(nn.Module):
    """The same scores whatever stands before."""

    def __init__(self, scores):
        super().__init__()
        self.config = SimpleNamespace(block_size=4)
        self.scores = nn.Parameter(torch.tensor(scores))

    def forward(self, idx):
        return self.scores.expand(*idx.shape, -1)


CRITICAL = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52}  # chi-square: 99.9%, by degrees of freedom


@pytest.mark.parametrize(
    "settings",
    [
        *(dict(temperature=t) for t in (0.5, 1.0, 2.0)),
        *(dict(top_k=3), dict(top_p=0.75), dict(temperature=1.5, top_k=4, top_p=0.9)),
    ],
    ids=str,
)
def test_draws_follow_the_distribution(settings):
    """20,000 tokens, counted."""
    scores = [1.5, 0.0, 1.0, -1.0, 0.5, -0.5]
    whole = dict(temperature=1.0, top_k=None, top_p=None) | settings
    expected = [20_000 * p for p in slow_probabilities(scores, **whole)]
    idx = generate(Fixed(scores), torch.zeros(5000, 1, dtype=torch.long), 4, **settings, use_cache=False, seed=7)
    counts = torch.bincount(idx[:, 1:].flatten(), minlength=6).tolist()
    assert [count > 0 for count in counts] == [e > 0 for e in expected]
    chi_square = sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True) if e)
    assert chi_square < CRITICAL[sum(e > 0 for e in expected) - 1]


# Top-p where the sum is p, to the last digit -----------------------------------------------------------------


def exact_nucleus(weights, p):
    """The places that stay, in exact fractions: the fewest likeliest that reach p, of equals the first."""
    kept, held, total = set(), Fraction(0), sum(weights)
    for i in sorted(range(len(weights)), key=lambda i: -weights[i]):
        if held < p:
            kept.add(i)
            held += Fraction(weights[i], total)
    return kept


def kept_by(found):
    return {i for i, p in enumerate(found.tolist()) if p > 0}


def shares(n, parts):
    """All ways to share ``n`` among so many."""
    if parts == 1:
        return [(n,)]
    return [(first, *rest) for first in range(n + 1) for rest in shares(n - first, parts - 1)]


@pytest.mark.parametrize("parts", [2, 3, 4, 5])
def test_tenths_are_cut_as_exact_fractions_are(parts):
    """286 distributions of four tokens in tenths, ten p: decimals meet p on the spot, and no sum of floats is exact."""
    tenths = shares(10, parts)
    logits = (torch.tensor(tenths) / 10).log()
    wrong = []
    for n in range(1, 11):
        found = token_probabilities(logits, top_p=n / 10)
        cut = zip(tenths, found, strict=True)
        wrong += [(weights, n) for weights, row in cut if kept_by(row) != exact_nucleus(weights, Fraction(n, 10))]
    assert wrong == []


@steady
@given(
    st.lists(st.integers(1, 1000), min_size=2, max_size=40),
    st.integers(0, 39),
    st.sampled_from([1, 2]),
    st.integers(1, 40),
)
def test_a_sum_that_is_p_has_reached_it_after_temperature_and_top_k(weights, cut, power, top_k):
    """Temperature 1/2 squares the weights, so everything stays a fraction; p is one of its sums."""
    lowest = sorted(weights, reverse=True)[:top_k][-1]
    exact = [w**power if w >= lowest else 0 for w in weights]
    ordered = sorted((w for w in exact if w), reverse=True)
    p = Fraction(sum(ordered[: cut % len(ordered) + 1]), sum(ordered))
    logits = torch.tensor(weights, dtype=torch.float64).log().float()
    found = token_probabilities(logits, 1 / power, top_k, top_p=float(p))
    assert kept_by(found) == exact_nucleus(exact, p)
    if p + Fraction(1, 10**5) < 1:  # a hair more than rounding, and one more token is needed
        found = token_probabilities(logits, 1 / power, top_k, top_p=float(p) + 1e-5)
        assert kept_by(found) == exact_nucleus(exact, p + Fraction(1, 10**5))


def test_a_large_vocabulary_meets_p_as_well():
    """GPT-2's 50,257 tokens, equal or in falling order; what p needs stays, but for tokens too small to be seen."""
    for weights in (torch.ones(50_257, dtype=torch.long), torch.arange(50_257, 0, -1)):
        sums = weights.cumsum(0)
        logits = (weights.double() / sums[-1]).log().float()
        for place in range(100, 50_257, 5000):
            p = (sums[place].double() / sums[-1]).item()
            kept = int((token_probabilities(logits, top_p=p) > 0).sum())
            assert kept <= place + 1  # none too many
            assert 1 - sums[kept - 1] / sums[place] <= sampling.ROUNDING
            if weights[place] / sums[place] > 2 * sampling.ROUNDING:
                assert kept == place + 1


def test_the_likeliest_stays_however_small_p_is():
    for p in (1e-3, 1e-9, 1e-40, 5e-324):
        assert token_probabilities(torch.tensor([0.0, 1.0, 0.0]), top_p=p).tolist() == [0, 1, 0]


def test_equals_at_the_edge():
    """Top-k keeps all that tie with the k-th, top-p of equals the first."""
    logits = torch.tensor([0.2, 0.2, 0.2, 0.4]).log()
    assert [kept_by(token_probabilities(logits, top_k=k)) for k in (1, 2, 3, 4)] == [{3}] + 3 * [{0, 1, 2, 3}]
    assert [kept_by(token_probabilities(logits, top_p=p)) for p in (0.4, 0.6, 0.8)] == [{3}, {0, 3}, {0, 1, 3}]


# The limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [10.0**-n for n in (9, 20, 38, 39, 40, 45, 46, 100, 200, 300, 308)] + [5e-324])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_toward_temperature_0_the_likeliest_takes_all_and_equals_share(temperature, dtype):
    scores = torch.tensor([[3.0, 5.0, -2.0, 4.0], [-1e30, 3e38, 0.0, 2e38], [7.0, 9.0, -math.inf, 9.0]], dtype=dtype)
    found = token_probabilities(scores, temperature)
    assert found.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0.5, 0, 0.5]]
    for more in (dict(top_k=2), dict(top_p=0.9)):
        assert token_probabilities(scores, temperature, **more)[:2].equal(found[:2])
    model = build()
    cold = generate(model, prompt(2, 3), 20, temperature=temperature, seed=1)
    assert torch.equal(cold, generate(model, prompt(2, 3), 20, temperature=0))


def test_a_very_high_temperature_makes_all_equal():
    assert token_probabilities(torch.tensor([3.0, -5.0]), 1e300).tolist() == [0.5, 0.5]


BAD_ROWS = {
    "NaN": [1.0, math.nan, 0.0],
    "NaN first": [math.nan, 1.0, 0.0],
    "+inf": [1.0, math.inf, 0.0],
    "both infinities": [-math.inf, math.inf, 0.0],
    "all ruled out": [-math.inf] * 3,
}
SETTINGS = [dict(temperature=0), dict(), dict(temperature=0.7, top_k=2, top_p=0.9)]


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_scores_that_are_not_finite_are_refused(row, settings):
    good = [0.0, 1.0, 2.0]
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        with pytest.raises(CourseError, match=r"scores \(logits\) should be finite"):
            token_probabilities(torch.tensor([[good, row], [good, good]], dtype=dtype), **settings)
    for start in (generate, lambda *args, **more: list(stream(*args, **more))):
        with pytest.raises(CourseError, match=r"scores \(logits\) should be finite"):
            start(Fixed(row), torch.zeros(2, 1, dtype=torch.long), 3, **settings, use_cache=False)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_tokens_may_be_ruled_out(settings):
    """A score of -inf is legal, as long as one token is left."""
    scores = [-math.inf, 1.0, -math.inf, 1.5]
    found = token_probabilities(torch.tensor(scores), **settings)
    assert found.isfinite().all()
    assert kept_by(found) <= {1, 3}
    idx = generate(Fixed(scores), torch.zeros(20, 1, dtype=torch.long), 4, **settings, use_cache=False, seed=1)
    assert set(idx[:, 1:].unique().tolist()) <= {1, 3}


class FailsAt(Fixed):
    """Finite scores, until so many tokens stand before."""

    def __init__(self, n_tokens):
        super().__init__([0.0, 1.0, 2.0])
        self.config.block_size = 99
        self.n_tokens = n_tokens

    def forward(self, idx):
        return super().forward(idx) + (math.nan if idx.shape[1] == self.n_tokens else 0.0)


@pytest.mark.parametrize("every", [1, 4, 16])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_card_is_asked_now_and_then_and_no_bad_score_goes_unseen(monkeypatch, settings, every):
    """As on a card: of 11 tokens, the scores of the one that comes after ``n`` are not finite."""
    looks = []
    look = sampling._need_finite
    monkeypatch.setattr(sampling, "_check_every", lambda device: every)
    monkeypatch.setattr(sampling, "_need_finite", lambda finite: (looks.append(1), look(finite)))
    for n in range(11):
        seen = []
        tokens = (seen.append(int(token)) for token in stream(FailsAt(n + 1), [0], 11, **settings, use_cache=False))
        with pytest.raises(CourseError, match="should be finite"):
            list(tokens)
        assert len(seen) < min((n // every + 1) * every, 11)
        assert all(0 <= token < 3 for token in seen)  # nothing that a model could not be given
    looks.clear()
    assert len(list(stream(FailsAt(50), [0], 11, **settings, use_cache=False))) == 11
    assert len(looks) == -(-11 // every)


def test_a_draw_is_torchs_own_multinomial():
    generator, other = torch.Generator(), torch.Generator()
    for seed in range(100):
        generator.manual_seed(seed), other.manual_seed(seed)
        probabilities = token_probabilities(torch.randn(3, 40, generator=torch.Generator().manual_seed(seed)), top_k=9)
        expected = torch.multinomial(probabilities, 1, generator=other)
        assert torch.equal(sampling._draw(probabilities, generator), expected)


# Seeds, streams and what is left alone --------------------------------------------------------------------


def test_a_seed_gives_the_same_tokens_and_another_seed_others():
    model = build()
    one, again, other = (generate(model, prompt(2, 3), 30, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(generate(model, prompt(2, 3), 30), generate(model, prompt(2, 3), 30))


@pytest.mark.parametrize("seed", [None, 3])
def test_torchs_own_generator_is_left_alone(seed):
    model = build()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    generate(model, prompt(1, 2), 5, seed=seed)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_draws_do_not_depend_on_torchs_own_generator():
    model = build()
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(generate(model, prompt(1, 2), 20, seed=3))
    assert torch.equal(*found)


@pytest.mark.parametrize("settings", [dict(temperature=0), dict(temperature=0.8, top_k=5, top_p=0.9, seed=2)], ids=str)
def test_a_stream_yields_the_tokens_of_generate(model, settings):
    whole = generate(model, prompt(2, 3), BLOCK + 5, **settings)
    tokens = list(stream(model, prompt(2, 3), BLOCK + 5, **settings))
    assert all(token.shape == (2, 1) for token in tokens)
    assert torch.equal(torch.cat([prompt(2, 3), *tokens], dim=1), whole)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_in_evaluation_mode_for_each_moment_only(training):
    """Between two tokens the caller may go on training: gradients are on, and dropout is as it was."""
    model = build(dropout=0.5).train(training)
    expected = generate(build(dropout=0.5).eval(), prompt(1, 3), 15, temperature=0)
    tokens = []
    for token in stream(model, prompt(1, 3), 15, temperature=0):
        assert model.training == training
        assert all(module.training == training for module in model.modules())
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        tokens.append(token)
    assert torch.equal(torch.cat([prompt(1, 3), *tokens], dim=1), expected)


def test_an_error_inside_leaves_the_model_in_training_mode(monkeypatch):
    model = build().train()
    monkeypatch.setattr(model.head, "forward", lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generate(model, prompt(1, 2), 1)
    assert model.training


def test_the_result_is_an_ordinary_tensor():
    model = build()
    idx = generate(model, prompt(1, 3), 4)
    assert not idx.is_inference()
    assert all(p.grad is None for p in model.parameters())
    model(idx).sum().backward()  # it can be trained on
    assert model.head.weight.grad.abs().sum() > 0


def test_no_new_tokens():
    model = build()
    assert torch.equal(generate(model, prompt(2, 3), 0), prompt(2, 3))
    assert torch.equal(generate(model, prompt(2, 3 * BLOCK), 0), prompt(2, 3 * BLOCK))
    assert list(stream(model, prompt(2, 3), 0)) == []


# What is refused, at the call ------------------------------------------------------------------------------


def refused(match, *args, **settings):
    """Both `generate` and `stream` refuse it, before the model runs and before a token is asked for."""
    model = build()
    model.forward = None  # whoever calls it fails otherwise
    for start in (generate, stream):
        with pytest.raises(CourseError, match=match):
            start(model, *args, **settings)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        *[(dict(temperature=t), "temperature should be 0") for t in (-0.1, math.inf, math.nan, "1", None, True)],
        *[(dict(top_k=k), "top_k should be at least 1, or None for all tokens; it is") for k in (0, -1)],
        *[(dict(top_k=k), "top_k should be a whole number, or None") for k in (2.0, 2.5, True, "2", math.nan)],
        *[(dict(top_p=p), "top_p should be above 0") for p in (0, -0.5, 1.01, math.nan, "1", True)],
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(settings, complaint):
    refused(complaint, prompt(1, 2), 3, **settings)
    with pytest.raises(CourseError, match=complaint):
        token_probabilities(torch.zeros(3), **settings)


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**64, 2**70])
def test_seeds_have_torchs_range(seed):
    refused(
        r"seed should be at least 0 and below 2\*\*64 \(torch takes no others\), or None", prompt(1, 2), 3, seed=seed
    )


@pytest.mark.parametrize("seed", [1.0, True, "1", math.nan])
def test_seeds_are_whole_numbers(seed):
    refused("seed should be a whole number", prompt(1, 2), 3, seed=seed)


def test_the_ends_of_the_range_are_seeds():
    one, other = (generate(build(), prompt(1, 2), 9, seed=seed) for seed in (0, 2**64 - 1))
    assert not torch.equal(one, other)
    assert torch.equal(one, generate(build(), prompt(1, 2), 9, seed=np.int64(0)))


def test_fewer_than_no_tokens():
    refused("max_new_tokens should be at least 0; it is -1", prompt(1, 2), -1)
    for bad in (2.0, True, "3", None):
        refused("max_new_tokens should be a whole number", prompt(1, 2), bad)


@pytest.mark.parametrize("shape", [(3,), (1, 0), (1, 1, 2), ()])
def test_a_prompt_is_rows_of_at_least_one_token(shape):
    refused(r"token ids \(B, T\) with T at least 1; its shape is", torch.zeros(shape, dtype=torch.long), 3)


@pytest.mark.parametrize("bad", [-1, -(2**40), V, V + 1, 2**40])
@pytest.mark.parametrize("place", [0, 1, 2 * BLOCK])
def test_a_prompt_holds_ids_that_the_model_knows(bad, place):
    """Also where it lies before the tokens that count: it comes from another tokenizer all the same."""
    ids = prompt(2, 2 * BLOCK + 1)
    ids[1, place] = bad
    refused(f"ids should be from 0 to {V - 1}, as this model knows them; there is {bad}", ids, 3)
    refused(f"there is {bad}", ids.tolist(), 3)


def test_the_first_and_the_last_id_are_known():
    assert generate(build(), [0, V - 1], 2).shape == (1, 4)


@pytest.mark.parametrize(
    "ids",
    [
        *(torch.zeros(1, 2, dtype=dtype) for dtype in (torch.float32, torch.bfloat16, torch.bool, torch.complex64)),
        *([1.0, 2.0], [[1, 2.5]], [True, False], np.array([[1.0]])),
    ],
    ids=str,
)
def test_a_prompt_is_whole_numbers(ids):
    refused("ids should be whole numbers; they are torch", ids, 3)


@pytest.mark.parametrize("ids", [
        *("abc", ["a"], 5, None, [[1, 2], []], [[], [3]], [[1, 2], "ab"], [[1], None], [[1], [[2], [3]]], [[1, 2], 3]),
        *([2**70], [None], [[[1]]], [], [[]], [[1, 2], [2**70]]),
    ], ids=str)
def test_other_things_are_no_prompt(ids):
    refused("The prompt should be", ids, 3)


@pytest.mark.parametrize(
    "form",
    [
        *(
            lambda row: row,
            lambda row: [row],
            lambda row: (tuple(row),),
            np.array,
            lambda row: np.array([row], np.uint16),
        ),
        *(lambda row, d=d: torch.tensor([row], dtype=d) for d in (torch.int32, torch.uint8, torch.int16, torch.int64)),
    ],
)
def test_a_prompt_may_be_a_plain_list_or_whole_numbers_of_any_kind(form):
    model, row = build(), prompt(1, 5)[0].tolist()
    expected = generate(model, torch.tensor([row]), 6, seed=3)
    found = generate(model, form(row), 6, seed=3)
    assert found.dtype == torch.int64
    assert torch.equal(found, expected)
    assert torch.equal(torch.cat(list(stream(model, form(row), 6, seed=3)), dim=1), expected[:, 5:])


def test_several_rows_may_be_lists_as_well():
    rows = prompt(3, 4)
    assert torch.equal(generate(build(), rows.tolist(), 5, temperature=0), generate(build(), rows, 5, temperature=0))


# Prompts of unequal length, and a token that ends a row -----------------------------------------------------

UNEVEN = [[3, 1, 4, 1, 5], [9], [2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4], [6, 2]]  # one is longer than BLOCK
HOW = {
    "greedy": dict(temperature=0),
    "seed": dict(seed=7),
    "a seed for each": dict(seed=[7, 8, 9, 10]),
    "cut": dict(seed=3, top_k=9, top_p=0.8, temperature=0.7),
}


def of_row(how, i):
    return how | ({"seed": how["seed"][i]} if isinstance(how.get("seed"), list) else {})


class Uncached(nn.Module):
    """A GPT as a model of one's own: without caches of any kind."""

    def __init__(self, model):
        super().__init__()
        self.model, self.context = model, model.context

    def forward(self, idx):
        return self.model(idx)


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize(("prompts", "stop"), [(UNEVEN, None), (UNEVEN[:2], 5), (UNEVEN[::-1], 5)])
def test_each_of_unequal_prompts_goes_on_as_it_would_alone(model, how, use_cache, stop, prompts):
    """Within block_size, across its end, and past it, where each row's window slides at its own time."""
    how = how | ({"seed": how["seed"][: len(prompts)]} if isinstance(how.get("seed"), list) else {})
    for one in (model, Uncached(model)) if use_cache else (model,):
        found = generate(one, prompts, BLOCK + 4, use_cache=use_cache, stop=stop, **how)
        longest = max(map(len, prompts))
        for i, (row, prompt) in enumerate(zip(found.tolist(), prompts, strict=True)):
            alone = generate(model, prompt, BLOCK + 4, use_cache=use_cache, stop=stop, **of_row(how, i))[0].tolist()
            assert row[: longest - len(prompt)] == [stop or 0] * (longest - len(prompt))
            own = row[longest - len(prompt) :]
            assert own[: len(alone)] == alone
            assert all(token == stop for token in own[len(alone) :])


def test_padding_changes_no_score(model):
    """Nearer than tokens tell: the scores of each row at each of its places, whole and token by token."""
    padding = torch.tensor([0, 3, 7])
    idx = prompt(3, 9)
    cache, steps = model.new_padded_cache(padding), model.new_padded_cache(padding)
    with torch.no_grad():
        whole = model(idx, cache)
        parts = torch.cat([model(part, steps) for part in idx.split([2, 1, 4, 1, 1], dim=1)], dim=1)
        for row, n in enumerate(padding.tolist()):
            alone = model(idx[row : row + 1, n:])[0]
            for found in (whole, parts):
                assert (found[row, n:] - alone).abs().max() < tie(alone)
    assert whole.isfinite().all()  # padding too: what is NaN there would be multiplied by 0, and stay NaN


def test_prompts_of_unequal_length_go_through_together():
    model = build()
    sizes = []
    model.register_forward_pre_hook(lambda module, args: sizes.append(tuple(args[0].shape)))
    generate(model, UNEVEN[:2], 4, temperature=0)
    assert sizes == [(2, 5), (2, 1), (2, 1), (2, 1)]


def test_lists_of_arrays_and_tensors_may_be_unequal_too():
    model = build()
    expected = generate(model, UNEVEN, 5, temperature=0)
    for make in (tuple, np.array, torch.tensor, lambda row: torch.tensor(row, dtype=torch.uint8)):
        assert torch.equal(generate(model, [make(row) for row in UNEVEN], 5, temperature=0), expected)


@given(st.integers(0, V - 1), st.integers(0, 2**32), st.integers(0, 9), st.booleans())
@steady
def test_a_stop_token_ends_its_row_and_changes_nothing_before_it(stop, seed, n, is_greedy):
    """Against the same draws without it, cut by hand."""
    model, rows = build(), prompt(4, 3, seed % 97)
    how = dict(temperature=0) if is_greedy else dict(seed=[seed + i for i in range(4)])
    free = generate(model, rows, n, **how)[:, 3:].tolist()
    cut = [row[: row.index(stop) + 1] if stop in row else row for row in free]
    longest = max(map(len, cut))
    expected = [row + [stop] * (longest - len(row)) for row in cut]
    found = generate(model, rows, n, stop=stop, **how)
    assert found[:, :3].equal(rows)
    assert found[:, 3:].tolist() == expected
    assert torch.cat([rows, *stream(model, rows, n, stop=stop, **how)], dim=1).equal(found)


def test_a_stop_token_in_the_prompt_ends_nothing():
    model = build()
    free = generate(model, [[5, 5]], 3, temperature=0)
    stop = next(token for token in range(V) if token not in free[0, 2:])
    assert generate(model, [[stop, 5, 5]], 3, temperature=0, stop=stop).shape == (1, 6)


def test_the_model_is_not_asked_after_the_last_row_has_ended():
    model = build()
    first = generate(model, [[1]], 1, temperature=0)[0, -1].item()
    calls = []
    model.register_forward_pre_hook(lambda module, args: calls.append(1))
    assert generate(model, [[1], [1]], 50, temperature=0, stop=first).tolist() == [[1, first]] * 2
    assert len(calls) == 1


def test_a_seed_for_each_row_is_that_rows_own(model):
    rows = prompt(3, 4)
    together = generate(model, rows, 6, seed=[4, 5, 4])
    for row, seed, whole in zip(rows, (4, 5, 4), together):
        assert generate(model, row[None], 6, seed=seed)[0].equal(whole)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        *((dict(stop=stop), "stop should be") for stop in (-1, V, 1.0, "a", True)),
        *((dict(seed=seed), "seed should be one number, or one for each of 2 rows") for seed in ([], [1], [1, 2, 3])),
        *((dict(seed=[1, seed]), "seed should be") for seed in (-1, 2**64, 1.5, None, "1")),
    ],
)
def test_a_stop_or_a_seed_that_is_none_is_named(more, complaint):
    refused(complaint, [[1, 2], [3, 4]], 3, **more)
    refused(complaint, [[1, 2], [3]], 3, **more)


@pytest.mark.parametrize("bad", [-1, V, 99])
def test_unequal_prompts_hold_ids_that_the_model_knows(bad):
    refused("ids should be from 0 to 22.* there is", [[1, 2], [bad]], 3)
    refused("ids should be whole numbers", [[1, 2], [1.0]], 3)
