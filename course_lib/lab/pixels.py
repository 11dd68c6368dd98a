"""`PixelLab`: the lab on pictures. A GPT learns one kind of sprite, and its drawings sharpen while it does."""

import contextlib
import html
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import ipywidgets
import torch
from torch import Tensor
from torch.utils.data import Subset

from course_lib.corpora.sprites import KINDS
from course_lib.data import PixelRows, PixelTokenizer, SpriteDataset
from course_lib.errors import CourseError, nearest
from course_lib.lab.controls import Controls
from course_lib.lab.drawing_view import DRAWN, DrawingStrip, to_text
from course_lib.lab.lab import Lab
from course_lib.lab.readout import SPRITES, readout
from course_lib.lab.run import Trial
from course_lib.lab.sample import Sample, Writer
from course_lib.lab.scene import Scene
from course_lib.lab.session import Session
from course_lib.lab.sweep import Sweep
from course_lib.lab.telling import in_one_line
from course_lib.lab.view import Look
from course_lib.recipes import Recipe
from course_lib.recipes.drawing import DRAWER, build_drawer
from course_lib.sampling import generate, stream
from course_lib.training import Trainer
from course_lib.widgets.sliders import CHOICES

N_SPRITES, N_HELD_OUT = 400, 40
"""Of each kind: so many to learn from, and so many to be scored on."""
TEMPERATURE = 0.8
SHOWN, FOLDED = ("max_lr", "dropout", "batch_size"), ("n_layer", "n_embd", "max_steps")
PIXEL_CHOICES = CHOICES | {"batch_size": replace(CHOICES["batch_size"], meaning="how many sprites one step reads")}


def _kind_of(recipe: Recipe) -> str:
    return str(recipe.data.dataset).removeprefix(SPRITES)


def code_for(recipe: Recipe) -> str:
    """The line that trains with a recipe's settings."""
    usual = DRAWER.all_settings()
    settings = [f"{n}={v!r}" for n, v in recipe.all_settings().items() if v != usual[n] and n != "dataset"]
    return f"PixelLab({', '.join([repr(_kind_of(recipe)), *settings])}).train()"


class PixelTrial(Trial):
    """One run of a `PixelLab`."""

    unit: ClassVar[str] = "pixels"

    @property
    def kind(self) -> str:
        """Which kind of sprite it learned."""
        return _kind_of(self.recipe)

    @property
    def label(self) -> str:
        return f"run {self.number}, {self.kind}"

    @property
    def tokenizer(self) -> PixelTokenizer:  # type: ignore[override]
        return PixelTokenizer()

    def in_bits(self) -> str:
        """A pixel is a pixel: nothing has to be converted."""
        return ""

    def command(self) -> str:
        moved = "  # not the whole story: settings were moved on the way" if self.changes else ""
        return code_for(self.recipe) + moved

    def sample(self, n: int = 16, temperature: float = TEMPERATURE, seed: int = 0) -> Tensor:  # type: ignore[override]
        """``n`` drawings by the model: pictures (n, 3, 16, 16) from 0 to 1."""
        prompt = torch.full((n, 1), self.tokenizer.class_id(self.kind))
        ids = generate(self.model, prompt, self.tokenizer.length - 1, temperature=temperature, seed=seed)
        return self.tokenizer.decode(ids)


class SpriteWriter:
    """Lets a model draw `DRAWN` sprites at once, in between two steps of its training, as `SampleWriter` has it write.

    ``text`` of a sample is what `to_text` makes of their ids. A drawing is whole, however long it takes: with a part of
    it one sees nothing.
    """

    def __init__(self, trial: Trial) -> None:
        assert isinstance(trial, PixelTrial)
        self._model, self._length = trial.model, trial.tokenizer.length
        self._prompt = torch.full((DRAWN, 1), trial.tokenizer.class_id(trial.kind))
        self.text = ""

    def fits(self, seconds: float) -> bool:
        """Any time is enough; see above."""
        return True

    def write(
        self, step: int, length: int = 0, seconds: float = math.inf, stopped: Callable[[], bool] = lambda: False
    ) -> Sample | None:
        """Draw; where ``stopped`` says so after a pixel, it is given up, and None is what comes."""
        self.text = to_text(self._prompt.T)
        pixels = stream(self._model, self._prompt, self._length - 1, TEMPERATURE, seed=0)
        with contextlib.closing(pixels) as ids:
            for pixel in ids:  # (DRAWN, 1)
                self.text += to_text(pixel.T)
                if stopped():
                    return None
        return Sample(step, self.text)


class PixelSession(Session):
    """A run of a `PixelLab`, from the press of a button to its end.

    Args:
        build: makes the trainer.
    """

    kind_of_run = PixelTrial

    def __init__(self, build: Callable[[Recipe], Trainer], recipe: Recipe, *about: Any) -> None:
        super().__init__(recipe, None, *about)
        self._build_drawer = build

    def _build(self) -> Trainer:
        return self._build_drawer(self.recipe)

    def _new_writer(self, run: Trial) -> Writer:
        return SpriteWriter(run)


class PixelLab(Lab):
    """Choose a kind of sprite, press Start, and watch a GPT's drawings of it sharpen, pixel by pixel.

    >>> lab = PixelLab("ghost")                        # doctest: +SKIP
    >>> lab                                            # the lab, as the last line of a cell
    >>> run = lab.train()                              # or in a cell: trains with the sliders' values
    >>> PixelLab("heart", batch_size=16).train()       # without sliders: settings by name

    It is `Lab` in all but what it learns and shows. Everything that `Lab` says of ``start``, ``train``, ``runs`` and of
    torch's random numbers holds. The model is that of `DRAWER`, and learns from `N_SPRITES` plain sprites of the kind.

    Args:
        kind: one of ``course_lib.corpora.sprites.KINDS``; the menu offers the others.
        live: as for `Lab`.
        settings: of the recipe, such as ``max_steps=100``.

    Raises:
        CourseError: for a kind or a setting that there is not.
    """

    def __init__(self, kind: str = "ghost", live: bool | None = None, **settings: Any) -> None:
        if kind not in KINDS:
            raise in_one_line(CourseError(f"There is no kind of sprite {kind!r}: {nearest(str(kind), KINDS)}"))
        super().__init__(DRAWER.replace(dataset=SPRITES + kind, **settings), live)

    def command(self) -> str:
        """The line of Python that trains with the sliders' values."""
        return code_for(self.recipe)

    def sweep(self, setting: str = "max_lr") -> Sweep:
        """There is none on pictures."""
        raise in_one_line(CourseError(
            "A sweep trains on texts alone. To compare rates here, move the slider and press Start again: runs stay in "
            "the chart."
        ))  # fmt: skip

    def _read(self) -> dict[str, int]:
        all_kinds = len(KINDS)
        self._rows = PixelRows(SpriteDataset(all_kinds * N_SPRITES, plain=True))
        self._held_out = PixelRows(SpriteDataset(all_kinds * N_HELD_OUT, part="held_out", plain=True))
        self._vocab_size = self._rows.tokenizer.vocab_size
        self._look = Look(lambda key: DrawingStrip(self._rows, has_chart=True), self._still, "pixel")
        pixels = self._rows.ids.shape[1] - 1
        return {"train": N_SPRITES * pixels, "val": N_HELD_OUT * pixels}

    def _still(self, scene: Scene) -> str:
        strip = DrawingStrip(self._rows)
        strip.show(scene.samples, scene.sample, scene.is_growing)
        return strip.value

    def _new_controls(self, longest: int) -> Controls:
        options = [(kind, SPRITES + kind) for kind in KINDS]
        look = {"style": {"description_width": "initial"}, "layout": {"width": "auto"}}
        menu = ipywidgets.Dropdown(options=options, value=self._start.data.dataset, description="class", **look)
        menu.add_class("course-lab-dataset")
        return Controls(
            self._start, self.describe, SHOWN, FOLDED, moved=self._moved, choices=PIXEL_CHOICES, menus={"dataset": menu}
        )

    def _build(self, recipe: Recipe) -> Trainer:
        return build_drawer(recipe, *(_only(rows, _kind_of(recipe)) for rows in (self._rows, self._held_out)))

    def _session(self, recipe: Recipe, watch: Callable[[], None], *about: Any) -> Session:
        return PixelSession(self._build, recipe, watch, self._last_number, *about)

    def _readout(self, recipe: Recipe, lines: Mapping[str, float] | None) -> str:
        again = f"The run to come, in a cell: <code>{html.escape(code_for(recipe))}</code>"
        colors = self._vocab_size - len(KINDS)
        nothing = (
            f"Of the {self._vocab_size} tokens {len(KINDS)} name a class, and a pixel is never one of those: the line "
            f"at ln {self._vocab_size} is the loss of a model that does not even know that. One that knows it, and no "
            f"more, loses ln {colors} = {math.log(colors):.2f}."
        )
        words = readout(recipe, self._vocab_size, self._forecaster, again, lines, ("sprites", "pixels"))
        return words + f"<div style='line-height: 1.45'>{nothing}</div>"

    def _lines(self, recipe: Recipe) -> dict[str, float]:
        """How well the best reader could do is not known of sprites."""
        return {}


def _only(rows: PixelRows, kind: str) -> Subset[tuple[Tensor, Tensor]]:
    """The rows of one kind."""
    chosen = rows.ids[:, 0] == rows.tokenizer.class_id(kind)
    return Subset(rows, chosen.nonzero()[:, 0].tolist())
