"""``course train``: a recipe, or a run to go on with."""

import contextlib
import functools
import itertools
import signal
import sys
from typing import Any, get_origin

from course_lib.cli import telling
from course_lib.cli.flags import NewRun, OldRun, filled, flat, train_form
from course_lib.cli.parse import parse_given
from course_lib.cli.resuming import FIXED, going_on, without_what_is_fixed
from course_lib.cli.speed import collecting_seldom, traced
from course_lib.cli.spellings import in_own_words, name_of, settings_in, word_after
from course_lib.config import ALIASES
from course_lib.data.datasets import own_path, short_name
from course_lib.errors import CourseError
from course_lib.paths import quoted, user_path
from course_lib.recipes import ANY_VOCABULARY, DEFAULT_SHAPE, Recipe, load_recipe, names, setting_fields

DEFAULT_RECIPE = "shakespeare_char_cpu"
"""How one's own text is trained on where no recipe is named: a small model, by characters, in seconds."""
SEVERAL = frozenset(name for name, field in setting_fields().items() if get_origin(field.type) is tuple)
"""The settings whose flags take several words."""
RESUMING = "Go on with a run. The defaults shown are the run's: what is not given stays as it was."


def train(args: list[str]) -> int:
    """Train a model by a recipe, or go on with a run: train RECIPE [--setting value] | train --resume RUN."""
    from course_lib.device import joined_world

    kind, args = "gpt", in_own_words(going_on(args))
    if "resume" in map(name_of, args):
        _refuse_more_words(args, "The new place of a run's text is --dataset text:PATH.")
        args = without_what_is_fixed(args)
        run = word_after("--resume", args)
        prog, form, go = f"course train --resume {run or 'RUN'}", train_form(OldRun, FIXED), _resume
        description = RESUMING + _examples(prog, "--max-steps 4000", "--which best --max-lr 0.001")
        default = functools.partial(_as_the_run_has_it, form, run, word_after("--which", args) or "last")
    else:
        named, recipe, args = _take_recipe(args)
        _refuse_more_words(
            args, "Several files are a folder, text:FOLDER, or a pattern in quotes, 'text:letters/*.txt'."
        )
        kind = recipe.kind
        prog, form, go = f"course train {named}", train_form(NewRun, kind=kind), functools.partial(_start, recipe)
        description = f"Train by the recipe {recipe.name}. The defaults shown are the recipe's." + _examples(
            prog, "--max-steps 2000 --max-lr 0.01", "--n-layer 4 --tie-weights --out-dir runs/deeper"
        )
        running = NewRun(**recipe.running.to_dict())
        default = functools.partial(filled, form, recipe.all_settings() | {"vocab_size": ANY_VOCABULARY}, running)
    made, given = parse_given(form, args, prog, description, ALIASES, default)
    settings = flat(made)
    if made.running.profile is not None and made.running.profile < 1:
        raise CourseError(f"--profile should be at least 1 step; it is {made.running.profile}.")
    with joined_world(made.training.device, made.running.backend):
        changes = {name: settings[name] for name in given & setting_fields(kind).keys()}
        return go(made.running, changes)


def _examples(prog: str, *settings: str) -> str:
    return "\n\nexamples:\n" + "\n".join(f"  {prog} {words}" for words in settings)


def _as_the_run_has_it(form: type, run: str | None, which: str) -> Any:
    """The run's own settings, as the chosen save has them: what is not given stays as it was."""
    from course_lib import checkpoint

    # The shape is hidden, and needs values all the same.
    settings: dict[str, Any] = DEFAULT_SHAPE | {"vocab_size": ANY_VOCABULARY}
    if run is not None:
        run_dir = checkpoint.find_run(run)
        settings |= checkpoint.read_config(run_dir)[0].train.to_dict()
        with contextlib.suppress(CourseError):  # a process that trains it may be replacing the save just now
            state = checkpoint.read_state(checkpoint.find_save(run_dir, which))
            settings |= state.get("train", {}) | {"dropout": state.get("dropout") or 0.0}
    return filled(form, settings, OldRun())


def _take_recipe(args: list[str]) -> tuple[str, Recipe, list[str]]:
    """The first word, its recipe, and what is left. One's own text takes the default recipe."""
    if args and not args[0].startswith("-"):
        if own_path(args[0]) is not None:
            return args[0], load_recipe(DEFAULT_RECIPE).replace(dataset=args[0]), args[1:]
        recipe = load_recipe(args[0], settings_in(args))
        return recipe.name, recipe, args[1:]
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


def _refuse_more_words(args: list[str], remedy: str) -> None:
    """CourseError for a word that is neither a setting nor its value: mostly what a shell made of a pattern."""
    before, takes_more = "", False
    for arg in itertools.takewhile(lambda arg: arg != "--", args):
        if arg.startswith("-"):
            takes_more = "=" not in arg and name_of(arg) in SEVERAL
        elif not takes_more and (not before.startswith("--") or "=" in before):
            raise CourseError(f"There is a word too many: {arg!r}. {remedy}")
        before = arg


def _start(recipe: Recipe, running: NewRun, changes: dict[str, Any]) -> int:
    from course_lib.recipes.build import build_trainer, new_run_dir
    from course_lib.recipes.remarks import remarks

    recipe = recipe.replace(**changes)
    if running.eval_only:
        return evaluate_only(build_trainer(recipe, asked=frozenset(changes)))
    out_dir: Any = running.out_dir
    if out_dir is None:
        dataset = recipe.data.dataset
        is_own = own_path(dataset) is not None and recipe.name in names()  # one's own recipe has a name of its own
        out_dir = new_run_dir(short_name(dataset) if is_own else recipe.name)
    trainer = build_trainer(recipe, user_path(out_dir), frozenset(changes))
    if trainer.world.is_main:
        for line in remarks(trainer):
            print(line)
    return drive(trainer, running.speed, running.profile)


def _resume(running: OldRun, changes: dict[str, Any]) -> int:
    from course_lib.recipes.build import resume_trainer
    from course_lib.training.state import dropout_of

    dropout = changes.pop("dropout", None)
    trainer = resume_trainer(running.resume, running.which, **changes)
    before = dropout_of(trainer.model)
    trainer.change(dropout=dropout)
    if running.eval_only:
        return evaluate_only(trainer)
    is_finished = trainer.step >= trainer.config.max_steps and trainer.owed is None
    if trainer.world.is_main:
        now = dropout_of(trainer.model)
        print(telling.finished(trainer) if is_finished else telling.resuming(trainer, (before, now)), flush=True)
    if is_finished:
        trainer.abandon()
        return 0
    return drive(trainer, running.speed, running.profile)


def evaluate_only(trainer: Any) -> int:
    """Score the model as it is, and write nothing: a run that is asked so stays what it was."""
    try:
        if trainer.world.is_main:
            print("\n".join(trainer.compute.reasons), flush=True)
        line = telling.evaluation(trainer)
        if trainer.world.is_main:
            print(line)
    finally:
        trainer.abandon()
    return 0


def drive(trainer: Any, tells_speed: bool = False, profile: int | None = None) -> int:
    """Run a trainer to its end in a terminal: a progress bar, a line per evaluation, Ctrl-C.

    Args:
        tells_speed: whether each line also tells tokens per second, MFU and peak memory; on a card it always does.
        profile: how many steps to trace, after a few others; the trace goes into the run's folder.

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
        if main and is_left_without_save(trainer) and quoted(trainer.run_dir) not in str(error):
            name = quoted(trainer.run_dir)
            print(f"{name} has no save, and so cannot be resumed: delete the folder.", file=sys.stderr)
        raise
    teller.close(telling.closing(trainer))
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
