"""``course train``: a recipe, or a run to go on with."""

import ast
import dataclasses
import itertools
import math
from pathlib import Path
from typing import Annotated, Any

import tyro

from course_lib import config
from course_lib.cli.parse import parse
from course_lib.config import TrainConfig
from course_lib.data.corpus import own_path, short_name
from course_lib.errors import CourseError
from course_lib.paths import user_path
from course_lib.recipes import Recipe, load_recipe, names, setting_fields

ALIASES = {"learning_rate": "max_lr", "max_iters": "max_steps", "gradient_accumulation_steps": "grad_accum"}
"""Names that people bring from other training scripts, and the course's own."""
DEFAULT_RECIPE = "shakespeare_char_cpu"
"""How one's own text is trained on where no recipe is named: a small model, by characters, half a minute long."""


def _form(defaults: dict[str, Any], extra: list[tuple[str, Any, dataclasses.Field]]) -> type:
    """A dataclass with one field per setting, the help texts taken from where the settings are defined."""
    fields: list[tuple[str, Any, dataclasses.Field]] = []
    texts = _help_texts()
    for name, default in defaults.items():
        kind = setting_fields()[name].type
        if default is None:
            kind = kind | None  # not given: as it was
        kind = Annotated[kind, tyro.conf.arg(help=texts[name])]  # type: ignore[valid-type]
        fields.append((name, kind, dataclasses.field(default=default)))
    return dataclasses.make_dataclass("Settings", [*extra, *fields], kw_only=True)


def _help_texts() -> dict[str, str]:
    """Each setting's text: the string that stands under its field in `course_lib.config`."""
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    texts: dict[str, str] = {}
    for body in (node.body for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[field.target.id] = text.value.value  # type: ignore[union-attr]
    return texts


def _text_field(help_text: str, default: Any = None) -> tuple[Any, dataclasses.Field]:
    return Annotated[str | None, tyro.conf.arg(help=help_text)], dataclasses.field(default=default)


def train(args: list[str]) -> None:
    """Train a model by a recipe, or go on with a run: train RECIPE [--setting value] | train --resume RUN."""
    from course_lib.device import joined_world

    resume = any(arg == "--resume" or arg.startswith("--resume=") for arg in args)
    prog, defaults, extra, recipe = "course train --resume RUN", dict.fromkeys(TrainConfig.names()), [], None
    if resume:
        which = _text_field("The save to start from: last, best or a number of steps.", "last")
        extra = [
            ("resume", *_text_field("The run to go on with: a folder, or its name under runs/.")),
            ("which", *which),
        ]
        description = "Go on with a run. Settings that are given differ from now on; the others stay as they were."
    else:
        recipe, args = _take_recipe(args)
        prog, defaults = f"course train {recipe.name}", recipe.all_settings()
        extra = [("out_dir", *_text_field("The folder for the run; by default runs/RECIPE-DATE-TIME."))]
        description = f"Train by the recipe {recipe.name}. The defaults shown are the recipe's."
    settings = dataclasses.asdict(parse(_form(defaults, extra), args, prog, description, ALIASES))
    wanted = settings.get("device") or "auto"
    with joined_world(wanted):
        if recipe is None:
            _resume(settings)
        else:
            _start(recipe, settings)


def _take_recipe(args: list[str]) -> tuple[Recipe, list[str]]:
    """The recipe, the first word that is no flag, and what is left. One's own text takes the default recipe."""
    if args and not args[0].startswith("-"):
        if own_path(args[0]) is not None:
            return load_recipe(DEFAULT_RECIPE).replace(dataset=args[0]), args[1:]
        return load_recipe(args[0]), args[1:]
    if not args or args[0] in ("-h", "--help"):
        print(
            "usage: course train RECIPE [--setting value ...]\n"
            f"       course train text:PATH [--setting value ...]     your own text, by the recipe {DEFAULT_RECIPE}\n"
            "       course train --resume RUN [--setting value ...]\n"
        )
        print("recipes (course train RECIPE --help shows the settings):\n  " + "\n  ".join(names()))
        raise SystemExit(0)
    raise CourseError(f"course train expects a recipe first ({', '.join(names())}); it got {args[0]!r}.")


def _start(recipe: Recipe, settings: dict[str, Any]) -> None:
    from course_lib.recipes.build import build_trainer, new_run_dir, val_bytes_per_token
    from course_lib.recipes.remarks import remarks

    out_dir = settings.pop("out_dir")
    changed = {name: value for name, value in settings.items() if value != recipe.all_settings()[name]}
    recipe = recipe.replace(**changed)
    dataset = recipe.data.dataset
    if out_dir is None:
        out_dir = new_run_dir(recipe.name if own_path(dataset) is None else short_name(dataset))
    trainer = build_trainer(recipe, user_path(out_dir))
    if trainer.world.is_main:
        for line in remarks(trainer):
            print(line)
    drive(trainer, val_bytes_per_token(recipe.data, trainer.tokenizer))


def _resume(settings: dict[str, Any]) -> None:
    from course_lib import checkpoint
    from course_lib.recipes.build import resume_trainer, val_bytes_per_token

    run, which = settings.pop("resume"), settings.pop("which")
    changes = {name: value for name, value in settings.items() if value is not None}
    trainer = resume_trainer(run, int(which) if which.isdigit() else which, **changes)
    about, tokenizer = checkpoint.read_config(trainer.run_dir)
    drive(trainer, val_bytes_per_token(about.data, tokenizer))


def drive(trainer: Any, bytes_per_token: float) -> None:
    """Run a trainer to its end in a terminal: a progress bar, a line per evaluation, Ctrl-C."""
    from course_lib.progress import progress_bar
    from course_lib.training import stopping_on_signals

    main = trainer.world.is_main
    if main:
        print(_opening(trainer), flush=True)
    silent = {} if main else {"disable": True}
    bar = progress_bar(total=trainer.config.max_steps, initial=trainer.step, unit="step", smoothing=0.1, **silent)
    say = bar.write if main else lambda text: None
    with bar, stopping_on_signals(trainer, say):
        for record in trainer:
            bar.update()
            if record.train_loss is not None:
                bar.set_postfix_str(f"loss {record.train_loss:.3f}", refresh=False)
            if record.val_loss is not None:
                say(_line(trainer, record))
    if main:
        print(_closing(trainer, bytes_per_token))


def _opening(trainer: Any) -> str:
    c, model, data = trainer.config, trainer.model, trainer.batches
    return "\n".join([
        *trainer.compute.reasons,
        f"{model.num_parameters():,} weights; vocabulary {model.config.vocab_size}; ln V = "
        f"{math.log(model.config.vocab_size):.3f} nats is the loss of knowing nothing",
        f"{len(data.tokens):,} training tokens; {data.tokens_per_step:,} per step; {c.max_steps} steps"
        + (f", from step {trainer.step}" if trainer.step else ""),
        f"run: {trainer.run_dir}",
    ])  # fmt: skip


def _line(trainer: Any, record: Any) -> str:
    train_loss = f"{record.train_loss:.4f}" if record.train_loss is not None else "  -   "
    return (
        f"step {record.step + 1:>6}  train {train_loss}  val {record.val_loss:.4f}  lr {record.lr:.2e}  "
        f"{record.seconds:7.1f} s" + ("  best" if record.best else "")
    )


def _closing(trainer: Any, bytes_per_token: float) -> str:
    from course_lib.losses import bits_per_byte

    lines = []
    if math.isfinite(trainer.best_val_loss):
        part = "the whole validation split" if trainer.config.eval_batches is None else "part of the validation split"
        speed = trainer.tokens / trainer.seconds if trainer.seconds else 0
        bpb = bits_per_byte(trainer.best_val_loss, 1, bytes_per_token)
        lines.append(f"best: {trainer.best_val_loss:.4f} nats per token ({bpb:.3f} bits per byte) on {part}")
        lines.append(f"speed: {speed:,.0f} tokens per second, evaluations included")
    if trainer.step < trainer.config.max_steps:
        lines.append(f"stopped after {trainer.step} steps; go on with: course train --resume {trainer.run_dir}")
    lines.append(f"sample from it with: course sample {trainer.run_dir}")
    return "\n".join(lines)
