"""Who shows the notebook: known by what each front end leaves in the kernel."""

import sys
import types

import pytest

from course_lib.lab.front_end import front_end, hears_threads


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VSCODE_PID", raising=False)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)


def test_a_plain_kernel_is_jupyter_s():
    assert front_end() == "jupyter"
    assert hears_threads()


def test_vs_code_is_known_by_its_process_or_by_the_notebook_that_it_names(monkeypatch):
    shell = types.SimpleNamespace(user_ns={"__vsc_ipynb_file__": "/course/05.ipynb"})
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    assert front_end() == "vscode", "in a container there is no VSCODE_PID"
    monkeypatch.setattr("IPython.get_ipython", lambda: types.SimpleNamespace(user_ns={}))
    assert front_end() == "jupyter"
    monkeypatch.setenv("VSCODE_PID", "94309")
    assert front_end() == "vscode"
    assert hears_threads(), "a thread's updates arrive there"


def test_colab_is_known_by_its_module_and_hears_no_thread(monkeypatch):
    monkeypatch.setenv("VSCODE_PID", "94309")
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert front_end() == "colab"
    assert not hears_threads()
