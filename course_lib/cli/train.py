"""``course train``: a recipe, or a run to go on with."""

import ast
import dataclasses
import itertools
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from course_lib.cli import telling
from course_lib.cli.parse import parse
from course_lib.cli.speed import collecting_seldom, traced
from course_lib.config import ALIASES, TrainConfig
from course_lib.config import settings as config_settings
from course_lib.data.datasets import own_path, short_name
from course_lib.errors import CourseError
from course_lib.paths import user_path
from course_lib.recipes import Recipe, load_recipe, names, setting_fields

DEFAULT_RECIPE = "shakespeare_char_cpu"
"""How one's own text is trained on where no recipe is named: a small model, by characters, half a minute long."""
MOVABLE = ("dropout",)
"""Settings of a model that may be given at a resume, besides those of TrainConfig."""


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
    """Each setting's text: the string that stands under its field in `course_lib.config.settings`."""
    tree = ast.parse(Path(config_settings.__file__).read_text(encoding="utf-8"))
    texts: dict[str, str] = {}
    for body in (node.body for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[field.target.id] = text.value.value  # type: ignore[union-attr]
    return texts


def _text_field(help_text: str, default: Any = None) -> tuple[Any, dataclasses.Field]:
    return Annotated[str | None, tyro.conf.arg(help=help_text)], dataclasses.field(default=default)


LOOKING: list[tuple[str, Any, dataclasses.Field]] = [
    (
        "speed",
        Annotated[bool, tyro.conf.arg(help="Tell tokens per second and peak memory in each line, as on a card.")],
        dataclasses.field(default=False),
    ),
    (
        "profile",
        Annotated[int | None, tyro.conf.arg(help="Write a trace of so many steps, to see where the time goes.")],
        dataclasses.field(default=None),
    ),
]
"""What changes nothing in the training."""


def train(args: list[str]) -> int:
    """Train a model by a recipe, or go on with a run: train RECIPE [--setting value] | train --resume RUN."""
    from course_lib.device import joined_world

    resume = any(arg == "--resume" or arg.startswith("--resume=") for arg in args)
    prog, extra, recipe = "course train --resume RUN", [], None
    defaults: dict[str, Any] = dict.fromkeys([*TrainConfig.names(), *MOVABLE])
    if resume:
        _refuse_what_is_fixed(args)
        which = _text_field("The save to start from: last, best or a number of steps.", "last")
        extra = [
            ("resume", *_text_field("The run to go on with: a folder, or its name under runs/.")),
            ("which", *which),
            ("dataset", *_text_field("Where the run's text is now, if it has moved; it has to be the same text.")),
        ]
        description = "Go on with a run. Settings that are given differ from now on; the others stay as they were."
    else:
        first = args[0] if args and own_path(args[0]) is not None else None
        recipe, args = _take_recipe(args)
        prog, defaults = f"course train {recipe.name if first is None else first}", recipe.all_settings()
        extra = [("out_dir", *_text_field("The folder for the run; by default runs/NAME-DATE-TIME."))]
        description = f"Train by the recipe {recipe.name}. The defaults shown are the recipe's."
    _refuse_more_words(args, resume)
    settings = dataclasses.asdict(parse(_form(defaults, [*extra, *LOOKING]), args, prog, description, ALIASES))
    if settings["profile"] is not None and settings["profile"] < 1:
        raise CourseError(f"--profile should be at least 1 step; it is {settings['profile']}.")
    wanted = settings.get("device") or "auto"
    with joined_world(wanted):
        return _resume(settings) if recipe is None else _start(recipe, settings)


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
    raise CourseError(
        f"course train expects a recipe ({', '.join(names())}) or text:PATH first, and the settings after it; it got "
        f"{args[0]!r}."
    )


def _refuse_more_words(args: list[str], resume: bool) -> None:
    """CourseError for a word that is neither a setting nor its value: mostly what a shell made of a pattern."""
    before = ""
    for arg in itertools.takewhile(lambda arg: arg != "--", args):
        if not arg.startswith("-") and (not before.startswith("--") or "=" in before):
            remedy = "Several files are a folder, text:FOLDER, or a pattern in quotes, 'text:letters/*.txt'."
            if resume:
                remedy = "The new place of a run's text is --dataset text:PATH."
            raise CourseError(f"There is a word too many: {arg!r}. {remedy}")
        before = arg


def _start(recipe: Recipe, settings: dict[str, Any]) -> int:
    from course_lib.recipes.build import build_trainer, new_run_dir, val_bytes_per_token
    from course_lib.recipes.remarks import remarks

    out_dir, *looking = (settings.pop(name) for name in ("out_dir", "speed", "profile"))
    changed = {name: value for name, value in settings.items() if value != recipe.all_settings()[name]}
    recipe = recipe.replace(**changed)
    dataset = recipe.data.dataset
    if out_dir is None:
        is_own = own_path(dataset) is not None and recipe.name in names()  # one's own recipe has a name of its own
        out_dir = new_run_dir(short_name(dataset) if is_own else recipe.name)
    trainer = build_trainer(recipe, user_path(out_dir))
    if trainer.world.is_main:
        for line in remarks(trainer):
            print(line)
    return drive(trainer, val_bytes_per_token(recipe.data, trainer.tokenizer), *looking)


def _resume(settings: dict[str, Any]) -> int:
    from course_lib import checkpoint
    from course_lib.recipes.build import resume_trainer, val_bytes_per_token
    from course_lib.training.state import dropout_of

    looking = [settings.pop(name) for name in ("speed", "profile")]
    run, which, dataset, dropout = (settings.pop(name) for name in ("resume", "which", "dataset", "dropout"))
    changes = {name: value for name, value in settings.items() if value is not None}
    trainer = resume_trainer(run, which, dataset, **changes)
    before = dropout_of(trainer.model)
    trainer.change(dropout=dropout)
    is_finished = trainer.step >= trainer.config.max_steps and trainer.owed is None
    if trainer.world.is_main:
        now = dropout_of(trainer.model)
        print(telling.finished(trainer) if is_finished else telling.resuming(trainer, (before, now)), flush=True)
    if is_finished:
        trainer.abandon()
        return 0
    about, tokenizer = checkpoint.read_config(trainer.run_dir)
    return drive(trainer, val_bytes_per_token(about.data, tokenizer), *looking)


def _refuse_what_is_fixed(args: list[str]) -> None:
    """CourseError for a setting of the model or the data, which a run keeps to its end."""
    fixed = setting_fields().keys() - {*TrainConfig.names(), *MOVABLE, "dataset"}
    for arg in itertools.takewhile(lambda arg: arg != "--", args):
        name = arg.partition("=")[0][2:].replace("-", "_")
        if arg.startswith("--") and name in fixed:
            raise CourseError(
                f"The shape and the data of a run are fixed, so --{name.replace('_', '-')} cannot change when it goes "
                "on. Leave it out, or start a new run with it: course train RECIPE"
            )


def drive(trainer: Any, bytes_per_token: float, tells_speed: bool = False, profile: int | None = None) -> int:
    """Run a trainer to its end in a terminal: a progress bar, a line per evaluation, Ctrl-C.

    Args:
        tells_speed: whether each line also tells tokens per second, MFU and peak memory; on a card it always does.
        profile: of so many steps, after a few others, a trace is written into the run's folder.

    Returns:
        The exit status: 0; after a signal that saved and stopped it 128 + its number, as shells have it, so that a
        script goes no further; 1 where nobody could read what was printed.
    """
    from course_lib.training import stopping_on_signals

    main = trainer.world.is_main
    teller = telling.Teller(trainer, tells_speed)
    teller.begin()
    try:
        with (
            stopping_on_signals(trainer, teller.say) as came,
            traced(trainer, profile, teller.say) as trace,
            collecting_seldom(trainer) as collect,
        ):
            for record in trainer:
                teller.tell(record)
                trace()
                if record.val_loss is not None:
                    collect()
    except BaseException as error:
        trainer.abandon()
        teller.close()
        if main and is_left_without_save(trainer) and str(trainer.run_dir) not in str(error):
            print(f"{trainer.run_dir} has no save, and so cannot be resumed: delete the folder.", file=sys.stderr)
        raise
    teller.close(telling.closing(trainer, bytes_per_token))
    if came:
        return 128 + came[0]
    if not teller.is_heard:
        return 1
    return 128 + signal.SIGTERM if trainer.step < trainer.config.max_steps else 0  # another process was told


def is_left_without_save(trainer: Any) -> bool:
    """Whether the run's folder is there and of no use."""
    from course_lib import checkpoint

    run_dir = trainer.run_dir
    return run_dir is not None and (run_dir / "config.json").exists() and not checkpoint.has_save(run_dir)
