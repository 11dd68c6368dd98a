"""``course export``: a run for other programs."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from course_lib.cli.parse import parse
from course_lib.cli.runs import RUN_HELP, WHICH_HELP, find_run

DESCRIPTION = """Write a run's model for other programs.

cpp: a folder with the model and a C++ program that generates from it, without Python.
pth: a plain state_dict by torch.save, for programs that read nothing else. Such a file is a pickle: whoever reads it
without weights_only=True runs whatever program is hidden in it. That is why the course itself keeps weights as
safetensors, which hold numbers only."""


@dataclass
class ExportSettings:
    run: Annotated[Positional[str], arg(help=RUN_HELP, metavar="RUN")]
    to: Annotated[Literal["cpp", "pth"], arg(help="cpp: a folder with a C++ program; pth: a file of weights.")]
    which: Annotated[str, arg(help=WHICH_HELP)] = "auto"
    out: Annotated[str | None, arg(help="The folder or file; by default RUN-cpp or RUN.pth here.")] = None


def export(args: list[str]) -> None:
    """Write a model for other programs: export RUN --to cpp|pth."""
    s = parse(ExportSettings, args, "course export", DESCRIPTION)
    from course_lib.interop.cpp import PROGRAM, compile_command, export_cpp
    from course_lib.interop.pth import export_pth

    run_dir = find_run(s.run)
    if s.to == "pth":
        path = export_pth(run_dir, s.out, s.which)
        print(f"{path}\nread it with: torch.load({str(path)!r}, weights_only=True)")
        return
    folder = export_cpp(run_dir, s.out, s.which)
    program = folder / PROGRAM if folder.is_absolute() else Path(".") / folder / PROGRAM
    run = f"{'' if folder.is_absolute() else './'}{shlex.quote(str(program))} {shlex.quote(str(folder))}"
    print(f"{folder}\ncompile it with: {shlex.join(compile_command(folder))}\nrun it with: {run}")
