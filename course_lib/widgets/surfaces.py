"""Loss surfaces over two weights, and optimizers that race down them: torch's own, with gradients from autograd."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Point = tuple[float, float]
Form = Callable[[Tensor, Tensor], Tensor]
"""The loss of two weights; both may be tensors of any one shape."""

FAR = 20.0
"""A path that leaves the picture by so many of its widths has diverged, and ends."""
NEAR = 0.02
"""Within this share of the picture's width a path counts as having arrived."""


@dataclass(frozen=True)
class Surface:
    """A loss over two weights and what belongs to it.

    Args:
        form: narrow, turn (radians) -> the loss as a function of x and y; most surfaces ignore both.
        start: where a race begins.
        window: what is shown: lowest x, highest x, lowest y, highest y.
        bottoms: the places where a valley is lowest.
        lrs: learning rates to begin with: of SGD and momentum, of Adam and AdamW.
        steps: how long a race to begin with.
    """

    form: Callable[[float, float], Form]
    start: Point
    window: tuple[float, float, float, float]
    bottoms: tuple[Point, ...]
    lrs: tuple[float, float]
    steps: int = 100

    @property
    def width(self) -> float:
        return self.window[1] - self.window[0]


def _ravine(narrow: float, turn: float) -> Form:
    """½(a² + narrow · b²), where a and b are x and y turned by an angle: along the ravine, and across it."""
    cos, sin = math.cos(turn), math.sin(turn)
    return lambda x, y: 0.5 * ((cos * x + sin * y) ** 2 + narrow * (cos * y - sin * x) ** 2)


def _rosenbrock(narrow: float, turn: float) -> Form:
    """Rosenbrock 1960: a bent valley that is easy to find and slow to follow."""
    return lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _saddle(narrow: float, turn: float) -> Form:
    """Down toward the middle from left and right, and from there down again, up and down the page."""
    return lambda x, y: 0.5 * x**2 + 0.25 * (y**2 - 1) ** 2


def _two_valleys(narrow: float, turn: float) -> Form:
    """A shallow valley on the right, a deeper one on the left, and a hill between them."""
    return lambda x, y: (x**2 - 1) ** 2 + 0.3 * x + y**2


SURFACES: dict[str, Surface] = {
    "ravine": Surface(_ravine, (-3.5, 1.5), (-4.0, 4.0, -2.5, 2.5), ((0.0, 0.0),), (0.03, 0.3)),
    "Rosenbrock's valley": Surface(_rosenbrock, (-1.2, 1.0), (-2.0, 2.0, -1.0, 2.0), ((1.0, 1.0),), (0.002, 0.2), 400),
    "saddle": Surface(_saddle, (-1.5, 0.002), (-2.0, 2.0, -1.6, 1.6), ((0.0, 1.0), (0.0, -1.0)), (0.1, 0.1)),
    "two valleys": Surface(
        _two_valleys, (1.8, 0.6), (-2.0, 2.0, -1.2, 1.2), ((-1.035579, 0.0), (0.960149, 0.0)), (0.03, 0.1)
    ),
}

NAMES = ("SGD", "momentum", "Adam", "AdamW")


@dataclass(frozen=True)
class Setting:
    """What the sliders say. ``lr`` is SGD's; momentum, Adam and AdamW have rates of their own.

    Momentum's rate is SGD's where it is None, and AdamW's is Adam's.
    """

    surface: str = "ravine"
    start: Point = SURFACES["ravine"].start
    narrow: float = 20.0
    turn: float = 0.0
    """How far the ravine is turned against the axes, in degrees."""
    lr: float = SURFACES["ravine"].lrs[0]
    momentum_lr: float | None = None
    adam_lr: float = SURFACES["ravine"].lrs[1]
    adamw_lr: float | None = None
    beta1: float = 0.9
    """Momentum's mu too."""
    beta2: float = 0.99
    weight_decay: float = 0.0
    """AdamW's; at 0 it is Adam."""
    steps: int = 100

    @property
    def rates(self) -> dict[str, float]:
        """Each optimizer's learning rate."""
        momentum = self.lr if self.momentum_lr is None else self.momentum_lr
        adamw = self.adam_lr if self.adamw_lr is None else self.adamw_lr
        return dict(zip(NAMES, (self.lr, momentum, self.adam_lr, adamw), strict=True))

    @property
    def form(self) -> Form:
        return SURFACES[self.surface].form(self.narrow, math.radians(self.turn))


def turned(point: Point, degrees: float) -> Point:
    """A point after a turn about (0, 0): where the ravine's own point comes to when the ravine is turned."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return cos * point[0] - sin * point[1], sin * point[0] + cos * point[1]


@dataclass(frozen=True)
class Path:
    """The way of one optimizer: its points and their losses, the start first. It is cut off where it diverges."""

    points: list[Point]
    losses: list[float]
    diverged: bool

    def arrival(self, bottoms: Iterable[Point], near: float) -> int | None:
        """After how many steps it has come within ``near`` of one of ``bottoms`` for good; None where it has not."""
        for bottom in bottoms:
            if not self.diverged and math.dist(self.points[-1], bottom) <= near:
                away = (i for i in range(len(self.points) - 1, -1, -1) if math.dist(self.points[i], bottom) > near)
                return next(away, -1) + 1
        return None


def optimizers(setting: Setting) -> Mapping[str, Callable[[list[Tensor]], torch.optim.Optimizer]]:
    """By name, what makes the optimizer for a weight."""
    rates, betas = setting.rates, (setting.beta1, setting.beta2)
    plain: dict[str, Any] = dict(foreach=False)
    decay = setting.weight_decay
    return {
        "SGD": lambda weights: torch.optim.SGD(weights, lr=rates["SGD"], **plain),
        "momentum": lambda weights: torch.optim.SGD(weights, lr=rates["momentum"], momentum=setting.beta1, **plain),
        "Adam": lambda weights: torch.optim.Adam(weights, lr=rates["Adam"], betas=betas, **plain),
        "AdamW": lambda weights: torch.optim.AdamW(
            weights, lr=rates["AdamW"], betas=betas, weight_decay=decay, **plain
        ),
    }


def race(setting: Setting) -> dict[str, Path]:
    """Each optimizer's path from the start, by name."""
    return {name: _run(setting, build) for name, build in optimizers(setting).items()}


def _run(setting: Setting, build: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Path:
    surface, form = SURFACES[setting.surface], setting.form
    weight = torch.tensor(setting.start, dtype=torch.float64, requires_grad=True)
    optimizer = build([weight])
    points: list[Point] = []
    losses: list[float] = []
    with torch.enable_grad():
        for step in range(setting.steps + 1):
            x, y = weight.tolist()
            loss = form(*weight)
            if not math.isfinite(loss.item()) or math.hypot(x, y) > FAR * surface.width:
                return Path(points, losses, diverged=True)
            points.append((x, y))
            losses.append(loss.item())
            if step < setting.steps:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return Path(points, losses, diverged=False)


def height(setting: Setting, size: int = 120) -> tuple[Tensor, Tensor, Tensor]:
    """A grid's places, x (size,) and y (size,), and how far above the lowest the loss is at each, (size, size)."""
    surface, form = SURFACES[setting.surface], setting.form
    x = torch.linspace(*surface.window[:2], size, dtype=torch.float64)
    y = torch.linspace(*surface.window[2:], size, dtype=torch.float64)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")  # a row for each y
    return x, y, (form(grid_x, grid_y) - lowest(setting)).clamp(min=0.0)


def _losses_of_bottoms(setting: Setting) -> list[float]:
    return [setting.form(*torch.tensor(point, dtype=torch.float64)).item() for point in _bottoms(setting)]


def _bottoms(setting: Setting) -> tuple[Point, ...]:
    return SURFACES[setting.surface].bottoms


def lowest(setting: Setting) -> float:
    """The lowest loss of the surface."""
    return min(_losses_of_bottoms(setting))


def lowest_places(setting: Setting) -> list[Point]:
    """The bottoms that are as low as any: a saddle lies between two."""
    losses = zip(_bottoms(setting), _losses_of_bottoms(setting), strict=True)
    return [point for point, loss in losses if math.isclose(loss, lowest(setting), abs_tol=1e-9)]


def levels(heights: Tensor, count: int = 14) -> list[float]:
    """The heights at which lines are drawn: close together near the bottom."""
    top = heights.max().item()
    return [top * (i / count) ** 3 for i in range(1, count)]
