"""Cross-entropy against its definition, and bits per byte against hand-made cases."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.losses import bits_per_byte, cross_entropy
from course_lib.tokenizers import ByteTokenizer, CharTokenizer

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def slow_cross_entropy(logits, targets):
    """-log of the target's share, one prediction after another, in Python's floats."""
    surprises = []
    for row, row_targets in zip(logits.tolist(), targets.tolist(), strict=True):
        for scores, target in zip(row, row_targets, strict=True):
            top = max(scores)
            total = sum(math.exp(score - top) for score in scores)
            surprises.append(-(scores[target] - top - math.log(total)))
    return sum(surprises) / len(surprises)


@steady
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 7), st.integers(0, 10**6), st.sampled_from([0.1, 3, 100]))
def test_cross_entropy_is_the_mean_surprise(B, T, V, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, T, V, generator=generator) * scale
    targets = torch.randint(V, (B, T), generator=generator)
    assert cross_entropy(logits, targets).item() == pytest.approx(
        slow_cross_entropy(logits, targets), rel=1e-5, abs=1e-6
    )


def test_knowing_nothing_costs_ln_v():
    for V in (2, 65, 256):
        assert cross_entropy(torch.zeros(2, 3, V), torch.zeros(2, 3, dtype=torch.long)).item() == pytest.approx(
            math.log(V)
        )


def test_a_case_one_can_check_by_hand():
    logits = torch.tensor([[[0.0, math.log(3.0)]]])  # the shares are 1/4 and 3/4
    assert cross_entropy(logits, torch.tensor([[0]])).item() == pytest.approx(math.log(4))
    assert cross_entropy(logits, torch.tensor([[1]])).item() == pytest.approx(math.log(4 / 3))


def test_its_gradient_is_the_softmax_less_the_truth():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([[0, 1, 2], [3, 4, 0]])
    cross_entropy(logits, targets).backward()
    expected = (logits.softmax(-1) - torch.eye(5)[targets]) / 6
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_scored_in_fp32(dtype):
    logits = (torch.randn(4, 8, 300, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    targets = torch.arange(32).view(4, 8)
    loss = cross_entropy(logits, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy(logits.float(), targets))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.bool, torch.complex64], ids=str)
def test_targets_are_whole_numbers(dtype):
    with pytest.raises(CourseError, match=r"Targets should be whole numbers.*they are torch"):
        cross_entropy(torch.zeros(2, 3, 5), torch.zeros(2, 3).to(dtype))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8], ids=str)
def test_whole_numbers_of_any_kind_will_do(dtype):
    logits, targets = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)), torch.arange(6).view(2, 3) % 5
    assert cross_entropy(logits, targets.to(dtype)) == cross_entropy(logits, targets)


def test_bits_per_byte_of_one_byte_per_token_is_nats_over_ln_2():
    """A fair coin is one bit; nanoGPT's 1.4697 nats per character are 2.12 bits."""
    assert bits_per_byte(math.log(2), 100, 100) == pytest.approx(1.0)
    assert bits_per_byte(math.log(256), 7, 7) == pytest.approx(8.0)
    assert bits_per_byte(1.4697, 111_540, 111_540) == pytest.approx(2.1203, abs=1e-4)


def test_two_tokenizers_that_know_as_much_score_the_same():
    """Spread a text's total surprise over characters or over bytes: bits per byte stay."""
    text = "Größe für alle: 10 €"
    total_nats = 42.0
    n_bytes = len(text.encode())
    scores = set()
    for tokenizer in (CharTokenizer.train(text), ByteTokenizer()):
        tokens = len(tokenizer.encode(text))
        scores.add(round(bits_per_byte(total_nats / tokens, tokens, n_bytes), 12))
    assert scores == {round(total_nats / math.log(2) / n_bytes, 12)}
