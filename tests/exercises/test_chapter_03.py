"""Chapter 03's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.exercises import check
from course_lib.exercises.chapter_03.copying import stream_of
from course_lib.exercises.chapter_03.counting import CONFIGS, MISTAKES
from course_lib.exercises.chapter_03.repair import GIVEN, RIGHT, half_block
from course_lib.models import GPT, GPTConfig
from course_lib.reference import recorded

from .planted import assert_told

pytestmark = pytest.mark.usefixtures("one_thread")


# 03-1 -----------------------------------------------------------------------------------------------------

RIGHT_1 = {"is": 2 / 3, "ip": 1 / 3, "si": 1 / 2, "mi": 1}

WRONG_1 = {
    "the last i counted": (RIGHT_1 | {"is": 2 / 4}, "nothing follows the last one"),
    "the last i counted for p": (RIGHT_1 | {"ip": 1 / 4}, "nothing follows the last one"),
    "of all pairs": (RIGHT_1 | {"is": 0.2}, "the pair's share of all ten pairs"),
    "of all letters": (RIGHT_1 | {"si": 2 / 11}, "the pair's share of all ten pairs"),
    "counts": ({"is": 2, "ip": 1, "si": 2, "mi": 1}, "That is the count"),
    "what stands before": (RIGHT_1 | {"mi": 1 / 4}, "stands *before* the second"),
    "before p": (RIGHT_1 | {"ip": 1 / 2}, "stands *before* the second"),
    "a guess": (RIGHT_1 | {"si": 0.9}, "Mark every s in the text"),
    "per cent": (RIGHT_1 | {"is": 66.7}, "66.7% is 0.667"),
    "a fraction": (RIGHT_1 | {"is": Fraction(2, 4)}, "nothing follows the last one"),
    "too coarse": (RIGHT_1 | {"is": 0.65}, "Mark every i in the text"),
    "one missing": (RIGHT_1 | {"si": ...}, '"si" is still missing'),
    "a text": (RIGHT_1 | {"is": "2/3"}, "should be a number; it is the text"),
    "not a number": (RIGHT_1 | {"is": math.nan}, "should be a finite number"),
    "no dict": ([2 / 3, 1 / 3, 1 / 2, 1], "a dict with four numbers"),
}


def test_rounded_probabilities_are_right_too():
    assert check("03-1", {"is": 0.67, "ip": 0.333, "si": 0.5, "mi": 1.0}).passed
    assert check("03-1", {"is": 0.66, "ip": 0.33, "si": 0.5, "mi": 1}).passed


def test_exact_fractions_are_right():
    exact = {"is": Fraction(2, 3), "ip": Fraction(1, 3), "si": Fraction(1, 2), "mi": Fraction(1)}
    assert check("03-1", exact).passed


# 03-2 -----------------------------------------------------------------------------------------------------


def two(*weights, mix=3):
    return {"weights": list(weights), "mix": mix}


WRONG_2 = {
    "the future too": (two(1 / 16, 3 / 16, 4 / 16, 8 / 16), "may not look at token 3"),
    "struck out too late": (two(1 / 16, 3 / 16, 4 / 16, 0), "Strike it out first, then divide"),
    "not itself": (two(1 / 4, 3 / 4, 0, 0), "A token looks at itself, too"),
    "not divided": (two(1, 3, 4, 0), "Divide each by their sum"),
    "even": (two(1 / 3, 1 / 3, 1 / 3, 0), "Even weights would come from equal scores"),
    "the scores": (two(0, math.log(3), math.log(4), 0), "Those are the scores themselves"),
    "all the scores": (two(0, math.log(3), math.log(4), math.log(8)), "Softmax first takes e to the power of each"),
    "one digit": (two(0.1, 0.4, 0.5, 0), "rounded to one digit"),
    "the future too, rounded": (two(0.06, 0.19, 0.25, 0.5), "may not look at token 3"),
    "not itself, as fractions": (two(Fraction(1, 4), Fraction(3, 4), 0, 0), "A token looks at itself, too"),
    "a guess": (two(0.5, 0.5, 0.5, 0), "These weights are not right: 0.5, 0.5, 0.5, 0. e to the power of ln 3 is 3"),
    "three of them": (two(1 / 8, 3 / 8, 4 / 8), "there are 3. The future has a weight as well"),
    "one missing": (two(1 / 8, ..., 4 / 8, 0), "The weight of token 1 is still missing"),
    "no mix": (two(1 / 8, 3 / 8, 4 / 8, 0, mix=...), "The mix is still missing"),
    "the mean as mix": (two(1 / 8, 3 / 8, 4 / 8, 0, mix=28), "the mean of all four"),
    "the mean of three": (two(1 / 8, 3 / 8, 4 / 8, 0, mix=4), "the mean of the first three"),
    "another mix": (two(1 / 8, 3 / 8, 4 / 8, 0, mix=12), "Multiply each value by its weight"),
    "a text": (two("1/8", 3 / 8, 4 / 8, 0), "token 0 should be a number"),
    "one number": ({"weights": 0.5, "mix": 3}, "should be a list of four numbers"),
    "no dict": ([1 / 8, 3 / 8, 1 / 2, 0], "a dict, {"),
}


def test_weights_may_come_as_a_tensor():
    row = torch.tensor([1.0, 3.0, 4.0]).log()
    weights = F.pad(row.softmax(dim=0), (0, 1))
    assert check("03-2", {"weights": weights, "mix": 3}).passed


ROUNDINGS = list(itertools.product((0.12, 0.125, 0.13), (0.37, 0.375, 0.38), (0.5,), (0,)))


@pytest.mark.parametrize("weights", ROUNDINGS)
def test_weights_may_be_rounded_to_two_digits_and_the_mix_made_of_those(weights):
    mix = sum(weight * value for weight, value in zip(weights, (8, 0, 4, 100), strict=True))
    for said in (mix, round(mix, 1), 3):
        assert check("03-2", two(*weights, mix=said)).passed, said


def test_weights_may_be_fractions():
    weights = [Fraction(1, 8), Fraction(3, 8), Fraction(4, 8), 0]
    assert check("03-2", two(*weights, mix=Fraction(3))).passed


# 03-3 -----------------------------------------------------------------------------------------------------

RIGHT_3 = {
    "bigram": [5],
    "gpt": [5, 6, 7],
    "no mask": list(range(8)),
    "near, 1 layer": [5, 6],
    "near, 2 layers": [5, 6, 7],
}

WRONG_3 = {
    "the next token's": (RIGHT_3 | {"bigram": [6]}, "position 6 cannot move. A table of pairs"),
    "not its own": (RIGHT_3 | {"gpt": [6, 7]}, "made from token 5 as well"),
    "the answer's place": (RIGHT_3 | {"gpt": [4, 5, 6, 7]}, "it is the answer that changed, not the guess"),
    "the past": (RIGHT_3 | {"gpt": [0, 1, 2, 3, 4, 5]}, "position 0 cannot move"),
    "a mask after all": (RIGHT_3 | {"no mask": [5, 6, 7]}, "position 0 may move, too. Without the mask"),
    "near like far": (RIGHT_3 | {"near, 1 layer": [5, 6, 7]}, "position 7 cannot move. In one layer"),
    "two like one": (RIGHT_3 | {"near, 2 layers": [5, 6]}, "position 7 takes from position 6 in layer 2"),
    "one missing": (RIGHT_3 | {"near, 2 layers": ...}, '"near, 2 layers" is still missing'),
    "no place": (RIGHT_3 | {"gpt": [5, 6, 7, 8]}, "positions from 0 to 7; in it stands the number 8"),
    "a text": (RIGHT_3 | {"gpt": "5 to 7"}, "should be a list of positions"),
    "a list": ([[5], [5, 6, 7]], "a dict of five lists"),
}


def near_by(model: nn.Module, idx: torch.Tensor) -> torch.Tensor:
    """A GPT of which each layer sees the token and the one before it alone."""
    T = idx.shape[1]
    x = model.token_embedding(idx)
    window = torch.ones(T, T, dtype=torch.bool).tril().triu(-1)
    for block in model.blocks:
        q, k, v = block.attn.split(block.norm1(x), None)
        mixes = F.scaled_dot_product_attention(q, k, v, attn_mask=window)
        x = x + block.attn.proj(mixes.transpose(1, 2).flatten(2))
        x = x + block.mlp(block.norm2(x))
    return model.head(model.norm(x))


@pytest.mark.parametrize("n_layer", [1, 2])
def test_what_the_third_exercise_says_of_near_models_is_measured(n_layer):
    model = GPT(GPTConfig(block_size=8, vocab_size=11, n_layer=n_layer, n_head=2, n_embd=16))
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    idx = torch.arange(8)[None]
    other = idx.clone()
    other[0, 5] = 9
    for name, run in ((f"near, {n_layer} layer{'s' * (n_layer > 1)}", lambda i: near_by(model, i)), ("gpt", model)):
        far = (run(other) - run(idx)).abs().amax(dim=(0, 2))
        assert (far > 1e-4).nonzero().flatten().tolist() == RIGHT_3[name]


# 03-4 -----------------------------------------------------------------------------------------------------


def norm_04(square=lambda x: x * x, axis=-1, root=lambda m, eps: (m + eps).sqrt(), gained=True, reduce=torch.mean):
    """An rms_norm with one thing or another gone wrong."""

    def rms_norm(x, gain, eps):
        mean = reduce(square(x), dim=axis, keepdim=True)
        return x / root(mean, eps) * (gain if gained else 1)

    return rms_norm


def in_place(x, gain, eps):
    x /= ((x * x).mean(-1, keepdim=True) + eps).sqrt()
    return x * gain


WRONG_4 = {
    "LayerNorm": (lambda x, gain, eps: F.layer_norm(x, gain.shape, gain, None, eps), "That is LayerNorm"),
    "the variance": (lambda x, g, eps: x / (x.var(-1, keepdim=True) + eps).sqrt() * g, "divides by n - 1"),
    "its other kind": (
        lambda x, g, eps: x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() * g,
        "var subtracts the mean before it squares. Take",
    ),
    "the sum": (norm_04(reduce=torch.sum), "not their sum"),
    "over the batch": (norm_04(axis=0), "The mean runs over axis 0, which mixes tokens"),
    "over time": (norm_04(axis=-2), "which mixes tokens"),
    "over everything": (lambda x, g, eps: x / ((x * x).mean() + eps).sqrt() * g, "runs over the last axis only"),
    "over everything, no eps": (lambda x, g, eps: x / (x * x).mean().sqrt() * g, "last axis only. And eps is missing"),
    "the length": (lambda x, g, eps: x / (x.norm(dim=-1, keepdim=True) + eps) * g, "x.norm() is the root of the sum"),
    "the length, no eps": (lambda x, g, eps: x / x.norm(dim=-1, keepdim=True) * g, "takes the root of their mean"),
    "eps outside": (norm_04(root=lambda m, eps: m.sqrt() + eps), "eps stands inside the root"),
    "no eps": (norm_04(root=lambda m, eps: m.sqrt()), "eps is missing"),
    "no root": (norm_04(root=lambda m, eps: m + eps), "The root is missing"),
    "multiplied": (norm_04(root=lambda m, eps: (m + eps).rsqrt()), "Divide by the root; do not multiply"),
    "no gain": (norm_04(gained=False), "The gain is missing"),
    "in place": (in_place, "changed x itself"),
    "one number": (lambda x, gain, eps: x.mean(), "should have the shape (2, 3, 5)"),
    "no keepdim": (lambda x, g, eps: x / ((x * x).mean(-1) + eps).sqrt() * g, ("raised RuntimeError", "keepdim=True")),
    "nothing returned": (lambda x, gain, eps: print(end=""), "Does the function end with return?"),
    "called": (torch.ones(3), "It got a tensor of shape (3,)"),
}


def test_pytorchs_own_is_right():
    assert check("03-4", lambda x, gain, eps: F.rms_norm(x, gain.shape, gain, eps)).passed


# 03-5 -----------------------------------------------------------------------------------------------------


def count_05(change=lambda T, V, L, C, tied: 0):
    def count_weights(block_size, vocab_size, n_layer, n_embd, tied):
        T, V, L, C = block_size, vocab_size, n_layer, n_embd
        exact = V * C * (1 if tied else 2) + T * C + L * (12 * C * C + 13 * C) + 2 * C
        return exact + change(T, V, L, C, tied)

    return count_weights


WRONG_5 = {
    "the head always": (count_05(lambda T, V, L, C, tied: V * C * tied), "A tied head is the token table"),
    "the head never": (count_05(lambda T, V, L, C, tied: -V * C * (not tied)), "an untied head has one of its own"),
    "no positions": (count_05(lambda T, V, L, C, tied: -T * C), "The table of positions is missing"),
    "no biases of attention": (count_05(lambda T, V, L, C, tied: -4 * L * C), "Attention's biases are missing"),
    "no biases of the MLP": (count_05(lambda T, V, L, C, tied: -5 * L * C), "The MLP's biases are missing"),
    "a short bias": (count_05(lambda T, V, L, C, tied: -3 * L * C), "one number per output: 3C for q, k and v"),
    "one bias for q, k and v": (count_05(lambda T, V, L, C, tied: -2 * L * C), "q, k and v have a bias of C numbers"),
    "no gains": (count_05(lambda T, V, L, C, tied: -(2 * L + 1) * C), "one of the two is missing"),
    "a gain for all": (count_05(lambda T, V, L, C, tied: -(2 * L + 1) * (2 * C - 2)), "C numbers each, not one"),
    "10 C²": (count_05(lambda T, V, L, C, tied: -2 * L * C * C), "three matrices of C x C, not one: 12 C²"),
    "10 C² and no biases": (
        count_05(lambda T, V, L, C, tied: -2 * L * C * C - 9 * L * C - (2 * L + 1) * C),
        ("The biases are missing", "not one: 12 C²"),
    ),
    "12 C² alone": (
        count_05(lambda T, V, L, C, tied: -9 * L * C - 2 * (2 * L + 1) * C),
        "Only tables and matrices are counted",
    ),
    "no MLP": (count_05(lambda T, V, L, C, tied: -8 * L * C * C), "The MLP's matrices are missing"),
    "no biases": (
        count_05(lambda T, V, L, C, tied: -9 * L * C - (2 * L + 1) * C),
        "The biases are missing, of matrices and of norms",
    ),
    "no biases of matrices": (count_05(lambda T, V, L, C, tied: -9 * L * C), "The biases of the matrices are missing"),
    "no biases of norms": (count_05(lambda T, V, L, C, tied: -(2 * L + 1) * C), "a bias besides its gain"),
    "no norms": (count_05(lambda T, V, L, C, tied: -2 * (2 * L + 1) * C), "The norms are missing"),
    "no last norm": (count_05(lambda T, V, L, C, tied: -2 * C), "The last norm is missing"),
    "one norm per block": (count_05(lambda T, V, L, C, tied: -2 * L * C), "Each block has two norms"),
    "one matrix in the MLP": (count_05(lambda T, V, L, C, tied: -4 * L * C * C), "The MLP has two matrices"),
    "a narrow MLP": (count_05(lambda T, V, L, C, tied: -6 * L * C * C), "The MLP is 4 C wide within"),
    "no proj": (count_05(lambda T, V, L, C, tied: -L * C * C), "Attention has four matrices"),
    "a bias of the head": (count_05(lambda T, V, L, C, tied: V), "The head has no bias"),
    "one block": (
        count_05(lambda T, V, L, C, tied: -(L - 1) * (12 * C * C + 13 * C) - 2 * C * (L - 1) // L),
        "should be",
    ),
    "one too many": (count_05(lambda T, V, L, C, tied: 1), "should be 105,536; it is 105,537"),
    "a guess": (count_05(lambda T, V, L, C, tied: C * C * C), "should be"),
    "a text": (lambda T, V, L, C, tied: "many", "should be a number; it is the text"),
    "nothing returned": (lambda T, V, L, C, tied: print(end=""), "Does the function end with return?"),
    "called": (124_439_808, "It got the number 124,439,808"),
}


PAIRS_05 = list(itertools.combinations(range(len(MISTAKES)), 2))


def test_every_mistake_and_every_two_of_them_are_named():
    """A learner who forgets two things is told of something that is so: words that fit on every model asked for."""
    for a, b in [*zip(range(len(MISTAKES)), range(len(MISTAKES)), strict=True), *PAIRS_05]:
        (one, words), (other, more) = MISTAKES[a], MISTAKES[b]
        off = one if a == b else (lambda *config, one=one, other=other: one(*config) + other(*config))
        far = [off(*config) for config in CONFIGS]
        if not any(far):
            continue
        said = " ".join(repr(check("03-5", count_05(off))).split())
        named = [(m, w) for m, w in MISTAKES if w in said]
        assert named, (words, more, said)
        assert [sum(m(*config) for m, _ in named) for config in CONFIGS] == far, said


def test_what_the_library_counts_is_right():
    def count_weights(block_size, vocab_size, n_layer, n_embd, tied):
        with torch.device("meta"):
            sizes = dict(block_size=block_size, vocab_size=vocab_size, n_layer=n_layer, n_embd=n_embd, n_head=1)
            return GPT(GPTConfig(**sizes, bias=True, tie_weights=tied)).num_parameters()

    assert check("03-5", count_weights).passed
    assert count_weights(1024, 50257, 12, 768, True) == 124_439_808


# 03-6 -----------------------------------------------------------------------------------------------------


def half_06(norm=RIGHT[0], cut=RIGHT[1], root=RIGHT[2], **more):
    def mine(x, gain, qkv, proj, n_head):
        return half_block(x, gain, qkv, proj, n_head, state=(norm, cut, root), **more)

    return mine


NORM, CUT, ROOT = GIVEN


def changes_x(x, gain, qkv, proj, n_head):
    result = half_block(x, gain, qkv, proj, n_head)
    x += 1
    return result


def one_head(x, gain, qkv, proj, n_head):
    return half_block(x, gain, qkv, proj, 1)


def three_heads(x, gain, qkv, proj, n_head):
    return half_block(x, gain, qkv, proj, 3)


WRONG_6 = {
    "the norm is left": (half_06(norm=NORM), ("2 of 3 faults are fixed", "over the wrong axis")),
    "the heads are left": (half_06(cut=CUT), ("2 of 3", "The heads are cut out wrongly")),
    "the root is left": (half_06(root=ROOT), ("2 of 3", "divided by the wrong root")),
    "norm and heads": (half_06(norm=NORM, cut=CUT), ("1 of 3 faults is fixed", "over the wrong axis")),
    "norm and root": (half_06(norm=NORM, root=ROOT), ("1 of 3", "over the wrong axis")),
    "heads and root": (half_06(cut=CUT, root=ROOT), ("1 of 3", "The heads are cut out wrongly")),
    "the mean alone": (half_06((-1, 1, 0), CUT, ROOT), ("0 of 3 faults are fixed", "The norm is half fixed")),
    "the variance alone": (half_06((1, -1, 0), root=ROOT), ("1 of 3", "The norm is half fixed")),
    "the variance alone, the rest right": (half_06((1, -1, 0)), ("2 of 3", "The norm is half fixed")),
    "the library's other variance": (half_06((-1, -1, 1)), ("2 of 3", "(correction=0)")),
    "an exchange on top": (half_06(cut="in time"), ("2 of 3", "still cut along time")),
    "an exchange on top, and the root": (half_06(cut="in time", root=ROOT), ("1 of 3", "still cut along time")),
    "not added": (half_06(add=False), ("x itself is missing",)),
    "one head": (one_head, ("expected",)),
    "always three heads": (three_heads, ("With n_head=1",)),
    "x changed": (changes_x, ("changed what it was given",)),
    "x alone": (lambda x, gain, qkv, proj, n_head: x, ("expected",)),
    "another shape": (lambda x, gain, qkv, proj, n_head: x[0], ("should have the shape (2, 6, 12)",)),
    "nothing returned": (lambda x, gain, qkv, proj, n_head: print(end=""), ("Does the function end with return?",)),
    "called": (torch.ones(2), ("It got a tensor of shape (2,)",)),
}


def given_06(x, gain, qkv, proj, n_head):
    """The cell as the chapter gives it."""
    B, T, C = x.shape
    variance = x.var(dim=1, correction=0, keepdim=True)
    normed = (x - x.mean(dim=1, keepdim=True)) / (variance + 1e-5).sqrt() * gain
    q, k, v = (normed @ qkv.T).split(C, dim=-1)
    q = q.reshape(B, n_head, T, C // n_head)
    k = k.reshape(B, n_head, T, C // n_head)
    v = v.reshape(B, n_head, T, C // n_head)
    scores = (q @ k.mT / math.sqrt(C)).masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -math.inf)
    mixes = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(B, T, C)
    return x + mixes @ proj.T


def test_the_half_block_as_it_is_given_counts_as_not_attempted():
    verdict = check("03-6", given_06)
    assert verdict.passed is None
    assert "All three faults" in repr(verdict)


def test_the_librarys_own_half_block_is_right():
    def mine(x, gain, qkv, proj, n_head):
        settings = GPTConfig(block_size=8, vocab_size=3, n_layer=1, n_head=n_head, n_embd=x.shape[-1])
        block = GPT(settings).blocks[0]
        weights = {"norm1.weight": gain, "attn.qkv.weight": qkv, "attn.proj.weight": proj}
        block.load_state_dict(weights, strict=False)
        return x + block.attn(block.norm1(x), None, None)

    assert check("03-6", mine).passed


# 03-7 -----------------------------------------------------------------------------------------------------


def head_07(query="first", key="second", value="first", scale=30.0):
    """A copy_head whose matrices read the halves of the stream that are named."""

    def copy_head(V):
        eye, zeros = torch.eye(V), torch.zeros(V, V)
        halves = {"first": torch.cat((eye, zeros)), "second": torch.cat((zeros, eye)), "none": torch.zeros(2 * V, V)}
        return scale * V**0.5 * halves[query], halves[key], halves[value]

    return copy_head


WRONG_7 = {
    "too soft": (lambda V: [m / (30 * V**0.5 if i == 0 else 1) for i, m in enumerate(head_07()(V))], "scores larger"),
    "finds itself": (head_07(key="first"), "It finds the same token"),
    "finds the last one": (head_07(query="second", key="first"), "It finds the token before the one at hand"),
    "the pasts compared": (head_07(query="second"), "takes"),
    "hands over the past": (head_07(value="second"), "W_v should take the first half"),
    "hands over nothing": (head_07(value="none"), "proposes the wrong token"),
    "no scores": (head_07(query="none"), "do query and key ever have an entry in common?"),
    "away from it": (head_07(scale=-30.0), "takes 0%"),
    "far too large": (head_07(scale=math.inf), "not all finite"),
    "lying down": (lambda V: [m.T for m in head_07()(V)], "a row for each number of the stream"),
    "two matrices": (lambda V: head_07()(V)[:2], "should return W_q, W_k and W_v; it returned a tuple of 2"),
    "lists": (lambda V: [m.tolist() for m in head_07()(V)], "W_q should be a tensor"),
    "nothing returned": (lambda V: print(end=""), "Does the function end with return?"),
    "called": ((1, 2, 3), "It got a tuple of 3"),
}


def test_other_matrices_that_do_it_are_right_too():
    def turned(V):
        """The same scores from queries and keys that are turned alike."""
        W_q, W_k, W_v = head_07()(V)
        turn, _ = torch.linalg.qr(torch.randn(V, V))
        return W_q @ turn, W_k @ turn, W_v

    assert check("03-7", turned).passed


def test_the_stream_says_which_token_it_is_and_which_stood_before():
    stream = stream_of(torch.tensor([2, 0, 1]), V=3)
    assert stream.tolist() == [[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 0]]


def test_the_words_of_the_chapter_hold():
    """What its text quotes from a record that another chapter draws."""
    low, high = recorded("tinytales_2200").band("val_loss")
    assert (round(low, 2), round(high, 2)) == (0.33, 0.34)


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "03-1": WRONG_1,
    "03-2": WRONG_2,
    "03-3": WRONG_3,
    "03-4": WRONG_4,
    "03-5": WRONG_5,
    "03-6": WRONG_6,
    "03-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words, one or several, that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    assert_told(exercise, *PLANTED[exercise][name])
