"""Where a project keeps its files."""

from pathlib import Path


def project_root(start: str | Path | None = None) -> Path:
    """The nearest folder at or above ``start`` (default: the working folder) that holds ``_toc.yml``.

    Where there is none, as on Colab, the working folder itself.
    """
    here = Path(start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file():
            return folder
    return here


def data_dir() -> Path:
    """``<root>/data``: downloads and prepared files."""
    return project_root() / "data"


def runs_dir() -> Path:
    """``<root>/runs``: one folder per training run."""
    return project_root() / "runs"
