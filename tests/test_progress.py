"""Progress bars are drawn where somebody can see them."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import IPython
import pytest

from course_lib import progress

CODE = """
from course_lib.progress import progress_bar
with progress_bar(total=3, desc='counting') as bar:
    bar.update(3)
"""


def drawn_into(standard_error: int, **environment: str) -> None:
    command = [sys.executable, "-c", CODE]
    subprocess.run(command, stderr=standard_error, env=os.environ | environment, check=True)


def test_a_file_or_a_pipe_gets_no_bar() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stderr == done.stdout == ""


@pytest.mark.parametrize(("environment", "is_drawn"), [({}, True), ({"TQDM_DISABLE": "1"}, False)])
def test_a_terminal_gets_one_unless_it_is_turned_off(environment: dict[str, str], is_drawn: bool) -> None:
    pty = pytest.importorskip("pty", reason="pseudo-terminals are there on Linux and macOS")
    termios = pytest.importorskip("termios")
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 80))
    drawn_into(child, **environment)
    os.write(child, b"end")
    shown = b""
    while b"end" not in shown:
        shown += os.read(parent, 4096)
    os.close(child)
    os.close(parent)
    assert (b"counting" in shown) == is_drawn


def test_a_notebook_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel's shell has a ``kernel``; IPython in a terminal has none."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(progress, "tqdm", lambda **settings: settings)
    for shell, settings in ((SimpleNamespace(kernel=1), {"total": 3}), (None, {"total": 3, "disable": True})):
        monkeypatch.setattr(IPython, "get_ipython", lambda shell=shell: shell)
        assert progress.progress_bar(total=3) == settings
