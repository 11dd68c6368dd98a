"""A look into an AGIFORMER's thinking: how far each step moves the latents, how open the gates are, and a verdict."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.models.agiformer.model import AGIFormer
from course_lib.models.mode import evaluating

DORMANT, UNSTABLE = 2**-8, 10.0
"""Between these a relative movement is that of active thinking; see `judge`."""
ORIGINAL_DORMANT, ORIGINAL_UNSTABLE = 0.01, 10.0
"""The same for the original's measure, which is the movement itself (inspect_reasoning.py, commit f82263e)."""
SHUT, OPEN = 0.01, 0.99
"""Gates below and above are as good as shut and open."""
MATRICES = ("think_mlp.0.weight", "think_mlp.2.weight", "gate.weight", "halt.weight")

Word = Literal["off", "dormant", "active", "unstable"]


@dataclass(frozen=True)
class Gates:
    """One step's gates, C of them for each patch that takes the step: all three are from 0 to 1."""

    mean: float
    shut: float
    """The share that is below 0.01."""
    open: float
    """The share that is above 0.99."""


@dataclass(frozen=True, eq=False)
class Movement:
    """How far thinking moves the latents of (B, N) patches: z_0 came in, z_k is there after step k, z_out goes out.

    K is the number of steps of the patch that took the most; without thinking it is 0. All is on the CPU.
    """

    absolute: Tensor
    """||z_k - z_{k-1}||, (K, B, N); 0 where a patch has halted."""
    relative: Tensor
    """The same as a share of ||z_{k-1}||, (K, B, N)."""
    total: Tensor
    """||z_out - z_0||, (B, N). Of adaptive thinking z_out is the mean of the states, weighted by the halting gate."""
    total_relative: Tensor
    """The same as a share of ||z_0||, (B, N)."""
    before: Tensor
    """||z_0||, (B, N)."""
    steps: Tensor
    """How many steps each patch took, (B, N) int64."""
    gates: tuple[Gates, ...]
    """Of each of the K steps."""

    def of_step(self, number: int) -> tuple[float, float, float]:
        """Of step ``number``, from 1: the means of `absolute` and `relative` over patches that took it; their share."""
        took = self.steps >= number
        means = (of[number - 1][took].mean().item() for of in (self.absolute, self.relative))
        return *means, took.double().mean().item()

    def farthest(self, most: int = 5, row: int = 0) -> list[int]:
        """The patches of one text with the largest relative movement, that first; of equals the earlier one.

        A movement that is not a number counts as the largest.
        """
        shares = self.total_relative[row].nan_to_num(nan=math.inf, posinf=math.inf)
        return shares.sort(descending=True, stable=True).indices[:most].tolist()


@torch.no_grad()
def movement(model: nn.Module, idx: Tensor) -> Movement:
    """How far ``model``'s latents move on a text: at patch n once it has been read, for what patch n + 1 will be.

    The model is left as it is, and so is the random generator: nothing is dropped out.

    Args:
        model: an `AGIFormer`, on any device.
        idx: (B, T) whole numbers, bytes. Those after the last whole patch are not thought about, and left out.

    Raises:
        CourseError: for another model, for what is no bytes, and for a text without a whole patch.
    """
    model = need_agiformer(model)
    bytes_read = _need_patches(idx, model.config.patch_size).to(model.norm_f.weight.device)
    thinking = model.reasoning
    with evaluating(model):
        z = first = model.intuition(bytes_read)
        out, steps = None, torch.full(z.shape[:2], thinking.steps, device=z.device)
        if thinking.halt is not None and thinking.steps:  # not `forward`, which would forget the ponder cost
            out, taken, _ = thinking.adaptive(z)
            steps = taken.squeeze(-1).long()
        absolute, relative, gates = [], [], []
        for number in range(1, int(steps.max()) + 1):
            took = steps >= number
            gates.append(_gates(torch.sigmoid(thinking.gate(thinking.norm(z)))[took]))
            moved = thinking.step(z)
            absolute.append(torch.where(took, _length(moved - z), 0.0))
            relative.append(_share(absolute[-1], _length(z)))
            z = moved
    before, total = _length(first), _length((z if out is None else out) - first)
    none = total.new_zeros((0, *total.shape))
    per_step = (torch.stack(some) if some else none for some in (absolute, relative))
    return Movement(*(x.cpu() for x in (*per_step, total, _share(total, before), before, steps)), tuple(gates))


def need_agiformer(model: nn.Module) -> AGIFormer:
    """``model``, if it is one that thinks in patches; CourseError for any other."""
    if not isinstance(model, AGIFormer):
        raise CourseError(f"Expected is an AGIFormer, to look into its thinking; it is a {type(model).__name__}.")
    return model


def _need_patches(idx: Tensor, patch_size: int) -> Tensor:
    if not isinstance(idx, Tensor) or idx.ndim != 2 or idx.is_floating_point() or idx.dtype == torch.bool:
        shown = f"{idx.dtype} {tuple(idx.shape)}" if isinstance(idx, Tensor) else type(idx).__name__
        raise CourseError(f"idx should be (B, T) whole numbers, the bytes of B texts; it is {shown}.")
    if idx.numel() and not 0 <= int(idx.min()) <= int(idx.max()) <= 255:
        raise CourseError(f"idx should be bytes, from 0 to 255; it goes from {int(idx.min())} to {int(idx.max())}.")
    whole = idx.shape[1] // patch_size * patch_size
    if not (len(idx) and whole):
        raise CourseError(
            f"Thinking begins with a whole patch, of {patch_size} bytes; there are {len(idx)} x {idx.shape[1]} bytes. "
            "Give a longer text."
        )
    return idx[:, :whole].long()


def _length(z: Tensor) -> Tensor:
    return z.norm(dim=-1)


def _share(moved: Tensor, length: Tensor) -> Tensor:
    """``moved / length``, and 0 where nothing has moved at all."""
    return torch.where(moved == 0, moved, moved / length)


def _gates(gates: Tensor) -> Gates:
    shares = (gates, gates < SHUT, gates > OPEN)
    return Gates(*(share.float().mean().item() for share in shares))


# ---- weights ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matrix:
    """A matrix of the thinking part."""

    name: str
    shape: tuple[int, int]
    std: float
    """The standard deviation of its weights."""
    norm: float
    """Its spectral norm, the most by which it lengthens a vector; NaN where a weight is not finite."""


@dataclass(frozen=True)
class Weights:
    """The weights with which an AGIFORMER thinks."""

    matrices: tuple[Matrix, ...]
    gate_bias: tuple[float, float, float]
    """Mean, lowest, highest: a gate with nothing to go by is open by sigmoid(bias), half at 0."""


@torch.no_grad()
def weights(model: nn.Module) -> Weights:
    """The spread and the size of each matrix of the thinking part, and the gate's bias.

    Raises:
        CourseError: for another model than an `AGIFormer`.
    """
    thinking = need_agiformer(model).reasoning
    named = {name: p.cpu().double() for name, p in thinking.named_parameters()}
    matrices = []
    for name in MATRICES:
        if name in named:
            w = named[name]
            norm = torch.linalg.matrix_norm(w, ord=2).item() if w.isfinite().all() else math.nan
            matrices.append(Matrix(name, tuple(w.shape), w.std(correction=0).item(), norm))
    bias = named["gate.bias"]
    return Weights(tuple(matrices), (bias.mean().item(), bias.min().item(), bias.max().item()))


# ---- the verdict -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What thinking comes to, in a word; why, in a sentence; and in which word by the original's measure."""

    word: Word
    reason: str
    original: Word


def judge(found: Movement) -> Verdict:
    """Thinking is off, dormant, active or unstable, by the mean relative movement ||z_out - z_0|| / ||z_0||.

    The original judges by the movement itself, which grows with the width, as `norm_f` hands out latents of a length
    of about sqrt(C). The same share of a latent, 0.6, is then a movement of 7 at C = 128 and one of 17 at C = 768,
    which would be unstable.

    Under 2**-8 thinking is dormant: bf16, in which cards compute, rounds each number of a latent by up to that share.
    Over 10 it is unstable: what goes out is thinking nearly alone, and no refined latent. What is not finite is
    unstable, too. The original's limits are 0.01 and 10, of the movement itself.
    """
    share, moved = found.total_relative.double().mean().item(), found.total.double().mean().item()
    original = _word(moved, ORIGINAL_DORMANT, ORIGINAL_UNSTABLE)
    if not len(found.absolute):
        return Verdict("off", "It takes no thinking steps, so latents go out as they came in.", original)
    if not math.isfinite(share):
        early = not found.before.isfinite().all()
        when = "before it thinks, so the fault is in the blocks" if early else "once it has thought"
        return Verdict("unstable", f"Some latents are not finite {when}.", original)
    word = _word(share, DORMANT, UNSTABLE)
    means = {
        "dormant": f"under {DORMANT:.4f}, which is lost where bf16 rounds: the latent goes out as it came in",
        "active": f"from {DORMANT:.4f} to {UNSTABLE:g}: the latent is refined, and not replaced",
        "unstable": f"over {UNSTABLE:g}: what goes out is thinking nearly alone, and little of what came in",
    }
    return Verdict(word, f"On average a latent moves by {share:.4g} of its length, {means[word]}.", original)


def _word(mean: float, dormant: float, unstable: float) -> Word:
    if not math.isfinite(mean) or mean > unstable:
        return "unstable"
    return "dormant" if mean < dormant else "active"
