"""What 09-6 asks for, computed for a whole text at once, and what known mistakes lead to."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.exercises.chapter_09.windows import visible
from course_lib.exercises.judge.asking import Known


def sums(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, eps: float) -> Tensor:
    """Linear attention over the pairs of ``mask``, (N, E); q and k are features."""
    weights = (q @ k.T) * mask
    return weights @ v / (weights.sum(dim=1, keepdim=True) + eps)


def near(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Softmax attention over the pairs of ``mask``, (N, E)."""
    return (q @ k.T * scale).masked_fill(~mask, -math.inf).softmax(dim=1) @ v


def features(x: Tensor) -> Tensor:
    return F.elu(x) + 1


def together(q: Tensor, k: Tensor, v: Tensor, W: int, eps: float) -> Tensor:
    """All outputs of a text, (N, E), in parallel: what the learner's steps are compared with."""
    N, E = q.shape
    everything = sums(features(q), features(k), v, visible(N, N), eps)
    return everything + near(q, k, v, visible(N, W), 1 / math.sqrt(E))


def known_slips(q: Tensor, k: Tensor, v: Tensor, W: int, eps: float) -> Known:
    """Series of outputs, each with what to say of the learner who has it."""
    N, E = q.shape
    fq, fk = features(q), features(k)
    past, own = visible(N, N), torch.eye(N, dtype=torch.bool)
    lin, win = sums(fq, fk, v, past, eps), near(q, k, v, visible(N, W), 1 / math.sqrt(E))
    return [
        (lin, "The window's part is missing: the output is the sum of both."),
        (win, "Linear attention's part is missing: the output is the sum of both."),
        ((lin + win) / 2, "The two parts are added, not averaged."),
        (sums(fq, fk, v, own, eps) + v, "Nothing is remembered of the patches before: return the new state, not the "
         "old one, and begin with zeros only where state is None."),
        (sums(fq, fk, v, past, eps) + v, "The window holds this patch alone. Put its key after those kept before."),
        *((lin + part, words) for part, words in _slips_of_the_window(q, k, v, W)),
        *((part + win, words) for part, words in _slips_of_the_sums(q, k, v, W, eps)),
    ]  # fmt: skip


def _slips_of_the_window(q: Tensor, k: Tensor, v: Tensor, W: int) -> Known:
    N, E = q.shape
    past, window, root = visible(N, N), visible(N, W), 1 / math.sqrt(E)
    first = past & (torch.arange(N) < W)
    known = [
        (near(q, k, v, visible(N, W + 1), root), "The window holds one patch too many: W counts this one too."),
        (near(q, k, v, window, 1.0), "The scores of the window are divided by the root of E before the softmax."),
        (near(q, k, v, window, 1 / E), "The scores of the window are divided by the root of E, not by E."),
        (near(q, k, v, past, root), "The window has no end: of keys and values only the last W count."),
        (near(q, k, v, first, root), "The window keeps the first W patches: for a new one, the oldest goes."),
        (near(features(q), features(k), v, window, root), "The window takes q and k as they are: features are "
         "for the sums alone."),
        (_empty_places(q, k, v, W), "Before W patches have come, the empty places of the window are asked too: a "
         "key of zeros has the score 0, not minus infinity. Leave them out."),
        ((q @ k.T * root).masked_fill(~past, -math.inf).softmax(dim=1).mul(window) @ v, "The softmax ran over all keys "
         "so far. Take it over the scores of the window alone, or their shares do not sum to 1."),
    ]  # fmt: skip
    if W > 1:
        short = near(q, k, v, visible(N, W - 1), root)
        known.append((short, "The window holds one patch too few: with this one there are W."))
        late = torch.cat((torch.zeros(1, E), near(q[1:], k[:-1], v[:-1], visible(N - 1, W), root)))
        known.append((late, "This patch comes into the window first, and then the output is read off."))
    return known


def _slips_of_the_sums(q: Tensor, k: Tensor, v: Tensor, W: int, eps: float) -> Known:
    N, E = q.shape
    fq, fk, root = features(q), features(k), 1 / math.sqrt(E)
    past, window, own = visible(N, N), visible(N, W), torch.eye(N, dtype=torch.bool)
    weights = (fq @ fk.T) * past
    return [
        (sums(q, k, v, past, eps), "The sums take features of q and k: F.elu(x) + 1."),
        (sums(fq, k, v, past, eps), "The sum takes the features of k too: F.elu(k) + 1."),
        (sums(q, fk, v, past, eps), "q needs features too, where it meets the sums: F.elu(q) + 1."),
        (sums(F.elu(q), F.elu(k), v, past, eps), "Features are F.elu(x) + 1: without the 1 they may be below 0."),
        (sums(fq * root, fk, v, past, eps), "The root of E belongs to the window alone: in the fraction of the "
         "sums it cancels, but for eps."),
        (sums(fq, fk, v, window, eps), "The sums are for the whole past: nothing leaves them."),
        (sums(fq, fk, v, own, eps), "Nothing is left of the patches before in the sums: add to them."),
        (sums(fq, fk, v, past & ~own, eps), "This patch comes into the sums first, and then the output is read "
         "off: a patch sees itself."),
        (sums(fq, fk, v, past, 0), "eps is missing: it is added to the denominator of linear attention."),
        (weights @ v, "The denominator of linear attention is missing: q · (sum of the keys) + eps."),
        (weights @ v / weights.sum(1, keepdim=True) + eps, "eps belongs to the denominator, not to the result."),
        (weights @ v / (fk.cumsum(0).sum(1, keepdim=True) + eps), "The denominator has no query in it: it is "
         "q · (sum of the keys) + eps."),
        (weights @ v / ((fq * fk).sum(1, keepdim=True) + eps), "The denominator has only this patch's key in it. "
         "It needs the second sum, that of the keys."),
        ((fq @ v.T * past) @ fk / (weights.sum(1, keepdim=True) + eps), "The sum lies on its side: it is k times "
         "v, rows for the numbers of k."),
    ]  # fmt: skip


def _empty_places(q: Tensor, k: Tensor, v: Tensor, W: int) -> Tensor:
    """The window as a ring of W places that begins full of zeros."""
    N, E = q.shape
    zeros = torch.zeros(W - 1, E)
    keys, values = torch.cat((zeros, k)), torch.cat((zeros, v))
    mask = visible(N + W - 1, W)[W - 1 :]
    return near(q, keys, values, mask, 1 / math.sqrt(E))
