"""Adam for tables of which a step touches few rows."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.quick_start import without_compiler


@without_compiler
class RowAdam(torch.optim.Optimizer):
    """Adam for the rows that a step has touched, with one number of memory a row; the others stay as they are.

    The mean of squared gradients (Kingma and Ba 2015) is that of all entries of a row together, as large embeddings are
    trained elsewhere (Gupta et al. 2014, Naumov et al. 2019). There is no mean of gradients: a row that comes up once
    in fifty steps would get to see a fifth of its gradient, and the rest never. The count of steps is the table's: a row
    that comes up late begins with a step 1 / sqrt(1 - beta2) times as long as the table's first ones.

    A gradient may be sparse or dense; of a dense one, rows that are all zero count as not touched. Where its
    ``found_inf`` is 1 a step changes nothing (see `course_lib.optim.step_unless`).
    """

    _step_supports_amp_scaling = True  # so torch's GradScaler leaves the decision to the device

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, beta2: float = 0.95, eps: float = 1e-8) -> None:
        # By the word "capturable" torch puts the count of steps, when it is loaded, back to where the weights are.
        super().__init__(params, dict(lr=lr, beta2=beta2, eps=eps, capturable=True))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every table (R, C) that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)
        return loss

    def _update(self, p: nn.Parameter, group: dict[str, Any]) -> None:
        state = self._state_of(p)
        skip: Tensor | None = getattr(self, "found_inf", None)
        state["step"] += 1 if skip is None else 1 - skip
        rows, grad = touched_rows(p.grad)
        square = grad.square().mean(dim=1, keepdim=True)  # (touched, 1)
        before = state["row_avg_sq"] if rows is None else state["row_avg_sq"][rows]
        now = torch.where(square > 0, torch.lerp(square, before, group["beta2"]), before)
        unbiased = now / (1 - group["beta2"] ** state["step"])
        update = grad / (unbiased.sqrt() + group["eps"])
        if skip is not None:
            now, update = torch.where(skip == 1, before, now), update.masked_fill(skip == 1, 0.0)
        if rows is None:
            state["row_avg_sq"].copy_(now)
            p.add_(update, alpha=-group["lr"])
        else:
            state["row_avg_sq"][rows] = now
            p.index_add_(0, rows, update, alpha=-group["lr"])

    def _state_of(self, p: nn.Parameter) -> dict[str, Tensor]:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros((), device=p.device)
            state["row_avg_sq"] = p.new_zeros(len(p), 1)
        return state


def touched_rows(grad: Tensor) -> tuple[Tensor | None, Tensor]:
    """Which rows a gradient (R, C) is of, each once, and its values there; None and all of it where it is dense."""
    if not grad.is_sparse:
        return None, grad
    grad = grad.coalesce()
    return grad.indices()[0], grad.values()
