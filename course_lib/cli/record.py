"""``course record``: measure what takes longer than a chapter may, and keep it for the chapters to draw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from course_lib.cli.parse import parse
from course_lib.paths import user_path


@dataclass
class RecordSettings:
    name: Annotated[Positional[str | None], arg(help="What to record; without it, what there is.", metavar="NAME")] = (
        None
    )
    recipe: Annotated[str | None, arg(help="For seeds: the recipe, by name or as a .toml file.")] = None
    seeds: Annotated[int | None, arg(help="How many seeds, from 1 on; by default as many as the list says.")] = None
    out: Annotated[str | None, arg(help="The file to write; by default where the chapters look for it.")] = None


def record(args: list[str]) -> None:
    """Measure what takes longer than a chapter may, and keep it: record [NAME]."""
    s = parse(RecordSettings, args, "course record", "Measure what takes longer than a chapter may, and keep it.")
    if s.name is None:
        print(_listing())
        return
    from course_lib import reference
    from course_lib.bench import report
    from course_lib.measurements import plan
    from course_lib.measurements.partial import forget

    name, measure = plan(s.name, s.recipe, s.seeds)
    path = user_path(s.out) if s.out else reference.home() / f"{name}.json"
    reference.make_room(path)
    recipe = f"--recipe {Path(s.recipe).name}" if s.recipe else ""  # where it lay on this machine helps nobody
    seconds, details = measure()
    words = [f"course record {s.name}", recipe, f"--seeds {len(details['seeds'])}"]
    content = report(name, " ".join(filter(None, words)), "seconds", {"course": seconds}, **details)
    reference.keep(content, path)
    forget(name)
    print(f"{path}\n{len(seconds)} runs, {sum(seconds) / 60:.1f} minutes of training")


def _listing() -> str:
    """What can be recorded, how long it takes on two cores, and when it was recorded last."""
    from course_lib import reference
    from course_lib.measurements import RECORDINGS

    there = reference.names()
    lines = []
    for name, recording in RECORDINGS.items():
        date = f"recorded {reference.recorded(name).content['date']}" if name in there else "not recorded yet"
        when = date if recording.recipe is not None else "one record for each recipe"
        seeds = f"{recording.seeds} seed{'s' * (recording.seeds > 1)}"
        lines.append(f"  {name:<21} about {recording.minutes:g} minutes for {seeds}  {recording.about}; {when}")
    head = (
        "usage: course record NAME [--recipe R] [--seeds N] [--out PATH]\n\nwhat can be recorded, on two CPU cores:\n"
    )
    return head + "\n".join(lines)
