"""``course runs``: a table of the runs here, and the words for a run wherever one is asked for."""

import sys
from dataclasses import dataclass
from pathlib import Path

from course_lib.cli.parse import parse

RUN_HELP = "A run: its folder, its name under runs/, or latest."
WHICH_HELP = "The save: best, last or a number of steps; auto: best, else last."
DESCRIPTION = """List the runs here, the one that was written to last first: that is the one called latest.

STEPS: taken at the last save, of how many. BEST: the lowest validation loss so far, in nats per token. AGE: since it
was written to. SIZE: on the disk, all saves together. What stands behind that is what is wrong with the folder."""


@dataclass
class RunsSettings:
    pass


def runs(args: list[str]) -> None:
    """List the runs here, newest first."""
    parse(RunsSettings, args, "course runs", DESCRIPTION)
    from course_lib.checkpoint import list_runs, table_of
    from course_lib.paths import quoted, runs_dir

    rows = list_runs()
    none = f"There are no runs in {quoted(runs_dir())} yet; course train makes one."
    print("\n".join(table_of(rows)) if rows else none)


def find_run(run: str) -> Path:
    """`course_lib.checkpoint.find_run`; for ``latest`` a line on stderr says which run that is."""
    from course_lib import checkpoint

    folder = checkpoint.find_run(run)
    if run not in (folder.name, str(folder)) and run == checkpoint.LATEST:
        print(f"{run}: {folder.name}", file=sys.stderr)
    return folder
