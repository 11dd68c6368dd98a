"""What shows this notebook, and what its widgets hear.

| front end | a thread's updates while no cell runs | while a cell runs |
|---|---|---|
| JupyterLab | arrive at once | arrive; buttons are not heard |
| VS Code | arrive | arrive; buttons are not heard |
| Colab | do not arrive | do not arrive; a display that is updated in place does |

For JupyterLab this was measured. For VS Code it is what is known from its issue tracker: ipywidgets' own example of
a bar that a thread moves is a test case of its Jupyter extension (microsoft/vscode-jupyter 6078), and buttons wait for
the cell that runs, as everywhere (17360); anywidget loads as any widget does. For Colab, too, its issue tracker
tells it. VS Code needs nothing of its own from the lab.
"""

import os
import sys


def front_end() -> str:
    """``colab``, ``vscode`` or ``jupyter``: who shows the outputs of this kernel, as far as the kernel can know.

    VS Code tells a kernel the notebook's path as ``__vsc_ipynb_file__``. It also starts kernels with ``VSCODE_PID`` in
    the environment, except in containers and WSL. A JupyterLab that was started from VS Code may be taken for it.
    """
    if "google.colab" in sys.modules:
        return "colab"
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    told = "__vsc_ipynb_file__" in getattr(shell, "user_ns", {})
    return "vscode" if told or "VSCODE_PID" in os.environ else "jupyter"


def hears_threads() -> bool:
    """Whether widgets hear of what a thread does: everywhere but on Colab."""
    return front_end() != "colab"
