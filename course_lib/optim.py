"""Who moves the weights, and how far: parameter groups, AdamW, Muon, and the learning rate's course."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.config import TrainConfig
from course_lib.errors import CourseError
from course_lib.quick_start import AdamW, without_compiler
from course_lib.row_adam import RowAdam


def lr_at(
    step: int,
    *,
    max_lr: float,
    min_lr: float = 0.0,
    warmup_steps: int = 0,
    decay_steps: int,
    kind: str = "cosine",
    cooldown_steps: int | None = None,
) -> float:
    """The learning rate of ``step`` (counted from 0): a pure function.

    A linear warm-up over ``warmup_steps``; then, by ``kind``: ``constant``; ``cosine`` (Loshchilov and
    Hutter 2017) or ``linear`` down to ``min_lr`` at ``decay_steps``; or ``trapezoid``, which stays at
    ``max_lr`` and falls linearly over the last ``cooldown_steps`` (half of ``decay_steps`` by default).
    It is ``min_lr`` from ``decay_steps`` on.
    """
    if kind not in ("constant", "cosine", "linear", "trapezoid"):
        raise CourseError(f"kind should be constant, cosine, linear or trapezoid; it is {kind!r}.")
    if step < warmup_steps:
        return max_lr * (step + 1) / (warmup_steps + 1)
    if kind == "constant":
        return max_lr
    if step >= decay_steps:
        return min_lr
    start = warmup_steps
    if kind == "trapezoid":
        cooldown = decay_steps // 2 if cooldown_steps is None else cooldown_steps
        start = max(warmup_steps, decay_steps - cooldown)
    if step < start:
        return max_lr
    progress = (step - start) / max(1, decay_steps - start)  # from 0 to 1
    share = 0.5 * (1 + math.cos(math.pi * progress)) if kind == "cosine" else 1 - progress
    return min_lr + share * (max_lr - min_lr)


def scheduled_lr(config: TrainConfig, step: int) -> float:
    """`lr_at` with the settings of a run; it ends where ``decay_steps`` says, or with the run."""
    return lr_at(
        step, max_lr=config.max_lr, min_lr=config.min_lr, warmup_steps=config.warmup_steps, kind=config.schedule,
        decay_steps=config.decay_steps or config.max_steps, cooldown_steps=config.cooldown_steps,
    )  # fmt: skip


def decay_groups(named_parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups: matrices, which decay, and vectors, which do not.

    Vectors are norm gains and biases. A gain pulled toward zero would silence
    its layer; a matrix pulled toward zero only stays small.
    """
    trainable = [p for _, p in named_parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_adamw(
    model: nn.Module,
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    fused: bool | None = None,
) -> torch.optim.AdamW:
    """torch's AdamW (Loshchilov and Hutter 2019) over the groups of `decay_groups`.

    ``fused`` None takes the one-kernel form where the parameters' device has it (CPU, CUDA and MPS do).
    """
    groups = decay_groups(model.named_parameters(), weight_decay)
    return _adamw(groups, lr=lr, betas=betas, eps=eps, fused=fused)


def _adamw(groups: list[dict[str, Any]], fused: bool | None = None, **settings: Any) -> torch.optim.AdamW:
    if fused is None:
        fused = all(p.device.type in ("cpu", "cuda", "mps") for group in groups for p in group["params"])
    return AdamW(groups, fused=fused, **settings)


def _product_dtype(matrices: Tensor) -> torch.dtype:
    """bfloat16 on CUDA cards with hardware for it, float16 on older ones: all values stay near 1 or below."""
    if not matrices.is_cuda:
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(matrices.device) >= (8, 0) else torch.float16


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of each matrix near 1, keeping its directions.

    Newton-Schulz iteration with the quintic of Jordan et al. 2024 (Muon): in
    five steps it brings values that are not tiny into about 0.7 to 1.2, which
    serves as well as 1. Tiny ones grow, but stay smaller.

    Args:
        matrices: (..., R, C). On CUDA the products are in a 16-bit type,
            elsewhere in float32.
    """
    x = matrices.float()
    tall = x.shape[-2] > x.shape[-1]
    if tall:  # the products below are R x R: make R the short side
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # all singular values at most 1
    x = x.to(_product_dtype(matrices))  # not before: float16 would lose a small gradient and overflow on a large one
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


@functools.cache
def _compiled_orthogonalize() -> Callable[[Tensor], Tensor]:
    """`orthogonalize` as few kernels; compiled once for each shape, of which a model has four or five."""
    return torch.compile(orthogonalize, dynamic=False)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized: every direction of a matrix moves by about the same amount.

    For hidden matrices only. Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers".
    ``torch.optim.Muon`` is the same rule for one matrix at a time. This one takes all matrices of one shape
    through the iteration together, and a group's ``splits`` says how many matrices, stacked by rows, make up each
    parameter (3 for queries, keys and values). ``compile`` makes kernels for the iteration.
    Where its ``found_inf`` is 1 a step changes nothing (see `step_unless`).
    """

    _step_supports_amp_scaling = True  # so torch's GradScaler leaves the decision to the device

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        splits: int = 1,
        compile: bool = False,
    ) -> None:
        self._orthogonalize = _compiled_orthogonalize() if compile else orthogonalize
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, splits=splits))
        for group in self.param_groups:
            if any(p.ndim != 2 for p in group["params"]):
                raise CourseError("Muon expects matrices (two dimensions); give other weights to AdamW.")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every matrix that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for params in by_shape.values():
                self._update(params, group)
        return loss

    def _update(self, params: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Move ``params``, all of one shape (R, C)."""
        skip: Tensor | None = getattr(self, "found_inf", None)
        grads = [p.grad for p in params]
        buffers = [self._momentum_of(p) for p in params]
        if skip is not None:  # a gradient that is the momentum leaves the momentum as it is, and is finite
            grads = [torch.where(skip == 1, buffer, grad) for buffer, grad in zip(buffers, grads, strict=True)]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        directions = torch.stack(torch._foreach_lerp(grads, buffers, group["momentum"]))  # Nesterov; (N, R, C)
        rows, columns = directions.shape[1] // group["splits"], directions.shape[2]
        # (N, R, C) -> (N * splits, R / splits, C): each stacked matrix by itself
        update = self._orthogonalize(directions.view(-1, rows, columns)).view_as(directions)
        scale = math.sqrt(max(1.0, rows / columns))  # the same change of the output for any shape
        kept: float | Tensor = 1 - group["lr"] * group["weight_decay"]
        if skip is not None:
            update = update.masked_fill(skip == 1, 0.0)
            kept = torch.full_like(skip, kept).masked_fill_(skip == 1, 1.0)
        torch._foreach_mul_(params, kept)
        torch._foreach_add_(params, list(update.unbind()), alpha=-group["lr"] * scale)

    def _momentum_of(self, p: nn.Parameter) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        return state["momentum_buffer"]


without_compiler(Muon)


class OptimizerSet:
    """Several optimizers that are stepped as one; each weight belongs to exactly one of them."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)

    @property
    def _step_supports_amp_scaling(self) -> bool:
        return all(can_skip(optimizer) for optimizer in self.optimizers)

    def step(self) -> None:
        """One update of each; ``found_inf`` and ``grad_scale``, where GradScaler has put them here, are obeyed."""
        if (scale := getattr(self, "grad_scale", None)) is not None:
            grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
            torch._foreach_div_(grads, scale)
        for optimizer in self.optimizers:
            step_unless(optimizer, getattr(self, "found_inf", None))


AnyOptimizer = torch.optim.Optimizer | OptimizerSet


def can_skip(optimizer: AnyOptimizer) -> bool:
    """Whether `step_unless` can leave it to the device whether anything moves. Of Apple's GPU it is not known."""
    on_mps = any(p.device.type == "mps" for group in optimizer.param_groups for p in group["params"])
    return getattr(optimizer, "_step_supports_amp_scaling", False) and not on_mps


def step_unless(optimizer: AnyOptimizer, skip: Tensor | None) -> None:
    """One update; none where ``skip`` is 1. The device looks, and the host does not wait to know.

    Args:
        optimizer: one that `can_skip`, where ``skip`` is given.
        skip: one float32, 0 or 1, on the weights' device. torch's fused AdamW takes it by the name ``found_inf``, as
            GradScaler hands it over: weights, moments and the count of steps stay as they are.
    """
    if skip is None:
        optimizer.step()
        return
    optimizer.found_inf = skip
    try:
        optimizer.step()
    finally:
        del optimizer.found_inf


def set_lr(optimizer: AnyOptimizer, lr: float) -> None:
    """Give each group ``lr`` times its own ``lr_scale`` (1 where it has none)."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def build_optimizer(model: nn.Module, config: TrainConfig) -> AnyOptimizer:
    """The optimizer that ``config`` asks for, and `RowAdam` for tables that say ``by_rows`` (without decay).

    ``muon`` gives hidden matrices to Muon and, to AdamW without decay, the embeddings, the output layer
    (the module named ``head``) and all vectors, each with its multiple of ``max_lr``.
    """
    by_rows = [p for m in mark_tables(model, sparse=True) for p in m.parameters(recurse=False)]
    usual = _build_usual(model, config, {id(p) for p in by_rows})
    if not by_rows:
        return usual
    scaled = [{"params": by_rows, "lr_scale": config.ngram_lr_scale}]
    members = usual.optimizers if isinstance(usual, OptimizerSet) else [usual]
    return OptimizerSet([*members, RowAdam(scaled, config.max_lr, config.beta2)])


def mark_tables(model: nn.Module, sparse: bool) -> list[nn.Module]:
    """The tables that say ``by_rows``, told whether their gradients may hold the rows that were looked up alone."""
    tables = [module for module in model.modules() if getattr(module, "by_rows", False)]
    for table in tables:
        table.sparse = sparse
    return tables


def _build_usual(model: nn.Module, config: TrainConfig, besides: set[int]) -> AnyOptimizer:
    """The optimizer of all weights but those whose ids are ``besides``."""
    betas = (config.beta1, config.beta2)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad and id(p) not in besides]
    if config.optimizer == "adamw":
        return _adamw(decay_groups(named, config.weight_decay), lr=config.max_lr, betas=betas, eps=1e-8)
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    kinds: dict[str, list[nn.Parameter]] = {kind: [] for kind in ("qkv", "matrix", "embedding", "head", "vector")}
    for name, p in named:
        if id(p) in tables:
            kinds["embedding"].append(p)
        elif "head" in name.split("."):
            kinds["head"].append(p)
        elif p.ndim != 2:
            kinds["vector"].append(p)
        else:
            kinds["qkv" if name.endswith("qkv.weight") else "matrix"].append(p)
    muon = [{"params": kinds["matrix"]}, {"params": kinds["qkv"], "splits": 3}]
    scales = {"embedding": config.embedding_lr_scale, "head": config.head_lr_scale, "vector": 1.0}
    adamw = [{"params": kinds[kind], "lr_scale": scale} for kind, scale in scales.items() if kinds[kind]]
    if not any(group["params"] for group in muon):
        raise CourseError("Muon moves hidden matrices, and this model has none; use optimizer='adamw'.")
    on_card = config.compile and next(model.parameters()).is_cuda  # on a CPU it gains nothing
    return OptimizerSet([
        Muon([g for g in muon if g["params"]], config.max_lr, config.momentum, config.weight_decay, compile=on_card),
        _adamw(adamw, lr=config.max_lr, betas=betas, eps=1e-8, weight_decay=0.0),
    ])  # fmt: skip
