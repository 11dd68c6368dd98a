"""Chapter 09's checks, each proved by planted wrong answers: what learners do, and what they must be told."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib.config import AGIFormerConfig
from course_lib.exercises import check
from course_lib.exercises.chapter_09.bytes_seen import CASES as BYTES
from course_lib.exercises.chapter_09.comparing import COMPUTE, PASS, PATCH, TOKEN
from course_lib.exercises.chapter_09.cutting import CASES as TEXTS
from course_lib.exercises.chapter_09.summing import EPS, attended, causal
from course_lib.exercises.chapter_09.windows import CASES as WINDOWS
from course_lib.models.agiformer import AGIFormer
from course_lib.models.agiformer.linear_attention import TINY
from course_lib.models.agiformer.linear_attention import linear_attention as by_the_library
from course_lib.models.agiformer.window_attention import band as band_of_the_library
from course_lib.models.agiformer.window_attention import window_attention

from .planted import assert_told, endless, nothing, raises, slow, solved, then
from .test_chapter_09_states import WRONG_6, WRONG_7

pytestmark = pytest.mark.usefixtures("one_thread")


# 09-1 -----------------------------------------------------------------------------------------------------


def by_rule(latent, decoder):
    return {t: (latent(t), decoder(t)) for t in BYTES}


def whole(t):
    return t // 4 * 4


def place(t):
    return t % 4


RIGHT_1 = by_rule(whole, place)
WRONG_1 = {
    "patches": (by_rule(lambda t: t // 4, place), "You counted patches"),
    "the other way round": (by_rule(place, whole), "The two are the wrong way round"),
    "the answer itself": (by_rule(whole, lambda t: t % 4 + 1), "byte t is the answer"),
    "of the next byte": (by_rule(lambda t: (t + 1) // 4 * 4, lambda t: (t + 1) % 4), "guess of the byte after it"),
    "of the next byte, once": (RIGHT_1 | {11: (12, 0)}, "guess of the byte after it"),
    "the last patch alone": (by_rule(lambda t: min(4, whole(t)), place), "The latent is more than the last patch"),
    "its own latent": (by_rule(lambda t: whole(t) + 4, lambda t: 0), "latent of its own patch, which holds the answer"),
    "its own latent, too": (by_rule(lambda t: whole(t) + 4, place), "latent of its own patch, which holds the answer"),
    "one patch late": (by_rule(lambda t: max(0, whole(t) - 4), place), "One patch more is whole by then"),
    "no decoder": (by_rule(lambda t: t, lambda t: 0), "no latent: its bytes go through the decoder"),
    "no latent": (by_rule(lambda t: 0, lambda t: t), "The decoder begins anew in each patch"),
    "its own bytes twice": (by_rule(lambda t: t, place), "counted twice"),
    "the decoder from the start": (by_rule(whole, lambda t: t), "only the bytes of its own patch"),
    "those to come": (by_rule(whole, lambda t: 3 - t % 4), "that come after it"),
    "those to come, and itself": (by_rule(whole, lambda t: 4 - t % 4), "still to come"),
    "a half": (RIGHT_1 | {11: (8, 0)}, "The bytes of its own patch are known too"),
    "too many": (RIGHT_1 | {5: (4, 6)}, "Only 5 bytes stand before byte 5; you have 10"),
    "too few": (RIGHT_1 | {11: (4, 2)}, "11 bytes stand before byte 11, and all of them are known; you have 6"),
    "shared out wrongly": (RIGHT_1 | {11: (5, 6)}, "shared out wrongly"),
    "one missing": (RIGHT_1 | {8: ...}, "The answer for byte 8 is still missing"),
    "half of one missing": (RIGHT_1 | {8: (8, ...)}, "byte 8, through the decoder, is still missing"),
    "sums": ({t: t for t in BYTES}, "should be a pair"),
    "texts": (dict.fromkeys(BYTES, ("four", "one")), "should be a number; it is the text 'four'"),
    "three of them": ({0: (0, 0), 5: (4, 1), 8: (8, 0)}, "there is no answer for 11"),
    "a number": (8, "It got the number 8"),
}


def test_pairs_may_be_lists_or_arrays_in_their_order():
    assert check("09-1", [list(pair) for pair in RIGHT_1.values()]).passed
    assert check("09-1", {t: np.array(pair) for t, pair in RIGHT_1.items()}).passed


def small(**more):
    torch.manual_seed(0)
    sizes = dict(patch_size=4, n_layer=2, n_head=2, n_embd=16, n_hidden=8, window_size=8)
    return AGIFormer(AGIFormerConfig(**sizes, **more)).eval()


@torch.no_grad()
def test_the_library_sees_those_bytes_and_through_those_parts():
    """Of the guess of byte t, row t - 1: which bytes move it, and which latents and pending bytes its decoder has."""
    model, text = small(), torch.randint(256, (1, 12))
    right = solved("09-1")
    for t in [t for t in BYTES if t]:
        seen = []
        for byte in range(12):
            other = text.clone()
            other[0, byte] = (other[0, byte] + 100) % 256
            if (model(other) - model(text))[0, t - 1].abs().max() > 1e-6:
                seen.append(byte)
        assert seen == list(range(sum(right[t])))
        cache = model.new_cache(1)
        model(text[:, :t], cache)
        assert cache.pending.shape[1] == right[t][1]
        assert cache.latent.allclose(model.latents(text[:, : right[t][0]])[:, -1:], atol=1e-5)


# 09-2 -----------------------------------------------------------------------------------------------------


def every_02(data, size):
    return [list(data[i : i + size]) for i in range(0, len(data), size)]


def rest_02(data, size):
    return list(data[len(data) // size * size :])


def zero_slice(data, size):
    return solved("09-2")(data, size)[0], list(data[-(len(data) % size) :])


def ends_early(data, size):
    found, i = [], 0
    while i + size < len(data):
        found.append(list(data[i : i + size]))
        i += size
    return found, list(data[i:])


def never_moves(data, size):
    i = 0
    while i + size <= len(data):
        pass
    return [], []


def from_the_end(data, size):
    start = len(data) % size
    return every_02(data[start:], size), list(data[:start])


def as_text(data, size):
    text = data.decode("latin-1")
    end = len(text) // size * size
    return [list(text[i : i + size]) for i in range(0, end, size)], list(text[end:])


def as_strings(data, size):
    text = data.decode("latin-1")
    end = len(text) // size * size
    return [text[i : i + size] for i in range(0, end, size)], text[end:]


def reshaped(data, size):
    return [list(row) for row in np.frombuffer(data, np.uint8).reshape(-1, size)], []


WRONG_2 = {
    "the rest as a patch": (lambda d, s: (every_02(d, s), []), "those bytes belong to what is left over"),
    "the rest twice": (lambda d, s: (every_02(d, s), rest_02(d, s)), "Now they stand in both"),
    "the rest lost": (then(solved("09-2"), lambda two: (two[0], [])), "What is left over is lost"),
    "padded": (lambda d, s: ([(p + [0] * s)[:s] for p in every_02(d, s)], []), "Padding makes bytes"),
    "padded, and the rest": (lambda d, s: ([(p + [0] * s)[:s] for p in every_02(d, s)], rest_02(d, s)), "Padding"),
    "minus nothing": (zero_slice, "data[-0:] is all of data"),
    "everything left over": (lambda d, s: (solved("09-2")(d, s)[0], list(d)), "All the bytes are left over"),
    "the last one is not enough": (ends_early, "The last patch is whole too"),
    "the last one lost": (then(solved("09-2"), lambda two: (two[0][:-1], two[1])), "The last whole patch is lost"),
    "overlapping": (lambda d, s: ([list(d[i : i + s]) for i in range(len(d) - s + 1)], []), "do not overlap"),
    "every fourth": (lambda d, s: ([list(d[i::s]) for i in range(s)], []), "takes every size-th byte"),
    "from the end": (from_the_end, "Begin at the beginning"),
    "turned round": (then(solved("09-2"), lambda two: (two[0][::-1], two[1])), "in the order of the text"),
    "turned round inside": (then(solved("09-2"), lambda two: ([p[::-1] for p in two[0]], two[1])), "bytes of a patch"),
    "the rest turned round": (then(solved("09-2"), lambda two: (two[0], two[1][::-1])), "The patches are right"),
    "other patches": (then(solved("09-2"), lambda two: ([[1]] * len(two[0]), two[1])), "What is left over is right"),
    "all wrong": (lambda d, s: ([], list(d)), "How many patches are whole?"),
    "letters": (as_text, "should hold bytes, numbers from 0 to 255; it holds the text 'a'. Leave out decode"),
    "texts": (as_strings, "A character may have several bytes"),
    "how many": (then(solved("09-2"), lambda two: (two[0], len(two[1]))), "not how many"),
    "in one row": (lambda d, s: (list(d), rest_02(d, s)), "patch 0 should be a list of bytes; it is the number 97."),
    "the other way round": (then(solved("09-2"), lambda two: two[::-1]), "Are the two the wrong way round?"),
    "one list": (then(solved("09-2"), lambda two: two[0]), "is the whole patches alone"),
    "three": (then(solved("09-2"), lambda two: (*two, 4)), "should be a pair"),
    "reshaped": (reshaped, "raised ValueError: cannot reshape array"),
    "raises": (raises, "raised IndexError"),
    "no end": (never_moves, ("had not come to an end", "of your cell")),
    "slow": (slow(solved("09-2")), "200,000 lines"),
    "nothing returned": (nothing(solved("09-2")), "Does the function end with return?"),
    "called": (([[97]], []), "It got a tuple of 2"),
}  # fmt: skip


def test_byte_strings_tuples_and_arrays_are_right_too_and_no_byte_is_lost():
    for kind in (bytes, tuple, bytearray, lambda row: np.array(row, dtype=np.uint8)):
        other = then(solved("09-2"), lambda two, kind=kind: ([kind(patch) for patch in two[0]], kind(two[1])))
        assert check("09-2", other).passed
    assert check("09-2", then(solved("09-2"), list)).passed
    for data, size in TEXTS:
        found, rest = solved("09-2")(data, size)
        assert b"".join(map(bytes, found)) + bytes(rest) == data
        assert {len(patch) for patch in found} <= {size}
        assert len(rest) < size


# 09-3 -----------------------------------------------------------------------------------------------------


def running(add=True, first=True, outer=lambda k, v: k[:, None] * v, below=lambda q, norm, n: q @ norm + EPS):
    """The solution with one thing or another gone wrong."""

    def linear_attention(q, k, v, eps):
        total, norm, out = torch.zeros(q.shape[1], v.shape[1]), torch.zeros(q.shape[1]), []
        for i in range(len(q)):
            before = total, norm
            total = outer(k[i], v[i]) + (total if add else 0)
            norm = k[i] + (norm if add else 0)
            used = (total, norm) if first else before
            out.append(q[i] @ used[0] / below(q[i], used[1], i + 1))
        return torch.stack(out)

    return linear_attention


def all_pairs(q, k, v, eps):
    return attended(causal(q, k), v, eps)


def all_sums(q, k, v, eps):
    sums = torch.einsum("ne,nd->ned", k, v).cumsum(0)
    return torch.einsum("ne,ned->nd", q, sums) / ((q * k.cumsum(0)).sum(1, keepdim=True) + eps)


def list_of_sums(q, k, v, eps):
    sums = [k[0][:, None] * v[0]]
    for i in range(1, len(q)):
        sums.append(sums[-1] + k[i][:, None] * v[i])
    norms = k.cumsum(0)
    return torch.stack([q[i] @ sums[i] / (q[i] @ norms[i] + eps) for i in range(len(q))])


def each_from_the_start(q, k, v, eps):
    return torch.stack([q[i] @ (k[: i + 1].T @ v[: i + 1]) / (q[i] @ k[: i + 1].sum(0) + eps) for i in range(len(q))])


def only_the_norm_anew(q, k, v, eps):
    total, out = torch.zeros(q.shape[1], q.shape[1]), []
    for i in range(len(q)):
        total = total + k[i][:, None] * v[i]
        out.append(q[i] @ total / (q[i] @ k[: i + 1].sum(0) + eps))
    return torch.stack(out)


def row_by_row(q, k, v, eps):
    out = []
    for i in range(len(q)):
        weights = k[: i + 1] @ q[i]
        out.append(weights @ v[: i + 1] / (weights.sum() + eps))
    return torch.stack(out)


def grown_by_cat(q, k, v, eps):
    right = solved("09-3")(q, k, v, eps)
    out = torch.zeros(0, q.shape[1])
    for row in right:
        out = torch.cat((out, row[None]))
    return out


def pair_by_pair(q, k, v, eps):
    out = torch.zeros_like(v)
    for i in range(len(q)):
        below = torch.tensor(eps)
        for j in range(i + 1):
            weight = q[i] @ k[j]
            out[i] = out[i] + weight * v[j]
            below = below + weight
        out[i] = out[i] / below
    return out


def changes_k(q, k, v, eps):
    for i in range(1, len(k)):
        k[i] += k[i - 1]
    return torch.zeros_like(v)


def softmaxed(scale):
    def linear_attention(q, k, v, eps):
        future = torch.ones(len(q), len(q)).triu(1).bool()
        return (q @ k.T / scale(q.shape[1])).masked_fill(future, -math.inf).softmax(1) @ v

    return linear_attention


WRONG_3 = {
    "all of them": (lambda q, k, v, eps: attended(q @ k.T, v, eps), "Each patch hears of later ones"),
    "read off before": (running(first=False), "A patch hears itself too"),
    "no eps": (running(below=lambda q, norm, n: q @ norm), "eps is missing"),
    "eps above too": (lambda q, k, v, eps: (causal(q, k) @ v + eps) / (causal(q, k).sum(1, keepdim=True) + eps),
                      "eps belongs to the denominator alone"),
    "eps on the fraction": (lambda q, k, v, eps: all_pairs(q, k, v, 0) + eps, "not to the fraction"),
    "no denominator": (running(below=lambda q, norm, n: 1), "The denominator is missing"),
    "no query below": (running(below=lambda q, norm, n: norm.sum() + EPS), "The denominator has no query in it"),
    "a mean": (running(below=lambda q, norm, n: n), "You divide by the number of patches"),
    "a mean and eps": (running(below=lambda q, norm, n: n + EPS), "You divide by the number of patches"),
    "sum times sum": (running(below=lambda q, norm, n: q.sum() * norm.sum() + EPS), "number by number"),
    "all keys below": (lambda q, k, v, eps: causal(q, k) @ v / ((q @ k.sum(0))[:, None] + eps), "of later patches"),
    "on its side": (running(outer=lambda k, v: v[:, None] * k), "The sum lies on its side"),
    "on its side, undivided": (running(outer=lambda k, v: v[:, None] * k, below=lambda q, norm, n: 1), "on its side"),
    "not added": (running(add=False), "Nothing is left of the patches before"),
    "the norm not added": (lambda q, k, v, eps: causal(q, k) @ v / ((q * k).sum(1)[:, None] + eps), "own key in it"),
    "the values not added": (lambda q, k, v, eps: (q * k).sum(1)[:, None] * v / (causal(q, k).sum(1)[:, None] + eps),
                             "own value in it"),
    "divided by the root": (lambda q, k, v, eps: all_pairs(q / q.shape[1] ** 0.5, k, v, eps), "by the root of E"),
    "features of features": (lambda q, k, v, eps: all_pairs(F.elu(q) + 1, F.elu(k) + 1, v, eps), "features already"),
    "softmax": (softmaxed(lambda E: 1), "That is softmax attention"),
    "softmax, scaled": (softmaxed(lambda E: E**0.5), "That is softmax attention"),
    "N x N": (all_pairs, ("The outputs are right. But", "512 x 512, N x N: every patch with every other")),
    "N x E x E": (all_sums, ("The outputs are right. But", "512 x 32 x 32: a sum of E x E for each patch")),
    "a list of sums": (list_of_sums, ("The outputs are right. But", "an old sum is kept for each patch")),
    "each from the start": (each_from_the_start, "in one pass it is twice as many"),
    "only the norm anew": (only_the_norm_anew, "in one pass it is twice as many"),
    "row by row": (row_by_row, "in one pass it is twice as many"),
    "grown by cat": (grown_by_cat, "So does torch.cat"),
    "pair by pair": (pair_by_pair, ("51,200 operations on tensors and was not done", "in the two sums")),
    "k changed": (changes_k, "changed a tensor that it was given"),
    "the last one alone": (then(solved("09-3"), lambda out: out[-1]), "one output for each patch"),
    "something else": (then(solved("09-3"), lambda out: out + 1), "(24 of 24 entries differ)"),
    "a list": (then(solved("09-3"), lambda out: out.tolist()), "should be a tensor; it is a list"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(solved("09-3")), ("had not come to an end", "of your cell")),
    "slow": (slow(solved("09-3")), "200,000 lines"),
    "nothing returned": (nothing(solved("09-3")), "Does the function end with return?"),
    "called": (torch.ones(2, 2), "It got a tensor of shape (2, 2)"),
}  # fmt: skip


def in_place(q, k, v, eps):
    total, norm, out = torch.zeros(q.shape[1], q.shape[1]), torch.zeros(q.shape[1]), torch.empty_like(v)
    for i in torch.arange(len(q)):
        total += torch.einsum("e,d->ed", k[i], v[i])
        norm += k[i]
        out[i] = q[i] @ total / (torch.dot(q[i], norm) + eps)
    return out


def in_chunks(q, k, v, eps):
    """The library's way; the N x N of a chunk is small."""
    four = q[None, None], k[None, None], v[None, None]
    scale = TINY * math.sqrt(q.shape[1]) / eps  # its eps is another one
    return by_the_library(four[0] * scale, *four[1:])[0][0, 0]


def ones_beside(q, k, v, eps):
    state, out = 0, []
    v = F.pad(v, (0, 1), value=1.0)
    for one, key, value in zip(q, k, v):
        state = state + torch.outer(key, value)
        read = one @ state
        out += [read[:-1] / (read[-1] + eps)]
    return torch.stack(out).double()


@pytest.mark.parametrize("other", [in_place, in_chunks, ones_beside])
def test_other_ways_to_sum_are_right_too(other):
    verdict = check("09-3", other)
    assert verdict.passed, verdict


# 09-4 -----------------------------------------------------------------------------------------------------


def band_04(rule):
    def band(N, W):
        return rule(torch.arange(N)[:, None], torch.arange(N), W) & torch.ones(N, N, dtype=torch.bool)

    return band


RIGHT_4 = band_04(lambda i, j, W: (j <= i) & (j > i - W))
WRONG_4 = {
    "one too many": (band_04(lambda i, j, W: (j <= i) & (j >= i - W)), ("query 3 may see the keys 1 to 3", "[3, 0]",
                                                                        "one key too many")),
    "one too few": (band_04(lambda i, j, W: (j <= i) & (j > i - W + 1)), "one key too few"),
    "without itself": (band_04(lambda i, j, W: (j < i) & (j >= i - W)), "A query sees its own patch too"),
    "turned": (band_04(lambda i, j, W: (i <= j) & (i > j - W)), "Rows and columns are exchanged"),
    "hidden": (then(RIGHT_4, torch.logical_not), "True is what may be seen"),
    "no window": (band_04(lambda i, j, W: j <= i), "the far past is not"),
    "the future": (band_04(lambda i, j, W: j > i - W), "no query sees a later key"),
    "both sides": (band_04(lambda i, j, W: (i - j).abs() < W), "The window reaches into the future"),
    "in the middle": (band_04(lambda i, j, W: (i - j).abs() <= W // 2), "in the middle of your window"),
    "blocks": (band_04(lambda i, j, W: (i // W == j // W) & (j <= i)), "blocks side by side: the window moves"),
    "blocks, not causal": (band_04(lambda i, j, W: i // W == j // W), "they show the future"),
    "the first ones": (band_04(lambda i, j, W: (j <= i) & (j < W)), "the first W patches of the text"),
    "not before W": (band_04(lambda i, j, W: (j <= i) & (j > i - W) & (i >= W - 1)), "see what there is"),
    "everything": (band_04(lambda i, j, W: i >= 0), "Every query sees every key"),
    "nothing": (band_04(lambda i, j, W: i < 0), "No query sees anything"),
    "modulo": (band_04(lambda i, j, W: (i - j) % 7 < W), "yours has True at"),
    "numbers": (then(RIGHT_4, torch.Tensor.float), "should hold True and False; it holds float32"),
    "a mask to add": (then(RIGHT_4, lambda m: torch.zeros(m.shape).masked_fill(~m, -math.inf)), "it holds float32"),
    "the library's own": (lambda N, W: band_of_the_library(W, torch.zeros(1)), "should have the shape (6, 6)"),
    "a row": (lambda N, W: torch.arange(N) < W, "A column `torch.arange(N)[:, None]` compared with a row"),
    "a list": (then(RIGHT_4, lambda m: m.tolist()), "torch.tensor(...) makes one of a list of lists"),
    "triu by W": (lambda N, W: torch.ones(N, N).tril().triu(-W).bool(), "one key too many"),
    "raises": (raises, "raised IndexError"),
    "no end": (endless(RIGHT_4), "had not come to an end"),
    "nothing returned": (nothing(RIGHT_4), "Does the function end with return?"),
    "called": (torch.ones(2, 2, dtype=torch.bool), "It got a tensor of shape (2, 2)"),
}  # fmt: skip


def test_loops_and_triangles_are_right_too_and_the_band_is_the_librarys():
    def loops(N, W):
        return torch.tensor([[max(0, i - W + 1) <= j <= i for j in range(N)] for i in range(N)])

    assert check("09-4", loops).passed
    assert check("09-4", lambda N, W: torch.ones(N, N, dtype=torch.bool).tril().triu(1 - W)).passed
    for N, W in WINDOWS:
        q, k, v = torch.randn(3, 1, 1, N, 4)
        masked = F.scaled_dot_product_attention(q, k, v, attn_mask=solved("09-4")(N, W))
        torch.testing.assert_close(masked, window_attention(q, k, v, W))


# 09-5 -----------------------------------------------------------------------------------------------------

RIGHT_5 = {PATCH: 1.40, TOKEN: 1.25, PASS: "token model", COMPUTE: 720}


def fair_05(name, value):
    return RIGHT_5 | {name: value}


WRONG_5 = {
    "nats": (fair_05(PATCH, 0.97), "That is still in nats"),
    "times ln 2": (fair_05(PATCH, 0.672), "A bit is less than a nat"),
    "over the patch": (fair_05(PATCH, 0.35), "Its loss is per byte already"),
    "per patch": (fair_05(PATCH, 5.6), "That is per patch"),
    "nats over the patch": (fair_05(PATCH, 0.2425), "And nats become bits"),
    "over a token's bytes": (fair_05(PATCH, 0.311), "those of the other model's tokens"),
    "log10": (fair_05(PATCH, 3.222), "math.log10 is another logarithm"),
    "too rough": (fair_05(PATCH, 1.43), "Very near"),
    "a guess": (fair_05(PATCH, 2.0), "Nats per byte, over ln 2"),
    "nats per token": (fair_05(TOKEN, 3.9), "in nats per token"),
    "bits per token": (fair_05(TOKEN, 5.63), "in bits per token"),
    "nats per byte": (fair_05(TOKEN, 0.867), "in nats per byte"),
    "token times ln 2": (fair_05(TOKEN, 0.601), "A bit is less than a nat"),
    "on its head": (fair_05(TOKEN, 25.32), "shared out among its bytes"),
    "over the other's bytes": (fair_05(TOKEN, 1.407), "A token has 4.5"),
    "token log10": (fair_05(TOKEN, 2.879), "math.log10 is another logarithm"),
    "another": (fair_05(TOKEN, 9.0), "over the bytes of a token, over ln 2"),
    "the patch model": (fair_05(PASS, "patch model"), "one of the token model by 4.5 on average"),
    "another name": (fair_05(PASS, "patches"), 'should be "patch model" or "token model"'),
    "a number for a name": (fair_05(PASS, 4.5), 'should be "patch model" or "token model"; it is the number 4.5'),
    "equal text": (fair_05(COMPUTE, 450), "Equal text is not equal compute"),
    "equal counts": (fair_05(COMPUTE, 100), "neither the same text nor the same compute"),
    "in patches": (fair_05(COMPUTE, 180), "Those are patches"),
    "times the patch": (fair_05(COMPUTE, 2880), "not per patch"),
    "per byte of a token": (fair_05(COMPUTE, 3240), "are per token, not per byte"),
    "over a token's bytes, too": (fair_05(COMPUTE, 160), "play no part"),
    "compute on its head": (fair_05(COMPUTE, 13.89), "what is cheaper may read more"),
    "operations": (fair_05(COMPUTE, 3600), "divide by what one byte costs the other"),
    "in bytes": (fair_05(COMPUTE, 7.2e8), "asked for are millions of bytes"),
    "the difference": (fair_05(COMPUTE, 270), "by how much more it may read"),
    "not quite as many": (fair_05(COMPUTE, 700), "Tokens times the cost of a token"),
    "something": (fair_05(COMPUTE, 77), "Tokens times the cost of a token"),
    "one missing": (fair_05(COMPUTE, ...), f'The answer for "{COMPUTE}" is still missing'),
    "a text": (fair_05(TOKEN, "1.25"), "should be a number; it is the text '1.25'"),
    "a list": ([1.40, 1.25, "token model", 720], "It got a list of 4"),
}


def test_all_digits_are_right_too_and_the_words_hold():
    exact = {PATCH: 0.97 / math.log(2), TOKEN: 3.9 / 4.5 / math.log(2), COMPUTE: 720.0}
    assert check("09-5", RIGHT_5 | exact).passed
    assert check("09-5", {name: RIGHT_5[name] for name in reversed(RIGHT_5)}).passed
    assert (round(exact[PATCH], 2), round(exact[TOKEN], 2)) == (1.40, 1.25)


# All of them ----------------------------------------------------------------------------------------------

PLANTED = {
    "09-1": WRONG_1,
    "09-2": WRONG_2,
    "09-3": WRONG_3,
    "09-4": WRONG_4,
    "09-5": WRONG_5,
    "09-6": WRONG_6,
    "09-7": WRONG_7,
}
"""Exercise to mistakes; a mistake's name to an attempt and the words, one or several, that must be said of it."""


@pytest.mark.parametrize(("exercise", "name"), [(exercise, name) for exercise in PLANTED for name in PLANTED[exercise]])
def test_a_planted_mistake_is_told_what_is_wrong(exercise, name):
    said = assert_told(exercise, *PLANTED[exercise][name])
    assert "looking at it raised" not in said
