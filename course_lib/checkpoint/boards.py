"""Where else the rows of a run's log go: TensorBoard's files, Weights & Biases. Both packages are extras."""

import json
from pathlib import Path
from typing import Any, Protocol

from course_lib.config import TrainConfig
from course_lib.errors import CourseError


class Board(Protocol):
    """What takes a run's numbers besides ``metrics.jsonl``."""

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """The numbers of a step; a second time for the same step there are more of them."""

    def flush(self) -> None:
        """See to it that what came so far is kept."""

    def close(self) -> None:
        """Nothing more comes."""


def need_boards(config: TrainConfig) -> None:
    """CourseError where a board is asked for whose package is not installed."""
    if config.tensorboard:
        tensorboard_writer()
    if config.wandb:
        wandb_package()


def boards_for(config: TrainConfig, run_dir: Path, purge_step: int) -> list[Board]:
    """The boards that ``config`` asks for, open; what TensorBoard has of ``purge_step`` and later is void."""
    boards: list[Board] = [TensorBoard(run_dir, purge_step)] if config.tensorboard else []
    return [*boards, WandB(run_dir, config.wandb_project, config.wandb_run_name)] if config.wandb else boards


class TensorBoard:
    """Event files in the run's ``tensorboard`` folder."""

    def __init__(self, run_dir: Path, purge_step: int) -> None:
        self._writer = tensorboard_writer()(run_dir / "tensorboard", purge_step=purge_step)

    def write(self, step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run at Weights & Biases, with all settings of ``config.json``; a new one each time that the run goes on."""

    def __init__(self, run_dir: Path, project: str, name: str | None) -> None:
        settings = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
        package = wandb_package()
        try:
            self._run = package.init(project=project, name=name or run_dir.name, config=settings, dir=str(run_dir))
        except Exception as error:  # of classes that only the package has
            raise CourseError(
                f"Weights & Biases began no run ({error}). Log in (wandb login), set WANDB_MODE=offline to keep it on "
                "this disk, or set wandb to false."
            ) from error

    def write(self, step: int, numbers: dict[str, float]) -> None:
        self._run.log(numbers, step=step)

    def flush(self) -> None:
        """It sends by itself."""

    def close(self) -> None:
        self._run.finish()


def tensorboard_writer() -> Any:
    """The class that writes TensorBoard's files; CourseError where its package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise CourseError("tensorboard=true needs the package: pip install tensorboard (or leave it false).") from error
    return SummaryWriter


def wandb_package() -> Any:
    """Weights & Biases; CourseError where its package is not installed."""
    try:
        import wandb
    except ImportError as error:
        raise CourseError("wandb=true needs the package: pip install wandb (or leave it false).") from error
    return wandb
