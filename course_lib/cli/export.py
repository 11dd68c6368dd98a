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
hf: a folder that Hugging Face's transformers opens as GPT-2, for a GPT of GPT-2's form. Its tokenizer is there too
where transformers has one like it: GPT-2's, and one that was learned by bpe.
pth: a plain state_dict by torch.save, for programs that read nothing else. Such a file is a pickle: whoever reads it
without weights_only=True runs whatever program is hidden in it. That is why the course itself keeps weights as
safetensors, which hold numbers only."""

TO_HELP = "cpp: a folder with a C++ program; hf: a folder for transformers; pth: a file of weights."


@dataclass
class ExportSettings:
    run: Annotated[Positional[str], arg(help=RUN_HELP, metavar="RUN")]
    to: Annotated[Literal["cpp", "hf", "pth"], arg(help=TO_HELP)]
    which: Annotated[str, arg(help=WHICH_HELP)] = "auto"
    out: Annotated[str | None, arg(help="The folder or file; by default RUN-cpp, RUN-hf or RUN.pth here.")] = None


def export(args: list[str]) -> None:
    """Write a model for other programs: export RUN --to cpp|hf|pth."""
    s = parse(ExportSettings, args, "course export", DESCRIPTION)
    from course_lib.interop.cpp import PROGRAM, compile_command, export_cpp
    from course_lib.interop.hf_export import export_hf
    from course_lib.interop.pth import export_pth

    run_dir = find_run(s.run)
    if s.to == "pth":
        path = export_pth(run_dir, s.out, s.which)
        print(f"{path}\nread it with: torch.load({str(path)!r}, weights_only=True)")
        return
    if s.to == "hf":
        print(_about_hf(export_hf(run_dir, s.out, s.which)))
        return
    folder = export_cpp(run_dir, s.out, s.which)
    program = folder / PROGRAM if folder.is_absolute() else Path(".") / folder / PROGRAM
    run = f"{'' if folder.is_absolute() else './'}{shlex.quote(str(program))} {shlex.quote(str(folder))}"
    print(f"{folder}\ncompile it with: {shlex.join(compile_command(folder))}\nrun it with: {run}")


def _about_hf(folder: Path) -> str:
    """The folder, and how to open what is in it."""
    from course_lib.interop.hf_tokenizer import MERGES, OWN_FILE

    lines = [str(folder), f"open it with: transformers.GPT2LMHeadModel.from_pretrained({str(folder)!r})"]
    if (folder / MERGES).exists():
        lines.append(f"its tokenizer: transformers.AutoTokenizer.from_pretrained({str(folder)!r})")
    elif (folder / OWN_FILE).exists():
        lines.append(
            "its tokenizer: transformers has none like it; "
            f"course_lib.tokenizers.load_tokenizer({str(folder / OWN_FILE)!r})"
        )
    return "\n".join(lines)
