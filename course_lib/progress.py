"""Progress bars, which are drawn where somebody can see them: in a terminal or a notebook."""

import sys
from typing import Any

from tqdm.auto import tqdm


def progress_bar(**settings: Any) -> tqdm:
    """A tqdm bar on standard error; a silent one where that is a file or a pipe.

    The environment variable TQDM_DISABLE turns all of them off.

    Args:
        settings: those of tqdm, such as ``total`` and ``unit``.
    """
    if not sys.stderr.isatty() and not _in_notebook():
        settings["disable"] = True
    return tqdm(**settings)


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
