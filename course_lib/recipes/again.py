"""The text of a run, found again: where it was or where it is now, and the same to the last byte."""

from pathlib import Path

from course_lib.config import DataConfig, RunConfig
from course_lib.data import Prepared, prepared_for
from course_lib.data.datasets import find_corpus, full_name
from course_lib.data.streams import opened
from course_lib.errors import CourseError
from course_lib.paths import quoted, user_path
from course_lib.tokenizers import Tokenizer


def refuse_made_in_python(run_dir: Path, about: RunConfig, do: str, with_batches: str, with_model: str) -> None:
    """CourseError for a run whose batches, or whose model, only the program that it comes from can make.

    Args:
        do: what is wanted, such as "Go on with it".
        with_batches, with_model: how that program does it: with its batches, and with its model too.
    """
    unsaid = about.recipe == "custom" and about.data == DataConfig()  # trainers wrote this before they left it out
    if about.data is None or unsaid:
        raise CourseError(
            f"{quoted(run_dir)} does not say what it is trained on: its batches were made in Python, and only there "
            f"can they be made again. {do} there: {with_batches}"
        )
    if not hasattr(about.model, "block_size"):
        raise CourseError(
            f"{quoted(run_dir)} holds a model of its own, which only its program knows. {do} in Python: {with_model}"
        )


def text_of_run(
    run_dir: Path, about: RunConfig, tokenizer: Tokenizer | None, dataset: str | None, command: str
) -> tuple[DataConfig, Prepared]:
    """Where a run's text is, and that text, split as it was and prepared by the run's tokenizer.

    Args:
        dataset: where the text is now, if it has moved.
        command: what to type again, with a --dataset, where it is not found.

    Raises:
        CourseError: where it cannot be read or is another one.
    """
    data = _moved(run_dir, about, dataset)
    try:
        stream = opened(data.dataset)
        now = stream.sha256
        if data.sha256 not in (None, now):  # asked before it is encoded: another text mostly has other characters, too
            raise CourseError(
                f"{quoted(data.dataset)} is not the text that {quoted(run_dir)} was trained on: its sha256 is {now}, "
                f"and was {data.sha256}. Put the old text back (or name its place with --dataset), or start a new run."
            )
        return data, prepared_for(data, tokenizer, stream)
    except CourseError as error:
        scheme, _, path = data.dataset.partition(":")
        if not path or user_path(path).exists():
            raise
        raise CourseError(
            f"{error} Where the text of {quoted(run_dir)} has a new place: {command} --dataset {scheme}:PATH"
        ) from error


def _moved(run_dir: Path, about: RunConfig, dataset: str | None) -> DataConfig:
    """The run's data, read from ``dataset`` where that is given; `text_of_run` checks that it is the same text."""
    assert about.data is not None
    old = about.data.dataset
    if dataset is None or full_name(dataset) == full_name(old):
        return about.data
    if about.data.sha256 is None:
        raise CourseError(
            f"{quoted(run_dir)} does not keep the sha256 of its text, so nobody can say whether {quoted(dataset)} is "
            f"the same. Put the text back to where it was ({quoted(old)})."
        )
    if _way(old) != _way(dataset):  # they are split at different places
        raise CourseError(
            f"{quoted(run_dir)} is trained on {quoted(old)}; --dataset {quoted(dataset)} would read it in another way."
        )
    return about.data.replace(dataset=full_name(dataset))


def _way(dataset: str) -> tuple[bool, bool]:
    """How a dataset is read: as raw bytes or not, as ids or not."""
    return find_corpus(dataset).is_raw, dataset.startswith("bins:")
