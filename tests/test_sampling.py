"""Sampling against slow versions: the distribution by lists, generation by computing every step afresh."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.models import GPT
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
}


def build(**changes):
    """A small model with large random weights and a head of its own, so that its choices vary."""
    torch.manual_seed(0)
    shape = dict(block_size=BLOCK, vocab_size=V, n_layer=2, n_head=2, n_embd=24, tie_weights=False)
    model = GPT(GPTConfig(**(shape | changes))).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=0.5) if p.ndim == 2 else p.add_(torch.randn_like(p) * 0.2)
    return model


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


def test_an_error_inside_leaves_the_model_in_training_mode():
    model = build().train()
    with pytest.raises(IndexError):
        generate(model, torch.tensor([[V]]), 1)  # no such token
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


# Bad settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        *[(dict(temperature=t), "temperature should be 0") for t in (-0.1, math.inf, math.nan)],
        *[(dict(top_k=k), "top_k should be at least 1") for k in (0, -1)],
        *[(dict(top_p=p), "top_p should be above 0") for p in (0, -0.5, 1.01, math.nan)],
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(settings, complaint):
    with pytest.raises(CourseError, match=complaint):
        generate(build(), prompt(1, 2), 3, **settings)
    with pytest.raises(CourseError, match=complaint):
        token_probabilities(torch.zeros(3), **settings)


def test_fewer_than_no_tokens():
    with pytest.raises(CourseError, match="max_new_tokens should be at least 0; it is -1"):
        generate(build(), prompt(1, 2), -1)


@pytest.mark.parametrize("shape", [(3,), (1, 0), (1, 1, 2)])
def test_a_prompt_is_rows_of_at_least_one_token(shape):
    with pytest.raises(CourseError, match=r"token ids \(B, T\) with T at least 1; its shape is"):
        generate(build(), torch.zeros(shape, dtype=torch.long), 3)
