"""``course upload``: a run to the Hugging Face Hub."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from course_lib.cli.parse import parse
from course_lib.cli.runs import RUN_HELP, WHICH_HELP, find_run

DESCRIPTION = """Send a run's model to the Hugging Face Hub: weights, settings, tokenizer, source, and a card that says
how it was trained.

The token is the one of hf auth login, or of the variable HF_TOKEN. What is sent is public, unless the repository is
private. All of it comes in one commit; the Hub keeps what was there before it in its history."""


@dataclass
class UploadSettings:
    run: Annotated[Positional[str], arg(help=RUN_HELP, metavar="RUN")]
    repo: Annotated[str, arg(help="Its name on the Hub: OWNER/NAME, or NAME for your own.", metavar="NAME")]
    which: Annotated[str, arg(help=WHICH_HELP)] = "auto"
    private: Annotated[bool, arg(help="Make a new repository that you alone can see.")] = False
    dry_run: Annotated[bool, arg(help="List what would go, and send nothing.")] = False


def upload(args: list[str]) -> None:
    """Send a model to the Hugging Face Hub: upload RUN --repo NAME [--dry-run]."""
    s = parse(UploadSettings, args, "course upload", DESCRIPTION)
    from course_lib.interop.upload import upload as send

    sent = send(**vars(s) | {"run": find_run(s.run)})
    total = sum(sent.files.values())
    if sent.url is None:
        width = max(map(len, sent.files))
        for name, size in sent.files.items():
            print(f"{name:<{width}}  {size:>13,} bytes")
        seen = "private, if it is made now" if s.private else "public, unless it is a private one already"
        print(f"{len(sent.files)} files, {total:,} bytes, would go to {sent.repo} ({seen}). Nothing was sent.")
        return
    print(f"{sent.url}\n{len(sent.files)} files, {total:,} bytes")
