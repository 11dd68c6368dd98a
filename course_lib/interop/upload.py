"""A run to the Hugging Face Hub: its weights, settings, tokenizer, source and a card, in one commit."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from course_lib import checkpoint
from course_lib.checkpoint.tensors import model_tensors
from course_lib.config import kind_of
from course_lib.errors import CourseError, in_short
from course_lib.interop.hf_config import hf_problems
from course_lib.interop.hf_export import SETTINGS, WRITTEN, shared_settings, write_hf_folder
from course_lib.interop.hf_files import WEIGHTS
from course_lib.interop.hf_tokenizer import tokenizer_files
from course_lib.interop.model_card import model_card
from course_lib.interop.model_source import model_source
from course_lib.models import GPT, AGIFormer
from course_lib.paths import quoted

CARD, SOURCE = "README.md", "source"
HUB = "https://huggingface.co"
NAME = re.compile(r"(?!.*(--|\.\.))([\w-][\w.-]{0,95}/)?[\w-][\w.-]{0,95}")
INSTALL = "pip install 'course-lib[hub]', or pip install huggingface_hub"


@dataclass(frozen=True)
class Upload:
    """What goes, or went, to the Hub."""

    repo: str
    files: dict[str, int]
    """Each file's path in the repository, and its size in bytes."""
    url: str | None = None
    """Where it is now; None where nothing was sent."""


def upload(
    run: str | Path, repo: str, which: str | int = "auto", private: bool = False, dry_run: bool = False
) -> Upload:  # fmt: skip
    """Send one save of a GPT's or an AGIFormer's run to the Hub, and return what went there.

    A GPT of GPT-2's form goes as a folder that transformers opens (see `export_hf`); any other under the course's own
    names, with the source that builds it. The token is the one of ``hf auth login``, or ``HF_TOKEN``.

    Args:
        run: a run directory, or the name of one under ``runs/``.
        repo: ``owner/name``, or ``name`` for the token's owner. It is made where it is not there.
        which: the save: best, last, a number of steps, or auto: the best, else the last.
        private: whether a repository that is made now is shown to its owner alone.
        dry_run: make all files and send nothing; neither a token nor a network is needed.

    Raises:
        CourseError: where the run is damaged, lacks the save, or holds another kind of model; for a name that the Hub
            does not take; where huggingface_hub is not installed, no token is found, or the upload breaks off.
    """
    if not NAME.fullmatch(repo) or repo.endswith((".", "-", ".git")):
        raise CourseError(
            "--repo should be NAME or OWNER/NAME as the Hub has them, of letters, digits, '-', '_' and '.'; it is "
            f"{repo!r}."
        )
    run_dir = checkpoint.find_run(run)
    loaded = checkpoint.load(run_dir, which)
    if not isinstance(loaded.model, GPT | AGIFormer):
        raise CourseError(
            f"course upload sends models of the kinds gpt and agiformer; {quoted(run_dir)} holds one of the kind "
            f"{kind_of(loaded.config.model) or type(loaded.model).__name__}."
        )
    api = None if dry_run else _api()
    name = repo if api is None else _full_name(api, repo)
    with tempfile.TemporaryDirectory(prefix="course-upload-") as scratch:
        folder = Path(scratch)
        _fill(folder, loaded, run_dir, name)
        files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
        if api is not None:
            _send(api, name, folder, files, private, f"{run_dir.resolve().name}, {loaded.state['step']} steps")
    return Upload(name, files, None if api is None else f"{HUB}/{name}")


def _send(api: Any, name: str, folder: Path, files: dict[str, int], private: bool, message: str) -> None:
    """All of a folder in one commit; what an earlier upload of another form has left there goes away in the same."""
    stale = sorted({*WRITTEN, SOURCE + "/*"} - files.keys())
    with _explained(name, api.token):
        api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, repo_type="model", commit_message=message, delete_patterns=stale
        )


def _full_name(api: Any, repo: str) -> str:
    """``owner/name``; the owner of a bare name is the token's."""
    if "/" in repo:
        return repo
    with _explained(repo, api.token):
        return f"{api.whoami()['name']}/{repo}"


def _fill(folder: Path, loaded: checkpoint.Run, run_dir: Path, repo: str) -> None:
    """All files, as they are to lie in the repository."""
    is_hf = isinstance(loaded.model, GPT) and not hf_problems(loaded.model.config)
    try:
        if is_hf:
            write_hf_folder(loaded, folder)
        else:
            files = {SETTINGS: shared_settings(loaded.config)} | tokenizer_files(loaded.tokenizer, 0, for_hf=False)
            for name, content in files.items():
                (folder / name).write_text(content, encoding="utf-8")
            save_file(model_tensors(loaded.model), folder / WEIGHTS, metadata={"format": "pt"})
        for name, content in model_source(loaded.model).items():
            path = folder / SOURCE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        (folder / CARD).write_text(model_card(loaded, run_dir, repo, is_hf), encoding="utf-8")
    except OSError as error:
        raise CourseError(
            f"Cannot gather the files in {quoted(folder)}: {error}. Free some space there, or name another place: "
            "TMPDIR=PATH."
        ) from error


def _api() -> Any:
    """huggingface_hub's client with a token; CourseError where there is neither."""
    if os.environ.get("COURSE_OFFLINE") == "1":
        raise CourseError("COURSE_OFFLINE=1 forbids an upload. Unset it, or add --dry-run to see what would go.")
    try:
        from huggingface_hub import HfApi, get_token
    except ImportError as error:
        raise CourseError(f"To upload takes the package huggingface_hub: {INSTALL}.") from error
    token = get_token()
    if not token:
        raise CourseError(
            f"No token of the Hub is found. Make one with the right to write at {HUB}/settings/tokens, and give it to "
            "hf auth login once, or put it into the variable HF_TOKEN."
        )
    return HfApi(token=token)


@contextlib.contextmanager
def _explained(repo: str, token: str) -> Iterator[None]:
    """Failures on the way to the Hub, in words, and without the token."""
    then = (
        f"All files come in one commit, the last thing that is sent: {HUB}/{repo} holds what it held before. Run the "
        "same command again; large files that have arrived are not sent twice."
    )
    try:
        yield
    except KeyboardInterrupt:
        print(f"The upload was stopped. {then}", file=sys.stderr)
        raise
    except Exception as error:  # each version of huggingface_hub has errors of its own, and its client's besides
        said = in_short(error, token)
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise CourseError(
                f"The Hub refuses to write {repo} ({said}). Is it yours, and has the token the right to write? "
                f"{HUB}/settings/tokens shows it; hf auth login takes another."
            ) from None  # the original may hold the token
        raise CourseError(f"The upload to {repo} broke off ({said}). {then}") from None
