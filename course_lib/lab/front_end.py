"""What shows this notebook, and what it can do."""

import os
import sys


def front_end() -> str:
    """``colab``, ``vscode`` or ``jupyter``: who shows the outputs of this kernel, as far as the kernel can know.

    VS Code starts a kernel with ``VSCODE_PID`` in its environment, and tells it the notebook's path as
    ``__vsc_ipynb_file__``. A JupyterLab started in VS Code's terminal has other variables of VS Code's, such as
    ``VSCODE_IPC_HOOK_CLI`` and ``TERM_PROGRAM``, but neither of these two, or the path is missing.
    """
    if "google.colab" in sys.modules:
        return "colab"
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    names = getattr(shell, "user_ns", {})
    return "vscode" if "__vsc_ipynb_file__" in names or "VSCODE_PID" in os.environ else "jupyter"


def hears_threads() -> bool:
    """Whether widgets hear of what a thread does while no cell runs: everywhere but on Colab."""
    return front_end() != "colab"
